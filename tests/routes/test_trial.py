"""`POST /explorer/trial`: who may try a declaration, over what, and how often."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.derive.trials import Payment, Trials
from gateway.model.record import NewRecord
from tests.routes.kit import PATIENCE, Site, hold_time, running
from tests.routes.tokens import bearer, serving, token

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN = Stream("open", ("open",))
HIDDEN = Stream("hidden", ("hidden",), public=False)
MADE = Stream("made", ("made",), schema_title="made", derive=Derivation(("open", "hidden")))
STREAMS = (OPEN, HIDDEN, MADE)
EVERY = "mine: {derive: {from: [open]}}"
AWAY = {"x-forwarded-for": "198.51.100.1"}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial is a process, which a busy machine may take as long to start as a trial may take in all."""
    monkeypatch.setattr("gateway.derive.trials.SECONDS", PATIENCE)
    monkeypatch.setattr("gateway.derive.trials.READ_SECONDS", PATIENCE)


async def post(client: httpx.AsyncClient, text: str | bytes, query: str = "", **headers: str) -> httpx.Response:
    async with asyncio.timeout(PATIENCE):
        return await client.post(f"/explorer/trial{query}", content=text, headers=headers)


def put(site: Site, count: int = 1) -> None:
    now = time.time_ns() // 1_000_000
    event = json.dumps({"meta": {"dt": "2026-01-01T00:00:00Z"}, "n": 1}).encode()
    site.put("open", *[NewRecord(event, timestamp=now)] * count)
    site.put("hidden", NewRecord(event, timestamp=now))


def lines(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["text"] for one in answer.json()["mistakes"]]


@pytest.mark.long
async def test_strangers_try_over_what_they_may_read() -> None:
    async with running(streams=STREAMS, derive_trials="public", admin=True) as site:
        put(site, 3)
        answer = await post(site.client, EVERY, "?last=1h")
        assert answer.json()["counts"]["rows"] == 3
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
        nothing = await post(site.client, "mine: {derive: {from: [nothing]}}")
        hidden = await post(site.client, "mine: {derive: {from: [hidden]}}")
        assert lines(hidden) == [lines(nothing)[0].replace("nothing", "hidden")]
        assert lines(await post(site.client, "mine: {derive: {from: [hiden]}}"))[0].endswith("of that name")
        # Its own name tells nothing of a stream that is not there for the visitor.
        assert lines(await post(site.client, "hidden: {derive: {from: [open]}}")) == []
        assert "hidden" not in (await post(site.client, "mine: {derive: {from: [made]}}")).text
        assert (await post(site.admin, "mine: {derive: {from: [hidden]}}")).json()["counts"]["rows"] == 1
        # Nothing is left of it.
        assert {one["name"] for one in (await site.get("/v2/streams")).json()} == {"open", "made"}
        assert await site.log.describe(["mine"]) == {}


@pytest.mark.long
async def test_a_token_opens_private_streams_to_a_trial() -> None:
    text = "mine: {derive: {from: [secret], allow_unknown: true}, schema_title: wiki/change}"
    async with serving(derive_trials="public") as site:
        assert "no stream of that name" in lines(await post(site.client, text))[0]
        answer = await post(site.client, text, authorization=bearer(token())["authorization"])
        assert lines(answer) == []
        assert answer.headers["cache-control"] == "private, no-store"
        assert (await post(site.client, text, authorization="Bearer none")).status_code == 401


@pytest.mark.parametrize(("where", "outside", "inside"), [("admin", 404, 200), ("off", 404, 404)])
async def test_it_is_open_where_the_operator_says(where: str, outside: int, inside: int) -> None:
    async with running(streams=STREAMS, derive_trials=where, admin=True) as site:
        assert (await post(site.client, EVERY)).status_code == outside
        assert (await post(site.admin, EVERY)).status_code == inside
        page = await site.get("/", headers={"accept": "text/html"})
        assert 'id="trial-open" type="button" hidden' in page.text
        # A page of somebody else, which the operator looks at, reaches nothing here.
        assert (await post(site.admin, EVERY, origin="https://elsewhere.example")).status_code == 403


@pytest.mark.long
async def test_usually_the_admin_port_alone_has_it() -> None:
    async with running(streams=STREAMS, admin=True) as site:
        assert (await post(site.client, EVERY)).status_code == 404
        assert (await post(site.admin, EVERY)).status_code == 200
    async with running(streams=STREAMS, derive_trials="public") as site:
        page = await site.get("/", headers={"accept": "text/html"})
        assert 'id="trial-open" type="button" >' in page.text


@pytest.mark.parametrize(
    ("query", "text", "headers", "status", "parameter"),
    [
        ("?last=2h", EVERY, {}, 400, "last"),
        ("?last=999ms", EVERY, {}, 400, "last"),
        ("?last=soon", EVERY, {}, 400, "last"),
        ("?lost=1m", EVERY, {}, 400, "lost"),
        ("", "x" * 32_769, {}, 413, None),
        ("", EVERY, {"content-encoding": "gzip"}, 415, "Content-Encoding"),
    ],
)
async def test_bad_requests(query: str, text: str, headers: dict[str, str], status: int, parameter: str | None) -> None:
    async with running(streams=STREAMS, derive_trials="public") as site:
        answer = await post(site.client, text, query, **headers)
        assert (answer.status_code, answer.json().get("parameter")) == (status, parameter)
        assert (await site.get("/explorer/trial")).status_code == 405


@pytest.mark.long
async def test_it_counts_as_replay_and_as_the_work_of_filters() -> None:
    limits: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "limit_filters": 0}
    async with running(streams=STREAMS, derive_trials="public", limit_replay=100, **limits) as site:
        # The process of a trial may take as long as what it has read is paid for.
        hold_time(site)
        put(site, 20)
        answer = await post(site.client, EVERY, **AWAY)
        assert answer.json()["counts"]["records"] == 20
        refused = await post(site.client, EVERY, **AWAY)
        assert (refused.status_code, refused.json()["limit"]) == (429, "limit_replay")
        assert int(refused.headers["retry-after"]) > 1
        assert (await post(site.client, EVERY, **{"x-forwarded-for": "198.51.100.2"})).status_code == 200
    limits["limit_filters"] = 1000
    async with running(streams=STREAMS, derive_trials="public", limit_replay=0, **limits) as site:
        # What is wrong costs, too: it took time to find that.
        assert lines(await post(site.client, "mine: {}", **AWAY)) != []
        refused = await post(site.client, EVERY, **AWAY)
        assert (refused.status_code, refused.json()["limit"]) == (429, "limit_filters")


async def test_an_address_is_counted_behind_its_proxy_and_the_log_may_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def run(self: Trials, *given: Any) -> dict[str, Any]:
        payment = given[4]
        assert isinstance(payment, Payment)
        asked.append(payment.payer)
        return {}

    monkeypatch.setattr(Trials, "run", run)
    async with running(streams=STREAMS, derive_trials="public", trusted_proxies=("127.0.0.1",)) as site:
        await post(site.client, EVERY, **AWAY)
        # A customer of IPv6 has many addresses.
        await post(site.client, EVERY, **{"x-forwarded-for": "2001:db8:1:2:3::4"})
        await post(site.client, EVERY)
        assert asked == ["198.51.100.1", "2001:db8:1:2::/64", "127.0.0.1"]
        monkeypatch.undo()
        site.log.available = False
        assert (await post(site.client, EVERY)).status_code == 503

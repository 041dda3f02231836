"""The documents against what the routes really accept and answer, in both directions.

A route, parameter, status or header that is new belongs into `gateway/description`; how to provoke the status, below.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import httpx
import jsonschema_rs
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Match, Route, Router

from gateway.app.ports import VIEW_PATHS
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.description import intake as described_intake
from gateway.description.facts import Limits
from gateway.description.openapi import STREAM_PATH
from gateway.description.streams import SAME_AS_HEADER
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.limits.port import AWAY, Client, LimitReached
from gateway.model.record import NewRecord
from gateway.routes import events, parameters
from gateway.routes.admission import COUNTED_APART, MOST_PARAMETERS, UNCOUNTED
from gateway.routes.rates import RateRoutes
from gateway.server.connections import ConnectionBounds
from tests.description.kit import Record, operations
from tests.end_to_end.process import WAIT
from tests.routes.intake import IntakeSite, Log, bare, change, intake
from tests.routes.kit import PATIENCE, position, running
from tests.routes.tokens import bearer, serving
from tests.routes.viewing import viewing

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = "/v2/stream/wiki.change"
EVENTS = "/v1/events"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[IntakeSite]:
    """A gateway with streams of every kind."""
    async with intake(intake_max_bytes=200_000, intake_max_events=20) as site:
        yield site


async def described(site: IntakeSite) -> dict[str, Any]:
    return dict((await site.site.get("/openapi.json")).json())


def routes_of(app: Any) -> list[Route]:
    """The routes of the application, whatever stands around it."""
    while not isinstance(app, Router):
        app = app._app
    inner = app.default
    assert isinstance(inner, Starlette)
    return [route for route in (*app.routes, *inner.routes) if isinstance(route, Route)]


async def test_every_route_is_described_and_the_reverse(site: IntakeSite) -> None:
    routes = routes_of(site.site.gateway.public())
    met = set()
    for path, method, operation in operations(await described(site)):
        asked = path
        for one in operation.get("parameters", ()):
            if one["in"] == "path":
                asked = asked.replace("{" + one["name"] + "}", one["example"])
        scope = {"type": "http", "method": method.upper(), "path": asked}
        route = next(route for route in routes if route.matches(scope)[0] == Match.FULL)
        # An application decides itself which methods it knows.
        assert route.methods is None or route.methods - {"HEAD"} == {method.upper()}
        met.add(route.path)
    # Those of a view are described where there is one.
    assert met == {route.path for route in routes} - {VIEW_PATHS[1]}


async def test_parameters_are_those_that_are_read(site: IntakeSite) -> None:
    document = await described(site)

    def names(path: str, method: str, place: str) -> tuple[str, ...]:
        return tuple(one["name"] for one in document["paths"][path][method]["parameters"] if one["in"] == place)

    told = names(STREAM_PATH, "get", "query")
    assert told == tuple(name for name in parameters.PARAMETERS if name not in SAME_AS_HEADER)
    (header,) = (one for one in document["paths"][STREAM_PATH]["get"]["parameters"] if one["in"] == "header")
    assert all(f"`{name}`" in header["description"] for name in SAME_AS_HEADER)
    assert names("/v1/events", "post", "query") == events.PARAMETERS == tuple(described_intake.PARAMETERS)
    honoured = (await site.site.client.head(STREAM)).headers["event-gateway"]
    assert tuple(honoured.split(", ")) == parameters.PARAMETERS
    limits = site.site.gateway.facts().limits
    assert limits == site.site.gateway.settings.of(Limits)


async def opened(client: httpx.AsyncClient, path: str, **more: Any) -> httpx.Response:
    """The head of an answer that may never end."""
    async with asyncio.timeout(PATIENCE), client.stream("GET", path, **more) as response:
        return response


async def test_examples_work(site: IntakeSite) -> None:
    document = await described(site)
    record = Record(document)
    for template, method, operation in operations(document):
        path, optional = template, []
        for one in operation.get("parameters", ()):
            if one["in"] == "path":
                path = path.replace("{" + one["name"] + "}", quote(one["example"], safe=""))
            elif (method, one["name"]) != ("post", "stream"):  # It is for CloudEvents, and this body is none.
                optional.append(one)
        for one in [None, *optional]:
            query = {one["name"]: one["example"]} if one and one["in"] == "query" else {}
            headers = {one["name"]: str(one["example"])} if one and one["in"] == "header" else {}
            if method == "post":
                example = operation["requestBody"]["content"]["application/json"]["example"]
                answer = await site.site.client.post(path, params=query, headers=headers, json=example)
            else:
                answer = await opened(site.site.client, path, params=query, headers=headers)
            assert answer.status_code in (200, 201, 202, 204), (template, one, answer.status_code)
            record.add(answer)


@pytest.mark.long
async def test_each_status_of_what_is_read_can_be_had(site: IntakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    client, record = site.site.client, Record(await described(site))
    site.log.create_topic("own", 1)
    assert record.add(await opened(client, STREAM)).status_code == 200
    for kind in ("application/x-ndjson", "application/json"):
        record.add(await opened(client, STREAM, headers={"accept": kind, "accept-encoding": "gzip"}))
    past = {"until": "2001-01-01", "last_event_id": position(("own", 0, None, 0))}
    assert record.add(await client.get("/v2/stream/wiki.own-errors", params=past)).status_code == 204
    assert record.add(await client.get(STREAM, params={"since": "soon"})).status_code == 400
    assert record.add(await client.get(STREAM, headers={"accept": "image/png"})).status_code == 406
    assert record.add(await client.get("/v2/views?a=1")).status_code == 400
    for path in (
        "/v2/stream/nobody",
        "/v2/streams/nobody",
        "/v2/schemas/a%2Fb/1.0.0",
        "/v2/schemas/a",
        "/explorer/x/y",
    ):
        assert record.add(await client.get(path)).status_code == 404
    cached = ["/", "/openapi.json", "/asyncapi.json", "/docs", "/explorer/x/base.css", "/v2/schemas"]
    for path in [
        *cached,
        "/v2/schemas/wiki%2Fchange",
        "/v2/schemas/wiki%2Fchange/latest",
        "/v2/schemas/wiki%2Fchange/1.0.0",
    ]:
        answer = record.add(await client.get(path, headers={"accept-encoding": "gzip"}))
        again = await client.get(path, headers={"if-none-match": answer.headers["etag"], "accept-encoding": "gzip"})
        assert record.add(again).status_code == 304
        if path in cached[:-1]:
            assert answer.headers["content-encoding"] == "gzip"
    for path in (
        "/healthz",
        "/readyz",
        "/explorer/rates",
        "/v2/streams",
        "/v2/views",
        "/v2/streams/bare",
        "/v2/schemas/wiki%2Fchange/latest.yaml",
    ):
        assert record.add(await client.get(path)).status_code == 200
    record.add(await client.get("/", headers={"accept": "application/json"}))
    events = {"accept": "text/event-stream"}
    assert record.add(await opened(client, "/explorer/rates", headers=events)).status_code == 200
    monkeypatch.setattr(site.site.gateway.updates, "_most", 0)
    assert record.add(await client.get("/explorer/rates", headers=events)).status_code == 429
    await counts_answer(site, record, monkeypatch)
    monkeypatch.setattr(site.site.gateway, "draining", True)
    assert record.add(await client.get("/readyz")).status_code == 503
    await shared_by_all(site, record, monkeypatch)
    await refused_before(record)
    async with running(trusted_proxies=("127.0.0.1",), limit_streams_per_address=1) as other:
        headers = {"x-forwarded-for": "198.51.100.1"}
        async with other.stream("/v2/stream/wide", headers=headers):
            assert record.add(await other.get("/v2/stream/wide", headers=headers)).status_code == 429

        async def away(_: Client, cost: int = 0) -> LimitReached:
            return LimitReached(AWAY, 1)

        monkeypatch.setattr(other.gateway.limiter, "enter", away)
        assert record.add(await other.get("/v2/stream/wide", headers=headers)).status_code == 503
    for path, method, operation in operations(record.document):
        if method == "get":
            told = {int(status) for status in operation["responses"]} - {431, 500}
            assert record.seen[path, method] - {431, 500} == told, path


async def refused_before(record: Record) -> None:
    """What is refused before it is looked at: many parameters, and requests that come too fast."""
    async with running(limit_requests=0.01, trusted_proxies=("127.0.0.1",)) as site:
        for template, method, operation in operations(record.document):
            path, counted = template, not template.startswith(COUNTED_APART) and template not in UNCOUNTED
            for one in operation.get("parameters", ()):
                if one["in"] == "path":
                    path = path.replace("{" + one["name"] + "}", quote(one.get("example", "x"), safe=""))
            headers = {"x-forwarded-for": "198.51.100.1"}
            many = await site.client.request(method, f"{path}?{'&' * MOST_PARAMETERS}", headers=headers)
            assert record.add(many).status_code == 400
            if not counted:
                continue
            answers = [await site.client.request(method, path, headers=headers) for _ in range(2)]
            assert record.add(answers[-1]).status_code == 429


async def test_what_is_refused_before_it_is_looked_at_is_described(site: IntakeSite, tmp_path: Path) -> None:
    await refused_before(Record(await described(site)))
    async with viewing(tmp_path) as views:
        record = Record((await views.site.client.get("/openapi.json")).json())
        await refused_before(record)
        assert record.seen["/v2/views/pages/{wiki}/{title}", "get"] == {400, 429}


async def counts_answer(site: IntakeSite, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each status of counts."""
    client, counting = site.site.client, site.site.gateway.counting

    async def away(_: object) -> NoReturn:
        raise LogUnavailable

    assert record.add(await client.get("/v2/streams/bare/counts?by=meta.domain")).status_code == 200
    assert record.add(await client.get("/v2/streams/bare/counts?step=soon")).status_code == 400
    assert record.add(await client.get("/v2/streams/nobody/counts")).status_code == 404
    with monkeypatch.context() as patch:
        patch.setattr("gateway.counts.counting.MOST_OF_ONE", 0)
        assert record.add(await client.get("/v2/streams/bare/counts")).status_code == 429
        patch.setattr("gateway.counts.counting.MOST_OF_ONE", 8)
        patch.setattr(counting.log, "describe", away)
        assert record.add(await client.get("/v2/streams/bare/counts")).status_code == 503


@pytest.mark.long
async def test_what_a_trial_answers_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    # How long a trial may take is no matter here, and its process may begin late where all cores are busy.
    monkeypatch.setattr("gateway.derive.trials.SECONDS", WAIT)
    monkeypatch.setattr("gateway.derive.trials.READ_SECONDS", WAIT)
    async with running(derive_trials="public") as site:
        document = (await site.get("/openapi.json")).json()
        (operation,) = [item for path, _, item in operations(document) if path == "/explorer/trial"]
        found = operation["responses"]["200"]["content"]["application/json"]["schema"]
        site.put("wide", NewRecord(b'{"meta": {"dt": "2026-01-01T00:00:00Z"}}'), NewRecord(b"{"))
        wrong = await site.client.post("/explorer/trial", content=b"mine: {}", timeout=2 * WAIT)
        right = await site.client.post("/explorer/trial", content=b"mine: {derive: {from: [wide]}}", timeout=2 * WAIT)
        assert right.json()["counts"]["records"] == 2
        for answer in (wrong, right):
            jsonschema_rs.validator_for(found).validate(answer.json())
        seen = {*wrong.json(), *right.json()}
        assert seen <= set(found["properties"])
        assert set(found["properties"]) - seen <= set()
    async with running() as site:
        assert "/explorer/trial" not in (await site.get("/openapi.json")).json()["paths"]


async def shared_by_all(site: IntakeSite, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """What any operation may answer is the same for all."""
    beginning = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: "
    huge = await site.site.raw(beginning + b"a" * (ConnectionBounds().request_head_max + 1 - len(beginning)))
    assert huge.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in huge

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RateRoutes, "rates", broken)
    async with intake() as other:
        assert record.add(await other.site.client.get("/explorer/rates")).status_code == 500


async def test_each_status_of_the_intake_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    async with intake(Log(), intake_max_bytes=20_000, intake_max_events=20) as site:
        record = Record(await described(site))

        async def post(body: Any, query: str = "", **headers: str) -> int:
            return record.add(await site.post(body, query, **headers)).status_code

        assert await post(change()) == 201
        assert await post([change(), {"a": 1}]) == 207
        assert await post(change(), "?hasty=true") == 202
        assert await post({"a": 1}) == 400
        assert await post(b"a" * 30_000) == 413
        assert await post([change()] * 21) == 413
        assert await post(change(), content_type="image/png") == 415
        assert await post(change(), content_encoding="br") == 415
        assert await post(bare(), idempotency_key="a") == 201
        assert await post(bare(2), idempotency_key="a") == 422
        site.log.away.add("later")
        assert await post(change()) == 503
        monkeypatch.setattr(events, "BODY_SECONDS", 0.05)
        late = await site.site.raw(
            b"POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
            b"\r\n\r\n",
        )
        assert late.startswith(b"HTTP/1.1 408 ")
        async with intake(limit_intake=1.0, trusted_proxies=("127.0.0.1",)) as other:
            for _ in range(2):
                record.add(await other.post([change()] * 20, x_forwarded_for="198.51.100.1"))
        [operation] = [one for path, _, one in operations(record.document) if path == EVENTS]
        told = {int(status) for status in operation["responses"]}
        assert record.seen[EVENTS, "post"] | {408, 431, 500} == told


async def test_tokens_that_are_not_accepted_are_described() -> None:
    async with serving() as site:
        record = Record((await site.get("/openapi.json")).json())
        for path in ("/v2/stream/news", "/v2/streams", "/v2/streams/news"):
            assert record.add(await site.get(path, headers=bearer("unknown"))).status_code == 401
            assert record.add(await site.get(path, headers=bearer("no token"))).status_code in (400, 401)
        assert record.add(await site.client.post(EVENTS, headers=bearer("unknown"), json={})).status_code == 401
        text = json.dumps(record.document) + (await site.get("/asyncapi.json")).text + (await site.get("/docs")).text
        assert "secret" not in text
        assert "quux" not in text


async def test_documents_follow_a_reload() -> None:
    async with running(MemoryLog(), (Stream("first", ("first",)),)) as site:
        before = {path: (await site.get(path)) for path in ("/openapi.json", "/asyncapi.json", "/docs")}
        definitions = site.gateway.current.definitions
        catalog = type(definitions.catalog)((Stream("second", ("second",)), Stream("third", ("third",), public=False)))
        site.log.create_topic("second", 1)
        await site.gateway.take(Definitions(catalog, definitions.schemas))
        for path, answer in before.items():
            after = await site.get(path)
            assert "second" in after.text
            assert "third" not in after.text
            assert after.headers["etag"] != answer.headers["etag"]


async def test_the_page_may_do_nothing(site: IntakeSite) -> None:
    answer = await site.site.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert answer.headers["access-control-allow-origin"] == "*"
    index = (await site.site.get("/", headers={"accept": "application/json"})).json()
    assert (index["openapi"], index["asyncapi"], index["documents"]) == ("/openapi.json", "/asyncapi.json", "/docs")


async def test_a_gateway_without_intake_describes_none() -> None:
    async with running(intake="off") as site:
        document = (await site.get("/openapi.json")).json()
        assert EVENTS not in document["paths"]
        assert "send" not in (await site.get("/asyncapi.json")).json()["operations"]

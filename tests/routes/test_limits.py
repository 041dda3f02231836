"""Limits over HTTP: who is counted, what is refused, and that nothing stays counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.limits.ledger import Ledger
from gateway.limits.memory import MemoryLimiter
from gateway.model.record import TopicPartition
from tests.kit.waiting import becomes
from tests.routes.intake import change, intake
from tests.routes.kit import START, Site, hold_time, running, stored

PATH = "/v2/stream/page.edit"


def from_address(address: str) -> dict[str, str]:
    return {"x-forwarded-for": address}


@asynccontextmanager
async def limited(**settings: Any) -> AsyncIterator[Site]:
    """A gateway behind a proxy on this machine."""
    async with running(**{"trusted_proxies": ("127.0.0.1",), **settings}) as site:
        yield site


def ledger(site: Site) -> Ledger:
    assert isinstance(site.gateway.limiter, MemoryLimiter)
    return site.gateway.limiter._ledger


def held(site: Site) -> int:
    return ledger(site).streams


async def test_streams_of_an_address() -> None:
    async with limited(limit_streams_per_address=2) as site:
        headers = from_address("198.51.100.1")
        async with site.stream(PATH, headers=headers), site.stream(PATH, headers=headers):
            response = await site.get(PATH, headers=headers)
            assert response.status_code == 429
            assert response.headers["content-type"] == "application/problem+json"
            assert int(response.headers["retry-after"]) > 0
            assert response.headers["access-control-allow-origin"] == "*"
            assert response.json()["limit"] == "limit_streams_per_address"
            async with site.stream(PATH, headers=from_address("198.51.100.2")) as other:
                assert other.status == 200
        await becomes(lambda: held(site) == 0)
        async with site.stream(PATH, headers=headers) as again:
            assert again.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{PATH}?limit=1&since=2000-01-01", 200),
        ("HEAD", PATH, 200),
        ("GET", f"{PATH}?since=2000-01-01&until=2001-01-01", 204),
        ("GET", f"{PATH}?limit=x", 400),
        ("GET", f'{PATH}?last_event_id=[{{"topic":"one.page.edit","partition":9,"offset":1}}]', 404),
        ("GET", "/v2/stream/none", 404),
    ],
)
async def test_nothing_stays_counted(method: str, path: str, status: int) -> None:
    async with limited() as site:
        site.put("one.page.edit", stored(1))
        response = await site.client.request(method, path, headers=from_address("198.51.100.1"))
        assert response.status_code == status
        await becomes(lambda: held(site) == 0)


async def test_who_has_not_paid_for_filters_gets_no_other() -> None:
    async with limited(limit_filters=2, limit_connects=0) as site:
        site.put("one.page.edit", *[stored(number) for number in range(30)])
        headers = from_address("198.51.100.1")
        costly = f"{PATH}?since=2000-01-01&filter=event.exists(name, name == 'x')"
        async with site.stream(costly, headers=headers) as first:
            assert first.status == 200
            await becomes(lambda: any(due > 0 for due in ledger(site)._due.values()))
            response = await site.get(costly, headers=headers)
            assert response.status_code == 429
            assert response.json()["limit"] == "limit_filters"
            assert int(response.headers["retry-after"]) >= 1
            async with site.stream(PATH, headers=headers) as unfiltered:
                assert unfiltered.status == 200


async def test_new_streams_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may take so long to read a request that the second is refused already.
    monkeypatch.setattr("gateway.routes.admission.READ_SECONDS", 3600.0)
    async with limited(limit_connects=0.2) as site:
        hold_time(site)
        headers = from_address("198.51.100.1")
        for _ in range(2):
            assert (await site.client.head(PATH, headers=headers)).status_code == 200
        response = await site.client.head(PATH, headers=headers)
        assert response.status_code == 429
        assert 1 <= int(response.headers["retry-after"]) <= 5


async def test_those_on_this_machine_have_no_limits() -> None:
    async with running(limit_streams_per_address=1) as site, site.stream(PATH), site.stream(PATH) as second:
        assert second.status == 200
        assert held(site) == 0


async def test_a_header_of_nobody_who_is_trusted_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with running(limit_streams_per_address=1) as site:
        headers = from_address("198.51.100.1")
        async with site.stream(PATH, headers=headers):
            # Whoever they say they are, they are one.
            assert (await site.get(PATH, headers=from_address("198.51.100.2"))).status_code == 429
    warnings = [record.message for record in caplog.records if "trusted_proxies" in record.message]
    assert len(warnings) == 1
    assert "198.51.100" not in caplog.text


async def test_networks_with_limits_of_their_own() -> None:
    networks = {"partners": {"networks": ["203.0.113.0/24"], "streams": 2}}
    async with limited(limit_streams_per_address=1, limit_networks=networks) as site:
        headers = from_address("203.0.113.7")
        async with site.stream(PATH, headers=headers), site.stream(PATH, headers=headers) as second:
            assert second.status == 200
            assert (await site.get(PATH, headers=headers)).status_code == 429


async def test_events_a_second() -> None:
    async with intake(limit_intake=2.0, trusted_proxies=("127.0.0.1",)) as here:
        site = here.site
        hold_time(site)
        headers = {**from_address("198.51.100.1"), "content-type": "application/json"}
        body = json.dumps([change(number) for number in range(20)])
        first = await site.client.post("/v1/events", content=body, headers=headers)
        assert first.status_code == 201
        second = await site.client.post("/v1/events", content=body, headers=headers)
        assert second.status_code == 429
        assert 1 <= int(second.headers["retry-after"]) <= 12
        assert second.json()["limit"] == "limit_intake"
        other = {**headers, **from_address("198.51.100.2")}
        assert (await site.client.post("/v1/events", content=body, headers=other)).status_code == 201


async def test_a_replay_is_slowed_and_lives() -> None:
    async with limited(limit_replay=20_000, ring_bytes=65536, ring_fill=0.0, heartbeat=0.05) as site:
        # More than the ring holds.
        site.put("one.page.edit", *(stored(number, START + number, text="x" * 4000) for number in range(60)))
        await becomes(lambda: site.gateway.hub.ring.end(TopicPartition("one.page.edit", 0)) == 60)
        since = f"{PATH}?since=2000-01-01"
        async with site.stream(since, headers=from_address("198.51.100.1")) as slow, site.stream(since) as fast:
            assert await fast.numbers(60) == list(range(60))
            assert await slow.numbers(60) == list(range(60))
            site.put("one.page.edit", stored(60))
            assert await fast.numbers(1) == [60]
            # What was sent has to be paid for; meanwhile the client hears that the stream lives.
            for _ in range(3):
                assert "data" not in await slow.frame()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{PATH}?limit=x", 400),
        ("GET", f"{PATH}?filter=%27", 400),
        ("GET", f"{PATH}?last_event_id=x", 400),
        ("GET", "/v2/stream/none", 404),
        ("POST", "/v1/events", 415),
        ("GET", "/v2/streams/none", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v2/streams", 200),
        ("GET", "/openapi.json", 200),
    ],
)
async def test_a_refused_request_counts_too(method: str, path: str, status: int) -> None:
    async with limited(limit_connects=0.2, limit_requests=0.2, limit_intake=1.0) as site:
        hold_time(site)
        headers = from_address("198.51.100.1")
        statuses = [(await site.client.request(method, path, headers=headers)).status_code for _ in range(4)]
        # What takes long to be read counts more, so that the second may be refused already.
        assert statuses[0] == status
        assert statuses[2:] == [429, 429]
        assert (await site.client.request(method, path, headers=from_address("198.51.100.2"))).status_code == status
        assert (await site.get("/healthz", headers=headers)).status_code == 200
        await becomes(lambda: held(site) == 0)
        # On this machine nobody is counted, but for who speaks for others.
        assert (await site.client.request(method, path)).status_code == status


async def test_a_request_of_many_parameters_is_not_looked_into() -> None:
    async with limited() as site:
        response = await site.get("/v2/streams?" + "a=1&" * 10_000)
        assert response.status_code == 400
        assert "parameters" in response.json()["detail"]


async def test_a_request_that_takes_long_counts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(1000))
    monkeypatch.setattr("gateway.routes.streams.time.thread_time", lambda: next(times) * 0.05)
    async with limited(limit_connects=1.0) as site:
        hold_time(site)
        headers = from_address("198.51.100.1")
        statuses = [(await site.client.head(PATH, headers=headers)).status_code for _ in range(3)]
        assert statuses == [200, 429, 429]


async def test_a_filter_that_always_takes_too_much_ends_its_stream_and_is_refused_for_a_while() -> None:
    async with running(filter_max_steps=10) as site:
        site.put("one.page.edit", *[stored(number) for number in range(150)])
        path = f"{PATH}?since=2000-01-01&filter=event.all(name, name != 'x')"
        response = await site.get(path)
        assert response.status_code == 200
        assert "event: error" in response.text
        assert "10 steps (filter_max_steps)" in response.text
        again = await site.get(path)
        assert again.status_code == 400
        assert again.json()["parameter"] == "filter"
        assert "filter_max_steps" in again.json()["detail"]
        async with site.stream(f"{PATH}?filter=event.n == 1") as other:
            assert other.status == 200

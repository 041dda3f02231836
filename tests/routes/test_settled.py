"""Ranges that will not change any more: a validator, and how long caches may keep them; and all others."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import TopicPartition
from gateway.times import iso_time
from tests.routes.kit import MARGIN, PATIENCE, START, Site, lines, position, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINES = {"accept": "application/x-ndjson"}
RANGE = {"since": iso_time(START), "until": iso_time(START + 3 * MARGIN)}


async def put(site: Site, name: str) -> str:
    """Five events; the path of their stream."""
    site.put(name, *(stored(number) for number in range(5)))
    return f"/v2/stream/{name}"


async def test_a_settled_range_may_be_kept(site: Site, name: str) -> None:
    path = await put(site, name)
    first = await site.get(path, params=RANGE, headers=LINES)
    assert [event["number"] for event in lines(first) if "number" in event] == [0, 1, 2]
    assert first.headers["cache-control"] == "public, max-age=86400"
    # Two answers may differ in heartbeats.
    assert first.headers["etag"].startswith('W/"')
    assert first.headers["vary"] == "accept, accept-encoding, authorization, last-event-id"
    head = await site.client.head(path, params=RANGE, headers=LINES)
    told = {name for name in first.headers if name not in ("date", "x-request-id", "transfer-encoding", "connection")}
    assert {name: head.headers.get(name) for name in told} == {name: first.headers[name] for name in told}
    known = {**LINES, "if-none-match": first.headers["etag"]}
    assert (await site.client.head(path, params=RANGE, headers=known)).status_code == 304
    again = await site.get(path, params=RANGE, headers={**LINES, "if-none-match": f'"x", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == first.headers["cache-control"]
    # Records that come late are behind its end.
    site.put(name, stored(9, START))
    assert (await site.get(path, params=RANGE, headers=LINES)).headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    "more", [{"fields": "number"}, {"filter": "event.number > 0"}, {"limit": "2"}, {"canary": "true"}], ids=str
)
async def test_other_questions_have_other_validators(site: Site, name: str, more: dict[str, str]) -> None:
    path = await put(site, name)
    plain = await site.get(path, params=RANGE, headers=LINES)
    other = await site.get(path, params={**RANGE, **more}, headers=LINES)
    assert other.headers["cache-control"] == "public, max-age=86400"
    assert other.headers["etag"] != plain.headers["etag"]
    packed = await site.get(path, params=RANGE, headers={**LINES, "accept-encoding": "gzip"})
    assert packed.headers["etag"] != plain.headers["etag"]


async def test_what_moves_is_not_kept(site: Site, name: str) -> None:
    path = await put(site, name)
    beginning = position((name, 0, 0, START))
    for params, headers in (
        (RANGE, {"accept": "text/event-stream"}),
        ({"since": "9000d", "until": RANGE["until"]}, LINES),
        ({**RANGE, "until": "1m"}, LINES),
        ({"since": RANGE["since"], "limit": "2"}, LINES),
        (RANGE, {**LINES, "last-event-id": beginning}),
        ({"until": RANGE["until"], "last_event_id": beginning}, LINES),
    ):
        answer = await site.get(path, params=params, headers=headers)
        assert answer.headers["cache-control"] == "no-store", (params, headers)
        assert "etag" not in answer.headers


async def test_a_range_that_ended_a_moment_ago_is_not_settled() -> None:
    log = MemoryLog()
    async with running(log) as site:
        now = site.gateway.clock.now()
        site.put("log.all", *(stored(number, now - 7_300_000 + number) for number in range(3)))
        ends = {"since": iso_time(now - 7_400_000)}
        young = await site.get("/v2/stream/log.all", params={**ends, "until": iso_time(now - 3_500_000)}, headers=LINES)
        assert young.headers["cache-control"] == "no-store"
        old = await site.get("/v2/stream/log.all", params={**ends, "until": iso_time(now - 3_700_000)}, headers=LINES)
        assert old.headers["cache-control"] == "public, max-age=86400"


async def test_retention_makes_it_another(site: Site, name: str) -> None:
    path = await put(site, name)
    first = await site.get(path, params=RANGE, headers=LINES)
    site.log.truncate(name, 0, 1)
    other = await site.get(path, params=RANGE, headers={**LINES, "if-none-match": first.headers["etag"]})
    assert [event["number"] for event in lines(other) if "number" in event] == [1, 2]


async def test_none_is_kept_where_that_is_off() -> None:
    async with running(settled_max_age=0) as site:
        site.put("log.all", *(stored(number) for number in range(5)))
        answer = await site.get("/v2/stream/log.all", params=RANGE, headers=LINES)
        assert answer.headers["cache-control"] == "no-store"


async def test_what_is_kept_is_in_the_order_of_time() -> None:
    """A partition that fails for a while comes later than its time, which is no answer for the others who ask."""
    log = MemoryLog()
    log.create_topic("wide", 3)
    log.append_now("wide", [stored(number)._replace(partition=number % 3) for number in range(60)])
    log.spoil(TopicPartition("wide", 1), Trouble(Kind.UNAVAILABLE, "its disk is slow", 5, 10))
    ends = {"since": iso_time(START + MARGIN), "until": iso_time(START + 50 * MARGIN)}
    async with running(log, ring_fill=0.0) as site:
        async with site.client.stream("GET", "/v2/stream/wide", params=ends, headers=LINES) as answer:
            assert answer.headers["etag"]
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(httpx.RemoteProtocolError):
                    await answer.aread()
        log.spoil(TopicPartition("wide", 1), None)
        whole = await site.get("/v2/stream/wide", params=ends, headers=LINES)
        assert [event["number"] for event in lines(whole) if "number" in event] == list(range(1, 50))


async def test_a_part_is_never_taken_for_the_whole(site: Site, name: str) -> None:
    path = await put(site, name)
    site.put(name, *(stored(5 + number, START + 5 * MARGIN, text="x" * 100_000) for number in range(60)))
    until = iso_time(START + 6 * MARGIN)
    async with site.client.stream("GET", path, params={**RANGE, "until": until}, headers=LINES) as response:
        assert response.headers["cache-control"].startswith("public")
        for session in list(site.gateway.streams.sessions):
            session.stop()
        with pytest.raises(httpx.RemoteProtocolError):
            await response.aread()

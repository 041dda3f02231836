"""The two forms of ids over a real connection: which is sent, what is taken back, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.catalog.stream import Stream
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.position import (
    LARGEST_INTEGER,
    SMALLEST_TIME,
    ConsumedPosition,
    Ids,
    PositionEncoder,
    RequestedPosition,
    parse_position,
)
from gateway.model.record import NewRecord, TopicPartition
from tests.kit.waiting import becomes
from tests.routes.kit import EARLY, START, Site, frames, lines, numbers, running, stored
from tests.routes.test_problems import problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARTITIONS = 60
STREAMS = (
    Stream("few", ("few",)),
    Stream("many", ("many",)),
    Stream("by-time", ("by-time",), resume="timestamp"),
    Stream("odd", ("odd",)),
    Stream("late-json", ("late-json",)),
    Stream("late-compact", ("late-compact",)),
    Stream("grows", ("grows",)),
    Stream("odd-by-time", ("odd-by-time",), resume="timestamp"),
)
WAYS = ["Last-Event-ID", "last_event_id", "lastEventId"]
ODD = [-1, START, SMALLEST_TIME, LARGEST_INTEGER, START * 1000, -1, START + 1, 0]
"""Times of records, in the order of the log."""


def log_of() -> MemoryLog:
    log = MemoryLog()
    log.create_topic("many", PARTITIONS)
    log.create_topic("by-time", PARTITIONS)
    for topic in ("many", "by-time"):
        log.append_now(topic, [stored(n)._replace(partition=n % PARTITIONS) for n in range(2 * PARTITIONS)])
    log.create_topic("few", 2)
    log.append_now("few", [stored(n)._replace(partition=n % 2) for n in range(6)])
    log.create_topic("odd")
    log.append_now("odd", [stored(n, time) for n, time in enumerate(ODD)])
    log.create_topic("odd-by-time")
    log.append_now("odd-by-time", [stored(n, time) for n, time in enumerate([START, START, -1, START + 1, -1])])
    return log


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[Site]:
    """A gateway over topics of few and many partitions."""
    async with running(log_of(), STREAMS) as site:
        yield site


async def ask(site: Site, way: str, identifier: str, path: str, query: str = "") -> httpx.Response:
    if way == "Last-Event-ID":
        return await site.get(f"{path}?{query}", headers={way: identifier})
    return await site.get(f"{path}?{query}", params={**dict(httpx.QueryParams(query)), way: identifier})


def ids(response: httpx.Response) -> list[str]:
    return [frame.id for frame in frames(response.content) if frame.event == "message"]


@pytest.mark.parametrize(
    ("query", "begins"),
    [
        ("few?", "["),
        ("many?", "p1."),
        ("few?ids=compact&", "p1."),
        ("many?ids=json&", "["),
        ("many?ids=compact&", "p1."),
    ],
)
async def test_the_form_is_json_where_that_is_short_or_asked_for(site: Site, query: str, begins: str) -> None:
    found = ids(await site.get(f"/v2/stream/{query}{EARLY}&limit=2"))
    assert len(found) == 2
    assert all(one.startswith(begins) for one in found)


async def test_both_forms_say_the_same(site: Site) -> None:
    text = await site.get(f"/v2/stream/many?{EARLY}&limit=70&ids=json")
    compact = await site.get(f"/v2/stream/many?{EARLY}&limit=70&ids=compact")
    assert numbers(text) == numbers(compact)
    assert [*map(parse_position, ids(text))] == [*map(parse_position, ids(compact))]
    assert len(compact.content) < len(text.content) / 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", ["many", "by-time"])
async def test_every_id_is_taken_back_in_either_form(site: Site, way: str, stream: str) -> None:
    path = f"/v2/stream/{stream}"
    for form in ("json", "compact"):
        first = await site.get(f"{path}?{EARLY}&limit=90&ids={form}")
        for other in ("json", "compact"):
            rest = await ask(site, way, ids(first)[-1], path, f"limit=30&ids={other}")
            assert numbers(first) + numbers(rest) == list(range(2 * PARTITIONS))


@pytest.mark.parametrize("form", ["json", "compact"])
async def test_live_frames_and_heartbeats_carry_it_too(site: Site, form: str) -> None:
    name = f"late-{form}"
    async with site.stream(f"/v2/stream/{name}?ids={form}") as reading:
        assert parsed((await reading.frame())["id"]) == {TopicPartition(name, 0): RequestedPosition(None, 0)}
        site.put(name, stored(0, -1))
        frame = await reading.message()
        place, tail = next(iter(parsed(frame["id"]).items()))
        assert tail.timestamp == -1
        beat = await reading.frame()
        assert parsed(beat["id"]) == {place: tail}


def parsed(shown: Any) -> dict[TopicPartition, RequestedPosition]:
    if isinstance(shown, str):
        return parse_position(shown)
    return {TopicPartition(one["topic"], one["partition"]): requested_of(one) for one in shown}


def requested_of(entry: dict[str, int]) -> RequestedPosition:
    return RequestedPosition(entry["offset"] if entry["offset"] >= 0 else None, entry["timestamp"])


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_no_token_is_400_and_says_why(site: Site, way: str) -> None:
    good = ids(await site.get(f"/v2/stream/many?{EARLY}&limit=1"))[0]
    for bad, why in [
        (good[:-1], "cut or changed"),
        (good[:40], "cut or changed"),
        (good[:50] + ("A" if good[50] != "A" else "B") + good[51:], "cut or changed"),
        ("p2" + good[2:], "version p2"),
        (good[1:], "neither JSON"),
        (good + good, "cut or changed"),
        (good.lower(), "cut or changed"),
    ]:
        detail = problem(await ask(site, way, bad, "/v2/stream/many"), 400, way)
        assert why in detail


@pytest.mark.parametrize("way", WAYS)
async def test_a_token_of_other_streams_names_what_is_not_here(site: Site, way: str) -> None:
    other = ids(await site.get(f"/v2/stream/few?{EARLY}&limit=1&ids=compact"))[0]
    detail = problem(await ask(site, way, other, "/v2/stream/many"), 404, way)
    assert "'few' is not in this subscription" in detail
    beyond = {TopicPartition("few", 9): ConsumedPosition(1, START)}
    token = PositionEncoder(dict.fromkeys(beyond, False), ids=Ids("compact")).identifier(beyond).decode()
    assert "partitions 0 to 1" in problem(await ask(site, way, token, "/v2/stream/few"), 404, way)


async def test_lines_have_no_ids_whatever_is_asked_for(site: Site) -> None:
    accept = {"accept": "application/x-ndjson"}
    found = await site.get(f"/v2/stream/many?{EARLY}&limit=2&ids=compact", headers=accept)
    assert [one["number"] for one in lines(found)[:2]] == [0, 1]
    problem(await site.get("/v2/stream/many?ids=short", headers=accept), 400, "ids")


@pytest.mark.parametrize("form", ["json", "compact"])
async def test_records_of_any_time_are_gone_on_after(site: Site, form: str) -> None:
    path = "/v2/stream/odd"
    whole = await site.get(f"{path}?since=0&limit={len(ODD)}&ids={form}")
    assert numbers(whole) == list(range(len(ODD)))
    for number, identifier in enumerate(ids(whole)[:-1]):
        rest = await ask(site, "Last-Event-ID", identifier, path, f"limit={len(ODD) - number - 1}")
        assert numbers(rest) == list(range(number + 1, len(ODD)))
        assert b"event: gap" not in rest.content


async def test_by_time_a_record_without_one_leads_back_to_what_stood_before_it(site: Site) -> None:
    path = "/v2/stream/odd-by-time"
    whole = await site.get(f"{path}?{EARLY}&limit=5")
    assert numbers(whole) == [0, 1, 2, 3, 4]
    for number, identifier in enumerate(ids(whole)):
        # What comes again is what has no time; nothing is left out.
        again = {2: [2], 4: [4]}.get(number, [])
        wanted = again + list(range(number + 1, 5))
        async with site.stream(path, headers={"last-event-id": identifier}) as reading:
            assert await reading.numbers(len(wanted)) == wanted


async def test_the_catalogue_shows_what_no_calendar_has(site: Site) -> None:
    found = (await site.get("/v2/streams")).json()
    odd = next(one for one in found if one["name"] == "odd")
    assert odd["newest"] == "1970-01-01T00:00:00.000Z"
    assert len(found) == len(STREAMS)
    assert (await site.get("/v2/streams/odd")).json()["example"]["number"] == len(ODD) - 1


async def test_a_subscription_whose_ids_could_not_come_back_is_refused() -> None:
    async with running(log_of(), STREAMS, last_event_id_max=1500, compact_ids=1000) as site:
        await becomes(lambda: len(site.gateway.hub.partitions(["many"])) == PARTITIONS)
        detail = problem(await site.get("/v2/stream/many?limit=1"), 400, "streams")
        assert "60 partitions" in detail
        assert "last_event_id_max" in detail
        assert "fewer streams" in detail
        assert "ids=compact" not in detail
        assert "`ids=compact`" in problem(await site.get("/v2/stream/many?limit=1&ids=json"), 400, "ids")
        found = await site.get(f"/v2/stream/many?{EARLY}&limit=1", headers={"accept": "application/x-ndjson"})
        assert lines(found)[0]["number"] == 0
        assert numbers(await site.get(f"/v2/stream/few?{EARLY}&limit=1")) == [0]


async def test_a_stream_ends_with_the_reason_where_its_ids_come_to_be_too_long() -> None:
    log = log_of()
    async with running(log, STREAMS, last_event_id_max=1500) as site:
        async with site.stream("/v2/stream/grows?ids=json") as reading:
            site.put("grows", stored(0))
            assert await reading.numbers(1) == [0]
            log.add_partitions("grows", 40)
            while (frame := await reading.frame()).get("event") != "error":
                pass
            assert frame["data"]["status"] == 400
            assert "ids=compact" in frame["data"]["detail"]
        await asyncio.sleep(0)
        assert numbers(await site.get(f"/v2/stream/grows?{EARLY}&limit=1&ids=compact")) == [0]


@pytest.mark.long
async def test_partitions_that_are_added_between_begin_at_their_first_record() -> None:
    log = log_of()
    async with running(log, STREAMS) as site:
        first = await site.get(f"/v2/stream/many?{EARLY}&limit={2 * PARTITIONS}")
        log.add_partitions("many", PARTITIONS + 1)
        log.append_now("many", [NewRecord(stored(500, 5).value, timestamp=5, partition=PARTITIONS)])
        await becomes(lambda: len(site.gateway.hub.partitions(["many"])) == PARTITIONS + 1)
        rest = await ask(site, "Last-Event-ID", ids(first)[-1], "/v2/stream/many", "limit=1")
        assert numbers(rest) == [500]

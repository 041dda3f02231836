"""Positions in an earlier version of a derived stream: the present one continues after them."""

from __future__ import annotations

import asyncio
from itertools import product
from pathlib import Path

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.errors import LogUnavailable, Problem
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Bounds
from gateway.feed.selection import Selection
from gateway.model.position import RequestedPosition
from gateway.model.record import NewRecord, TopicPartition
from gateway.routes.parameters import RequestBounds, read_request
from gateway.subscription.origin import Origin
from gateway.subscription.session import Session
from gateway.subscription.subscription import Request
from gateway.subscription.succession import _records, succeed
from gateway.wire.sse import SSE
from tests.kit.waiting import becomes
from tests.subscription.client import FakeSink
from tests.subscription.test_session import PATIENCE, Site

OLD, NEW = "a", "a.v2"
SUCCESSORS = {OLD: NEW}
Row = tuple[int, str]
"""The end of a window, and a key."""
WINDOWS: list[list[Row]] = [[(10, "a"), (10, "c"), (20, "a"), (20, "c"), (20, "e")], [(10, "b"), (30, "b"), (30, "d")]]
"""Of both partitions; several keys have a row at one time."""
LATER: list[list[Row]] = [[(40, "a")], [(40, "b"), (50, "b")]]
EARLIER: list[list[Row]] = [[(5, "a")], [(5, "b")]]
"""What only the present version has, since it begins further back."""


def put(log: MemoryLog, topic: str, parts: list[list[Row]]) -> None:
    for number, part in enumerate(parts):
        for time, key in part:
            log.append_now(topic, [NewRecord(orjson.dumps({"n": time}), key.encode(), time, number)])


def logged(new: list[list[Row]] | None = None) -> MemoryLog:
    log = MemoryLog()
    log.create_topic(OLD, 2)
    log.create_topic(NEW, 2)
    put(log, OLD, WINDOWS)
    put(log, NEW, new or [a + b + c for a, b, c in zip(EARLIER, WINDOWS, LATER, strict=True)])
    return log


def at(read: tuple[int, int]) -> dict[TopicPartition, RequestedPosition]:
    """The position of who has read so many rows of each partition."""
    return {
        TopicPartition(OLD, number): RequestedPosition(count - 1, WINDOWS[number][count - 1][0])
        if count
        else RequestedPosition(None, 0)
        for number, count in enumerate(read)
    }


async def followed(log: MemoryLog, origin: Origin) -> list[list[Row]]:
    """What comes in each partition after the origin."""
    places = [TopicPartition(NEW, number) for number in range(2)]
    found = await succeed(log, origin, places)
    assert not found.former
    rest: list[list[Row]] = []
    for place in places:
        requested = found.requested[place]
        bounds = (await log.bounds([place]))[place]
        assert isinstance(bounds, Bounds)
        first = 0
        if requested.offset is not None:
            first = requested.offset + 1
        elif requested.timestamp:
            offset = (await log.find({place: requested.timestamp}))[place]
            assert isinstance(offset, int)
            first = offset
        rest.append([(one.timestamp, (one.key or b"").decode()) for one in await _records(log, place, first, bounds)])
    return rest


@pytest.mark.parametrize("read", list(product(range(6), range(4))))
async def test_wherever_a_client_was_it_goes_on_with_the_next_row(read: tuple[int, int]) -> None:
    rest = await followed(logged(), Origin(former=at(read), successors=SUCCESSORS))
    for number, count in enumerate(read):
        # Who has read nothing gets all there is, also what the earlier version did not have.
        before = [] if count else EARLIER[number]
        assert rest[number] == before + WINDOWS[number][count:] + LATER[number]


async def test_rows_that_stand_in_no_order_of_time_are_passed_over_too() -> None:
    """As those of events that came out of order."""
    mixed = [[(10, "a"), (30, "b"), (20, "c"), (25, "d")], [(1, "x")]]
    log = MemoryLog()
    for topic in (OLD, NEW):
        log.create_topic(topic, 2)
        put(log, topic, mixed)
    former = {TopicPartition(OLD, 0): RequestedPosition(2, 20), TopicPartition(OLD, 1): RequestedPosition(0, 1)}
    assert (await followed(log, Origin(former=former, successors=SUCCESSORS)))[0] == [(25, "d")]


async def test_of_a_row_that_is_new_nothing_is_left_out() -> None:
    new = [[(10, "a"), (10, "b"), (10, "c"), (20, "a")], [(30, "d")]]
    rest = await followed(logged(new), Origin(former=at((2, 3)), successors=SUCCESSORS))
    assert rest[0] == [(10, "b"), (10, "c"), (20, "a")]


async def test_a_version_that_is_not_yet_that_far_is_waited_for() -> None:
    log = logged([[(10, "a")], [(10, "b")]])
    places = [TopicPartition(NEW, number) for number in range(2)]
    with pytest.raises(LogUnavailable, match="not yet as far"):
        await succeed(log, Origin(former=at((3, 1)), successors=SUCCESSORS), places)
    with pytest.raises(LogUnavailable, match="not there yet"):
        await succeed(log, Origin(former=at((3, 1)), successors=SUCCESSORS), [])


async def test_with_another_number_of_partitions_nothing_is_left_out() -> None:
    """Keys may be in others now, so all begin at the earliest time."""
    log = logged()
    places = [TopicPartition(NEW, number) for number in range(3)]
    found = await succeed(log, Origin(former=at((5, 1)), successors=SUCCESSORS), places)
    assert found.requested == dict.fromkeys(places, RequestedPosition(None, 10))


async def test_a_version_whose_topic_is_gone_is_followed_by_time() -> None:
    log = logged()
    log.delete_topic(OLD)
    rest = await followed(log, Origin(former=at((4, 3)), successors=SUCCESSORS))
    assert rest[0] == WINDOWS[0][2:] + LATER[0], "rather twice than never"


def catalog(tmp_path: Path) -> Catalog:
    path = tmp_path / "gateway.yaml"
    derived = "  a: {schema_title: row, derive: {from: [s], version: 2, select: {n: event.n}}}\n"
    path.write_text(f"streams:\n  s: {{}}\n  other: {{}}\n{derived}")
    return load(path).catalog


def test_the_id_of_an_earlier_version_is_accepted(tmp_path: Path) -> None:
    text = '[{"topic":"a","partition":0,"offset":4,"timestamp":20}]'
    bounds = RequestBounds()
    request, _ = read_request("a", b"", {"last-event-id": text}, catalog(tmp_path), bounds, 1000)
    assert request.origin.former == {TopicPartition(OLD, 0): RequestedPosition(4, 20)}
    assert (request.origin.requested, request.origin.successors) == ({}, SUCCESSORS)
    for name, other in (("a", text.replace('"a"', '"a.v3"')), ("other", text)):
        with pytest.raises(Problem, match="not in this subscription, which has"):
            read_request(name, b"", {"last-event-id": other}, catalog(tmp_path), bounds, 1000)


async def test_a_client_keeps_its_id_until_the_present_version_is_that_far() -> None:
    """And then reads on, through the hub, with ids of the present version."""
    log = MemoryLog()
    log.create_topic("before", 1)
    for topic in ("east", "west"):
        log.create_topic(topic, 1)
    put(log, "before", [[(10, "a"), (20, "a"), (20, "b")]])
    put(log, "east", [[(10, "a")]])
    former = {TopicPartition("before", 0): RequestedPosition(1, 20)}
    origin = Origin(former=former, successors={"before": "east"})
    async with Site(log).running() as site:
        session, sink = Session(site.services, Request(Selection(frozenset({"east"})), SSE, origin)), FakeSink()
        assert await session.prepare()
        task = asyncio.create_task(session.run(sink))
        try:
            await becomes(lambda: len(sink.frames) >= 2)
            assert '"before"' in str(sink.frames[-1].identifier)
            assert '"offset":1' in str(sink.frames[-1].identifier)
            put(log, "east", [[(20, "a"), (20, "b"), (30, "a")]])
            await becomes(lambda: len([one for one in sink.frames if one.is_message]) >= 2)
            frames = [one for one in sink.frames if one.is_message]
            assert [one.document["n"] for one in frames] == [20, 30]
            assert '"east"' in str(frames[-1].identifier)
        finally:
            sink.leave()
            async with asyncio.timeout(PATIENCE):
                await task
            session.close()

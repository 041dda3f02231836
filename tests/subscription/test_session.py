"""Sessions over a log in memory: what only shows where hub, feed and client come together."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.feed import live_clients
from gateway.feed.cache import BlockCache
from gateway.feed.feed import Feed
from gateway.feed.live import Broadcast
from gateway.feed.selection import Selection
from gateway.filters.compile import Filter, compile_filter
from gateway.filters.subject import Subject
from gateway.hub import past
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.past import Past
from gateway.model.position import parse_position
from gateway.model.record import NewRecord, TopicPartition
from gateway.subscription.origin import Origin
from gateway.subscription.services import Services
from gateway.subscription.session import Session
from gateway.subscription.subscription import Request
from gateway.wire.format import Format
from gateway.wire.ndjson import NDJSON
from gateway.wire.sse import SSE
from tests.kit.clock import LoopClock
from tests.kit.events import numbered
from tests.kit.frames import Frame
from tests.kit.waiting import becomes
from tests.subscription.client import FakeSink

PATIENCE = 60.0


class Site:
    """A process without its server."""

    def __init__(
        self, log: MemoryLog, by_timestamp: bool = False, ring_bytes: int = 10**7, flush_bytes: int = 65536
    ) -> None:
        options = HubOptions(ring_bytes, flush_interval=0.0, flush_bytes=flush_bytes, metadata_interval=0.01)
        topics = dict.fromkeys(("east", "west"), by_timestamp)
        self.clock = LoopClock()
        self.hub = Hub(log, topics, self.clock, options)
        cache = BlockCache(10**7)
        self.broadcast = Broadcast(self.hub, cache, self.clock, 0.05)
        self.hub.deliver, self.hub.renew = self.broadcast.deliver, self.broadcast.renew
        self.past = Past(log, 4, 1 << 20)
        self.hub.losses.memories += [lambda lost: cache.clear(), self.past.forget]
        self.services = Services(self.hub, self.broadcast, self.past, self.clock, 0.05, 1000)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Site]:
        tasks = [asyncio.create_task(self.hub.run()), asyncio.create_task(self.broadcast.beat())]
        try:
            async with asyncio.timeout(PATIENCE):
                await self.hub.filled.wait()
            yield self
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self.past.close()

    @asynccontextmanager
    async def client(
        self, identifier: str | None = None, form: Format = SSE, chosen: Filter | None = None, limit: int | None = None
    ) -> AsyncIterator[FakeSink]:
        """A client of both topics, until the end of the block."""
        origin = Origin(requested=parse_position(identifier)) if identifier else Origin()
        request = Request(Selection(frozenset({"east", "west"}), chosen), form, origin, limit=limit)
        session, sink = Session(self.services, request), FakeSink()
        assert await session.prepare()
        task = asyncio.create_task(session.run(sink))
        try:
            yield sink
        finally:
            sink.leave()
            async with asyncio.timeout(PATIENCE):
                await task
            session.close()


def numbers(sink: FakeSink) -> list[int]:
    return [frame.document["n"] for frame in sink.frames if frame.event == "message" and frame.data]


async def reads(sink: FakeSink, count: int) -> None:
    """Return when so many events have come."""
    await becomes(lambda: len(numbers(sink)) == count)


def event(number: int, timestamp: int) -> NewRecord:
    return NewRecord(numbered(number), None, timestamp)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create_topic("east")
    log.create_topic("west")
    return log


def told(sink: FakeSink, kind: str) -> Frame:
    [frame] = [frame for frame in sink.frames if frame.event == kind]
    return frame


@pytest.mark.parametrize("ring_bytes", [1, 10**7])
async def test_a_resume_amid_a_thousand_records_of_one_millisecond_goes_on_there(
    log: MemoryLog, ring_bytes: int
) -> None:
    async with Site(log, by_timestamp=True, ring_bytes=ring_bytes).running() as site:
        log.append_now("east", [event(number, 5000) for number in range(1000)])
        identifier = '[{"topic":"east","partition":0,"timestamp":0},{"topic":"west","partition":0,"timestamp":0}]'
        received: list[int] = []
        # Cut off by the limit at places that have nothing to do with the millisecond.
        for expected in (333, 333, 333, 1):
            async with site.client(identifier, limit=333) as sink:
                await reads(sink, expected)
            received += numbers(sink)
            identifier = sink.frames[-1].identifier or ""
        assert received == list(range(1000))


async def test_what_came_to_the_other_data_centre_meanwhile_is_delivered(log: MemoryLog) -> None:
    async with Site(log, by_timestamp=True).running() as site:
        log.append_now("east", [event(1, 5000)])
        async with site.client('[{"topic":"east","partition":0,"timestamp":1}]') as sink:
            await becomes(lambda: numbers(sink) == [1])
            identifier = sink.frames[-1].identifier
        # Older than what was read of the other topic.
        log.append_now("west", [event(2, 4000)])
        async with site.client(identifier) as sink:
            await becomes(lambda: numbers(sink) == [2])


async def test_resumed_clients_share_the_evaluation_of_their_filter(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    real = Filter.matches

    def matches(chosen: Filter, subject: Subject) -> bool:
        nonlocal calls
        calls += 1
        return real(chosen, subject)

    monkeypatch.setattr(Filter, "matches", matches)
    log.append_now("east", [event(0, 1)])
    async with Site(log).running() as site:
        log.append_now("east", [event(number, 1) for number in range(1, 101)])
        await becomes(lambda: site.hub.ring.records == 101)
        position = '[{"topic":"east","partition":0,"offset":0,"timestamp":1}]'
        for text in ("event.n > 50", "event.n>50", "event.n  >  50"):
            async with site.client(position, chosen=compile_filter(text)) as sink:
                await reads(sink, 50)
    assert calls <= 101


async def test_each_gap_is_told_again_where_the_connection_broke_before_it(log: MemoryLog) -> None:
    for topic in ("east", "west"):
        log.append_now(topic, [event(number, number) for number in range(9)])
        log.truncate(topic, 0, 6)
    position = '[{"topic":"east","partition":0,"offset":1,"timestamp":1},{"topic":"west","partition":0,"offset":2}]'
    async with Site(log).running() as site, site.client(position) as sink:
        await becomes(lambda: len(numbers(sink)) == 6)
        before, first, second = [json.loads(frame.identifier or "") for frame in sink.frames[:3]]
        assert [frame.event for frame in sink.frames[:3]] == ["message", "gap", "gap"]
        assert [[entry["offset"] for entry in position] for position in (before, first, second)] == [
            [1, 2],
            [5, 2],
            [5, 5],
        ]


AMID = '[{"topic":"east","partition":0,"offset":3,"timestamp":1003},{"topic":"west","partition":0,"offset":-1}]'


async def comes_again_for(log: MemoryLog, sink: FakeSink) -> None:
    """The topic is away, the client goes on with the other, and is told its own gap when the topic is back."""
    log.append_now("west", [event(10, 2000)])
    await becomes(lambda: 10 in numbers(sink))
    before = numbers(sink)
    east = json.loads(sink.frames[-1].identifier or "")[0]
    log.create_topic("east")
    log.append_now("east", [event(number, 3000) for number in range(20, 25)])
    await becomes(lambda: numbers(sink) == [*before, *range(20, 25)])
    gap = {"topic": "east", "partition": 0, "requested": east["offset"], "resumed": 0, "reason": "unknown"}
    assert told(sink, "gap").document == gap
    read = [number for number in before if number != 10]
    assert east == {"topic": "east", "partition": 0, "offset": max(read, default=3), "timestamp": 1000 + east["offset"]}


@pytest.mark.parametrize("known", [True, False], ids=["the process had read it", "the process never saw it"])
async def test_a_client_of_a_topic_that_is_away_is_told_its_own_gap(log: MemoryLog, *, known: bool) -> None:
    log.append_now("east", [event(number, 1000 + number) for number in range(9)])
    if not known:
        log.delete_topic("east")
    async with Site(log).running() as site:
        if known:
            log.delete_topic("east")
        await becomes(lambda: "east" not in site.hub.discovery.existing)
        async with site.client(AMID) as sink:
            await comes_again_for(log, sink)


async def test_a_client_amid_a_topic_that_goes_is_told_its_own_gap(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "SEGMENT_RECORDS", 2)
    monkeypatch.setattr(live_clients, "BUFFER_LIMIT", 0)
    log.append_now("east", [event(number, 1000 + number) for number in range(9)])
    async with Site(log).running() as site, site.client(AMID) as sink:
        sink.at_once = False
        await becomes(lambda: sink.buffered > 0)
        log.delete_topic("east")
        await becomes(lambda: "east" not in site.hub.discovery.existing)
        sink.at_once = True
        sink.drain()
        await comes_again_for(log, sink)


@pytest.mark.parametrize("form", [SSE, NDJSON])
@pytest.mark.parametrize("live", [True, False])
async def test_a_mistake_of_our_own_ends_the_stream_with_an_error(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, form: Format, live: bool
) -> None:
    async with Site(log).running() as site:
        position = (
            '[{"topic":"east","partition":0,"offset":-1,"timestamp":0},{"topic":"west","partition":0,"offset":-1}]'
        )
        sent: list[bytes] = []
        async with site.client(position, form) as sink, site.client(position, form) as other:
            for one in (sink, other):
                monkeypatch.setattr(one, "put", sent.append)
                if not live:
                    one.transport = None
            if live:
                await becomes(lambda: sum(len(feed.clients) for feed in site.broadcast._feeds.values()) == 2)

            def broken(feed: Feed, segment: object, chosen: object) -> None:
                raise ZeroDivisionError("a secret")

            with monkeypatch.context() as patched:
                patched.setattr(Feed, "_make", broken)
                log.append_now("east", [event(1, 1)])
                await becomes(lambda: sum(b"Internal error" in part for part in sent) == 2)
            # Everybody else is served.
            async with site.client(position, form) as served:
                monkeypatch.setattr(served, "put", sent.append)
                await becomes(lambda: any(numbered(1) in part for part in sent))
        assert not site.broadcast._feeds
    document = {
        "type": "about:blank",
        "title": "Internal error",
        "status": 500,
        "detail": "an internal error; the operator finds it in the log",
    }
    errors = [part for part in sent if b"Internal error" in part]
    if form is NDJSON:
        assert [json.loads(part) for part in errors] == [{"$error": document}] * 2
    else:
        for part in errors:
            kind, identifier, data = part.decode().rstrip("\n").split("\n")
            assert kind == "event: error"
            assert [entry["offset"] for entry in json.loads(identifier.removeprefix("id: "))] == [-1, -1]
            assert json.loads(data.removeprefix("data: ")) == document
    assert not any(b"secret" in part for part in sent)
    [record, *others] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    # One mistake in a block for many is told once.
    assert len(others) == (0 if live else 1)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_a_client_that_comes_while_the_ring_is_filled_misses_nothing(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(log, flush_bytes=300)
    log.append_now("east", [event(number, site.clock.now()) for number in range(50)])
    gate = asyncio.Event()
    real = site.hub._fill

    async def fill() -> None:
        await gate.wait()
        await real()

    monkeypatch.setattr(site.hub, "_fill", fill)
    running = asyncio.create_task(site.hub.run())
    try:
        await becomes(lambda: bool(site.hub.discovery.sought))
        first = '[{"topic":"east","partition":0,"timestamp":0},{"topic":"west","partition":0,"timestamp":0}]'
        async with site.client(first) as sink:
            await becomes(lambda: any(feed.clients for feed in site.broadcast._feeds.values()))
            gate.set()
            await becomes(lambda: len(numbers(sink)) == 50)
            assert numbers(sink) == list(range(50))
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_range_that_has_ended_stays_so_when_its_end_expires(log: MemoryLog) -> None:
    log.append_now("east", [event(number, 999_100 + number) for number in range(10)])
    async with Site(log).running() as site:
        origin = Origin(requested=parse_position('[{"topic":"east","partition":0,"offset":4,"timestamp":999104}]'))
        selection = Selection(frozenset({"east"}))
        log.truncate("east", 0, 8)
        for until, finished in ((999_105, True), (999_106, False)):
            session = Session(site.services, Request(selection, SSE, origin, until=until))
            assert await session.prepare() is not finished
            session.close()


EAST = TopicPartition("east", 0)


def large(number: int, size: int = 30_000) -> NewRecord:
    return NewRecord(numbered(number, text="x" * size), None, 5000 + number)


async def test_what_a_live_client_and_one_that_lags_do_not_take_is_counted_and_let_go(log: MemoryLog) -> None:
    async with Site(log, flush_bytes=20_000).running() as site:
        held = site.services.held
        async with site.client() as sink:
            await becomes(lambda: bool(sink.frames))
            sink.at_once = False
            log.append_now("east", [large(1)])
            await becomes(lambda: sink.buffered > 30_000)
            log.append_now("east", [large(2)])
            await becomes(lambda: sink.buffered > 60_000)
            assert held.size == sink.buffered, "of one that is live"
            log.append_now("east", [large(number) for number in range(3, 12)])
            await becomes(lambda: site.hub.ring.end(EAST) == 11)
            await becomes(lambda: held.size > sink.buffered + 30_000)
            sink.at_once = True
            sink.drain()
            await reads(sink, 11)
            await becomes(lambda: not held.size)
        assert held.size == 0


async def test_a_client_that_takes_nothing_is_cut_off_for_another_and_loses_nothing(log: MemoryLog) -> None:
    async with Site(log, flush_bytes=20_000).running() as site:
        held = site.services.held
        held.capacity = 40_000
        async with site.client() as stuck, site.client() as other:
            await becomes(lambda: bool(stuck.frames and other.frames))
            stuck.at_once = other.at_once = False
            log.append_now("east", [large(1)])
            await becomes(lambda: bool(stuck.buffered and other.buffered))
            other.drain()
            log.append_now("east", [large(2)])
            await becomes(lambda: stuck.was_cut)
            assert not other.was_cut
            other.at_once = True
            other.drain()
            await reads(other, 2)
            identifier = stuck.frames[-1].identifier
        async with site.client(identifier) as again:
            await reads(again, 2)

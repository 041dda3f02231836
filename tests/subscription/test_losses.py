"""What the log loses, its end or its beginning, as clients get to know it: nothing that is gone comes from memory."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.feed import live_clients
from gateway.hub import hub as hub_module
from gateway.hub import ordered
from gateway.model.record import NewRecord, TopicPartition
from gateway.subscription import reader
from tests.kit.events import numbered
from tests.kit.waiting import becomes
from tests.subscription.client import FakeSink
from tests.subscription.test_session import Site, event, numbers, reads

EAST = TopicPartition("east", 0)
EARLY = 4000
TIME = 5000
LATE = 6000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered, "IDLE_WAIT", 0.01)
    monkeypatch.setattr(hub_module, "RETRY_WAIT", (0.001, 0.01))
    monkeypatch.setattr(reader, "RETRY_WAIT", 0.01)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create_topic("east")
    log.create_topic("west")
    return log


def identifier(offset: int, timestamp: int) -> str:
    """The id of a client that has read up to here in one topic, and nothing in the other."""
    entries = [
        {"topic": "east", "partition": 0, "offset": offset, "timestamp": timestamp},
        {"topic": "west", "partition": 0, "offset": -1, "timestamp": 0},
    ]
    return json.dumps(entries)


def gaps(sink: FakeSink) -> list[tuple[str, int, int, str]]:
    documents = [frame.document for frame in sink.frames if frame.event == "gap"]
    return [(each["topic"], each["requested"], each["resumed"], each["reason"]) for each in documents]


def old(log: MemoryLog, count: int = 10) -> None:
    log.append_now("east", [event(number, TIME + number) for number in range(count)])


def cut(log: MemoryLog, end: int, written_on: int, time: int) -> None:
    """Cut a topic back, and write on, before anybody can have seen that."""
    log.cut("east", 0, end)
    log.append_now("east", [event(100 + number, time + number) for number in range(written_on)])


@pytest.mark.parametrize("time", [EARLY, TIME + 5, LATE], ids=["older", "the same times", "younger"])
@pytest.mark.parametrize("written_on", [0, 1, 5, 9], ids=["shorter", "not as long", "as long", "longer"])
@pytest.mark.parametrize("in_memory", [False, True], ids=["in the past", "in memory"])
async def test_a_log_that_is_cut_back_and_written_on(
    log: MemoryLog, *, written_on: int, time: int, in_memory: bool
) -> None:
    new = [100 + number for number in range(written_on)]
    if not in_memory:
        old(log)
    async with Site(log).running() as site, site.client(identifier(-1, 0)) as live:
        if in_memory:
            old(log)
        await reads(live, 10)
        cut(log, 5, written_on, time)
        await becomes(lambda: bool(gaps(live)) and site.hub.ring.end(EAST) == 5 + written_on)
        await reads(live, 10 + written_on)
        assert (gaps(live), numbers(live)[10:]) == ([("east", 9, 5, "unknown")], new)
        # It goes on, and the other topic does.
        log.append_now("east", [event(200, LATE + 100)])
        log.append_now("west", [event(300, LATE + 101)])
        await reads(live, 12 + written_on)
        async with site.client(identifier(-1, 0)) as again:
            await reads(again, 7 + written_on)
            assert (sorted(numbers(again)), gaps(again)) == ([0, 1, 2, 3, 4, *new, 200, 300], [])
        async with site.client(identifier(3, TIME + 3)) as before:
            await reads(before, 3 + written_on)
            assert (sorted(numbers(before)), gaps(before)) == ([4, *new, 200, 300], [])


@pytest.mark.parametrize("time", [EARLY, LATE], ids=["older", "younger"])
@pytest.mark.parametrize("written_on", [0, 1, 5, 9], ids=["shorter", "not as long", "as long", "longer"])
@pytest.mark.parametrize("by_timestamp", [False, True], ids=["by offset", "by timestamp"])
async def test_who_was_away_meanwhile(log: MemoryLog, *, written_on: int, time: int, by_timestamp: bool) -> None:
    async with Site(log, by_timestamp).running() as site:
        old(log)
        async with site.client(identifier(-1, 0)) as sink:
            await reads(sink, 10)
            last_id = sink.frames[-1].identifier
        epoch = site.hub.ring.epoch
        cut(log, 5, written_on, time)
        await becomes(lambda: site.hub.ring.epoch != epoch and site.hub.ring.end(EAST) == 5 + written_on)
        async with site.client(last_id) as sink:
            log.append_now("west", [event(300, LATE + 101)])
            if by_timestamp and time == EARLY:
                # An id of times alone says nothing of what was there: what is younger is delivered.
                await becomes(lambda: 300 in numbers(sink))
                return
            await reads(sink, written_on + 1)
            expected = [] if by_timestamp else [("east", 9, 5, "unknown")]
            assert (sorted(numbers(sink)), gaps(sink)) == ([*range(100, 100 + written_on), 300], expected)


@pytest.mark.long
@pytest.mark.parametrize("end", [0, 5, 100, 400, 599])
async def test_a_client_amid_a_replay(log: MemoryLog, monkeypatch: pytest.MonkeyPatch, end: int) -> None:
    """It has read a part of the past when the log is cut back, before or behind it."""
    monkeypatch.setattr(live_clients, "BUFFER_LIMIT", 1000)
    old(log, 600)
    async with Site(log, ring_bytes=2000).running() as site, site.client(identifier(-1, 0)) as slow:
        slow.at_once = False
        await becomes(lambda: slow.buffered > 1000)
        cut(log, end, 700, LATE)
        await becomes(lambda: site.hub.ring.end(EAST) == end + 700)
        slow.at_once = True
        slow.drain()
        await becomes(lambda: numbers(slow)[-1] == 799)
        received, told = numbers(slow), gaps(slow)
    # It had at least one history segment; how much more it says itself.
    assert told or end >= 256
    read = told[0][1] + 1 if told else end
    assert received == [*range(read), *range(100, 800)]
    assert told == [("east", read - 1, end, "unknown")][: len(told)]
    assert read >= end


async def test_what_is_cut_off_beyond_the_last_record_is_no_loss(log: MemoryLog) -> None:
    old(log)
    async with Site(log).running() as site, site.client(identifier(-1, 0)) as live:
        await reads(live, 10)
        log.mark("east", 0, 5)
        await becomes(lambda: site.hub.ring.end(EAST) == 15)
        cut(log, 10, 3, LATE)
        await reads(live, 13)
        assert (numbers(live)[10:], gaps(live)) == ([100, 101, 102], [])


async def test_a_log_that_is_cut_back_twice(log: MemoryLog) -> None:
    old(log)
    async with Site(log).running() as site, site.client(identifier(-1, 0)) as live:
        await reads(live, 10)
        last_id = live.frames[-1].identifier
        cut(log, 7, 5, LATE)
        await reads(live, 15)
        cut(log, 5, 9, EARLY)
        await reads(live, 24)
        assert gaps(live) == [("east", 9, 7, "unknown"), ("east", 11, 5, "unknown")]
        async with site.client(last_id) as sink:
            await reads(sink, 9)
            assert gaps(sink) == [("east", 9, 5, "unknown")]


async def test_what_the_log_deletes_is_not_given_from_memory(log: MemoryLog) -> None:
    async with Site(log).running() as site, site.client(identifier(-1, 0)) as live:
        old(log)
        await reads(live, 10)
        async with site.client(identifier(-1, 0)) as sink:
            await reads(sink, 10)
        log.truncate("east", 0, 6)
        await becomes(lambda: site.hub.ring.holds(EAST, 5) is None)
        for offset, expected in ((-1, []), (4, [("east", 4, 6, "expired")]), (5, [])):
            time = 0 if offset < 0 else TIME + offset
            async with site.client(identifier(offset, time)) as sink:
                await reads(sink, 4)
                assert (numbers(sink), gaps(sink)) == ([6, 7, 8, 9], expected)
        assert site.hub.ring.records == 4
        log.append_now("east", [event(10, LATE)])
        await reads(live, 11)
        assert (numbers(live), gaps(live)) == (list(range(11)), [])


async def test_deleted_records_leave_the_past_too(log: MemoryLog) -> None:
    old(log, 600)
    async with Site(log, ring_bytes=2000).running() as site:
        log.append_now("west", [event(900, LATE)])
        async with site.client(identifier(-1, 0)) as sink:
            await reads(sink, 601)
        assert site.past.size
        log.truncate("east", 0, 600)
        await becomes(lambda: not site.past.size)
        async with site.client(identifier(5, TIME + 5)) as sink:
            await becomes(lambda: 900 in numbers(sink))
            assert (numbers(sink), gaps(sink)) == ([900], [("east", 5, 600, "expired")])


def _has_read(site: Site, offset: int) -> bool:
    return site.hub.ring.end(EAST) == offset + 1


async def test_a_laggard_is_told_what_it_has_not_read(log: MemoryLog) -> None:
    async with Site(log, flush_bytes=100).running() as site, site.client(identifier(-1, 0)) as slow:
        slow.at_once = False
        padding = "x" * 20_000
        for number in range(40):
            log.append_now("east", [NewRecord(numbered(number, p=padding), None, TIME + number)])
            await becomes(partial(_has_read, site, number))
        slow.drain()
        read = len(numbers(slow))
        assert read < 30
        log.truncate("east", 0, 35)
        await becomes(lambda: site.hub.ring.holds(EAST, 34) is None)
        slow.at_once = True
        slow.drain()
        await becomes(lambda: 39 in numbers(slow))
        assert len(gaps(slow)) == 1
        ((_, requested, resumed, reason),) = gaps(slow)
        assert (numbers(slow), resumed, reason) == ([*range(requested + 1), *range(35, 40)], 35, "expired")


async def test_what_is_behind_the_last_record_is_no_loss_where_it_is_deleted(log: MemoryLog) -> None:
    """Markers of transactions alone are deleted: who has read what was before them has lost nothing."""
    old(log)
    async with Site(log).running() as site, site.client(identifier(-1, 0)) as live:
        await reads(live, 10)
        last_id = live.frames[-1].identifier
        log.mark("east", 0, 5)
        await becomes(lambda: site.hub.ring.end(EAST) == 15)
        log.truncate("east", 0, 15)
        log.append_now("east", [event(10, LATE)])
        await reads(live, 11)
        await becomes(lambda: site.hub.ring.holds(EAST, 9) is None)
        async with site.client(last_id) as sink:
            await reads(sink, 1)
            assert (numbers(sink), gaps(sink)) == ([10], [])
        await asyncio.sleep(0)
        assert gaps(live) == []


@pytest.mark.parametrize("in_memory", [False, True], ids=["in the past", "in memory"])
async def test_what_is_erased_comes_from_memory_no_more(log: MemoryLog, *, in_memory: bool) -> None:
    """Clients that are there have no gap, and continue."""
    async with Site(log, ring_bytes=10**7 if in_memory else 1).running() as site:
        old(log)
        async with site.client(identifier(-1, 0)) as live:
            await reads(live, 10)
            last_id = live.frames[-1].identifier
            epoch = site.hub.ring.epoch
            assert await log.erase("east", lambda record: record.offset in (0, 3, 9)) == 3
            await becomes(lambda: site.hub.ring.epoch > epoch)
            log.append_now("east", [event(10, LATE)])
            await reads(live, 11)
            assert (numbers(live), gaps(live)) == (list(range(11)), [])
        left = [1, 2, 4, 5, 6, 7, 8, 10]
        for position, expected in ((identifier(-1, 0), left), (identifier(2, TIME + 2), left[2:]), (last_id, [10])):
            async with site.client(position) as again:
                await reads(again, len(expected))
                assert (numbers(again), gaps(again)) == (expected, [])


async def test_what_is_erased_amid_a_replay_is_no_gap(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client holds two history segments by then, and their bytes are its own."""
    monkeypatch.setattr(live_clients, "BUFFER_LIMIT", 1000)
    old(log, 600)
    async with Site(log, ring_bytes=2000).running() as site, site.client(identifier(-1, 0)) as slow:
        slow.at_once = False
        await becomes(lambda: slow.buffered > 1000)
        epoch = site.hub.ring.epoch
        await log.erase("east", lambda record: record.offset > 520)
        await becomes(lambda: site.hub.ring.epoch > epoch)
        log.append_now("east", [event(1000, LATE)])
        slow.at_once = True
        slow.drain()
        await becomes(lambda: numbers(slow)[-1] == 1000)
        assert (numbers(slow), gaps(slow)) == ([*range(521), 1000], [])

"""Counting the records of a millisecond: exact, and bounded in memory, in time and in how many count at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.port import NO_STAMPS, Batch
from gateway.eventlog.trouble import Refusal
from gateway.hub import history as history_module
from gateway.model.record import NewRecord, TopicPartition
from gateway.subscription import seen as seen_module
from gateway.subscription import session as session_module
from gateway.subscription.seen import Counting
from tests.kit.waiting import becomes
from tests.simulation.loop import in_virtual_time
from tests.subscription.test_session import Site, event, numbers

PARTITION = TopicPartition("t", 0)
PART = 10


class WatchedLog(MemoryLog):
    """Says how much was read, how much at once, and how many read at the same time."""

    def __init__(self, times: list[int]) -> None:
        super().__init__()
        self.create_topic("t")
        self.append_now("t", [NewRecord(b"{}", None, at, 0) for at in times])
        self.read = self.most = self.readers = self.most_readers = 0
        self.pause = 0.0

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        return WatchedReader(self, positions)


class WatchedReader(MemoryReader):
    def __init__(self, log: WatchedLog, positions: Mapping[TopicPartition, int]) -> None:
        super().__init__(log, positions)
        self._watched = log

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = 1 << 20,
    ) -> list[Batch | Refusal]:
        await asyncio.sleep(self._watched.pause)
        found = await super().fetch(wait, max_records, partitions, max_bytes)
        count = sum(len(one.records) for one in found if isinstance(one, Batch))
        self._watched.read += count
        self._watched.most = max(self._watched.most, count)
        return found

    async def close(self) -> None:
        self._watched.readers -= 1


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (history_module, seen_module):
        monkeypatch.setattr(module, "PART_RECORDS", PART)


@given(st.data())
def test_it_counts_what_follows_and_what_precedes(data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(1, 2), min_size=1, max_size=60))
    log = MemoryLog()
    log.create_topic("t")
    log.append_now("t", [NewRecord(b"{}", None, at, 0) for at in times])
    offset = data.draw(st.integers(0, len(times) - 1))
    log.compact("t", 0, data.draw(st.sets(st.integers(0, len(times) - 1))) - {offset})
    kept = list(log.partition(PARTITION).records)
    most = data.draw(st.integers(1, 70))

    async def count() -> None:
        wanted = times[offset]
        expected: list[int] = []
        for record in kept:
            if record.offset >= offset:
                if record.timestamp != wanted or len(expected) == most:
                    break
                expected.append(record.offset)
        found = await Counting().following(log, PARTITION, wanted, offset, len(times), most)
        assert (found.records, found.last) == (len(expected), expected[-1])
        assert found.last < found.next_offset <= len(times)
        assert not [record for record in kept if found.last < record.offset < found.next_offset]
        before = 0
        for record in reversed([record for record in kept if record.offset <= offset]):
            if record.timestamp != wanted:
                break
            before += 1
        assert await Counting().preceding(log, PARTITION, wanted, offset, 0) == before

    asyncio.run(count())


async def test_a_claim_of_a_million_is_read_to_the_first_other_time() -> None:
    log = WatchedLog([*range(5000)])
    found = await Counting().following(log, PARTITION, 0, 0, 5000, 1_000_000)
    assert (found.records, found.next_offset) == (1, 1)
    assert await Counting().preceding(log, PARTITION, 4999, 4999, 0) == 1
    assert log.read <= 2 * PART
    assert log.readers == 0


async def test_of_a_million_few_are_held_at_once() -> None:
    log = WatchedLog([7] * 3000)
    counting = Counting()
    assert (await counting.following(log, PARTITION, 7, 0, 3000, 1_000_000)).records == 3000
    assert await counting.preceding(log, PARTITION, 7, 2999, 0) == 3000
    assert log.most <= PART
    assert log.readers == 0


@pytest.mark.long
async def test_who_has_seen_few_reads_few() -> None:
    log = WatchedLog([7] * 3000)
    assert (await Counting().following(log, PARTITION, 7, 100, 3000, 3)).records == 3
    assert log.read == 3


@pytest.mark.long
@in_virtual_time
async def test_large_counts_come_one_after_the_other_and_small_ones_wait_for_none() -> None:
    log = WatchedLog([7] * 2000 + [8] * 3)
    log.pause = 0.001
    counting = Counting()
    large = [asyncio.create_task(counting.following(log, PARTITION, 7, 0, 2003, 1_000_000)) for _ in range(5)]
    await asyncio.sleep(0.02)
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        assert (await counting.following(log, PARTITION, 8, 2000, 2003, 3)).records == 3
    assert asyncio.get_running_loop().time() - began < 0.1
    assert not all(task.done() for task in large)
    log.most_readers = 0
    assert [found.records for found in await asyncio.gather(*large)] == [2000] * 5
    assert log.most_readers == 1
    assert log.readers == 0


@in_virtual_time
async def test_it_ends_in_time_with_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is sent again, rather than never."""
    monkeypatch.setattr(seen_module, "COUNT_SECONDS", 0.05)
    log = WatchedLog([7] * 5000)
    log.pause = 0.002
    counting = Counting()
    began = asyncio.get_running_loop().time()
    found = await asyncio.gather(*(counting.following(log, PARTITION, 7, 0, 5000, 1_000_000) for _ in range(8)))
    counts = sorted(each.records for each in found)
    assert counts[0] >= PART
    assert PART < counts[-1] < 5000
    assert all(each.next_offset == each.records for each in found)
    assert await counting.preceding(log, PARTITION, 7, 4999, 0) < 5000
    assert asyncio.get_running_loop().time() - began < 5
    assert log.readers == 0


async def test_who_leaves_while_counting_lets_the_next_one_count() -> None:
    log = WatchedLog([7] * 2000)
    log.pause = 0.001
    counting = Counting()
    first = asyncio.create_task(counting.following(log, PARTITION, 7, 0, 2000, 1_000_000))
    await asyncio.sleep(0.03)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await counting.following(log, PARTITION, 7, 0, 2000, 1_000_000)).records == 2000
    assert log.readers == 0


async def test_a_client_hears_that_its_stream_lives_while_it_is_counted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once it has left nobody counts for it any more."""
    monkeypatch.setattr(session_module, "OPEN_WAIT", 0.02)
    log = WatchedLog([])
    for topic in ("east", "west"):
        log.create_topic(topic)
    async with Site(log, by_timestamp=True, ring_bytes=1000).running() as site:
        log.append_now("east", [event(number, 7) for number in range(5000)])
        log.append_now("east", [event(5000, 8)])
        await becomes(lambda: site.hub.ring.end(TopicPartition("east", 0)) == 5001)
        log.pause = 0.002
        east = '{"topic":"east","partition":0,"timestamp":7,"seen":1000000}'
        asked = f'[{east},{{"topic":"west","partition":0,"timestamp":0}}]'
        readers = log.readers
        async with site.client(asked) as sink:
            for _ in range(3):
                heard = len(sink.frames)
                await becomes(lambda heard=heard: len(sink.frames) > heard)  # type: ignore[misc]
            assert not numbers(sink)
            assert log.readers > readers
            sink.leave()
            await becomes(lambda: log.readers == readers)
        log.pause = 0.0
        async with site.client(asked) as sink:
            await becomes(lambda: numbers(sink) == [5000])

"""What is caught up on comes in the order of time, and nothing waits where there is nothing to catch up on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Bounds, LogReader
from gateway.eventlog.trouble import Kind, Trouble
from gateway.hub import ordered as ordered_module
from gateway.hub.hub import Hub
from gateway.hub.merge import Merge
from gateway.hub.ordered import OrderedReader, Read
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.hub.test_discovery import hub_over, running, until
from tests.simulation.loop import in_virtual_time

PARTS = 3
PARTITIONS = [TopicPartition("t", part) for part in range(PARTS)]
A, B, C = PARTITIONS


def now() -> float:
    """The time of the loop, which is virtual in most tests here: a busy machine makes nothing late."""
    return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_module, "IDLE_WAIT", 0.01)
    monkeypatch.setattr(ordered_module, "HOLD_SECONDS", 0.05)
    monkeypatch.setattr(ordered_module, "FETCH_RECORDS", 4)


class CountingLog(MemoryLog):
    """Counts how often it is asked where it ends; `hides` what it does not tell of."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.hangs = False
        self.create_topic("t", PARTS)

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        return await super().bounds(partitions)

    def add(self, *records: tuple[TopicPartition, int]) -> None:
        for partition, at in records:
            self.append_now("t", [NewRecord(b"{}", None, at, partition.partition)])

    def interleave(self, count: int, first: int = 0, parts: int = PARTS) -> None:
        """So many records, each a second after the other, of one partition after the other."""
        self.add(*((PARTITIONS[n % parts], 1000 * (first + n)) for n in range(count)))


class Rig:
    """Reads as the hub does, and keeps what came."""

    def __init__(self, log: MemoryLog, reader: LogReader, partitions: list[TopicPartition]) -> None:
        self.log = log
        self.reader = reader
        self.positions = dict.fromkeys(partitions, 0)
        self.foreign: set[TopicPartition] = set()
        self.refused: set[TopicPartition] = set()
        self.ordered = OrderedReader(log, reader, lambda: self.positions, self.foreign.__contains__)
        self.records: list[Record] = []
        self.most = 0

    async def read(self) -> Read:
        read = await self.ordered.fetch()
        self.records += [record for _, run in read.runs for record in run]
        self.refused.update(refusal.partition for refusal in read.refusals)
        self.positions |= read.positions
        for partition in self.refused:
            self.positions.pop(partition, None)
        self.most = max(self.most, self.ordered.size)
        return read

    async def have(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.records) < count:
                await self.read()

    @property
    def times(self) -> list[int]:
        return [record.timestamp for record in self.records]


async def rig_over(log: MemoryLog, partitions: list[TopicPartition]) -> Rig:
    return Rig(log, await log.reader(dict.fromkeys(partitions, 0)), partitions)


async def calm(log: CountingLog) -> Rig:
    """One that has read all, and knows it."""
    rig = await rig_over(log, PARTITIONS)
    log.add((A, 0), (B, 0), (C, 0))
    await rig.have(3)
    await rig.read()
    log.asked = 0
    rig.records.clear()
    return rig


@pytest.mark.parametrize("count", [2, 3, 30, 200])
@in_virtual_time
async def test_what_came_in_a_pause_comes_in_the_order_of_time(count: int) -> None:
    log = CountingLog()
    rig = await calm(log)
    log.interleave(count, 1)
    await rig.have(count)
    assert rig.times == [1000 * (1 + n) for n in range(count)]


@in_virtual_time
async def test_a_read_is_merged_though_nobody_is_behind() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.add((B, 3), (B, 5), (A, 4), (C, 2))
    await rig.read()
    assert rig.times == [2, 3, 4, 5]
    assert log.asked == 0


@in_virtual_time
async def test_where_nothing_is_to_be_caught_up_on_nothing_waits_and_nobody_asks() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.hangs = True
    for n in range(50):
        log.add((PARTITIONS[n % PARTS], 1000 + n))
        began = now()
        await rig.read()
        assert now() - began < 0.04
        assert len(rig.records) == n + 1
    assert log.asked == 0


@in_virtual_time
async def test_the_span_of_a_read_makes_it_ask_but_not_each_time() -> None:
    """Some streams are never in order: they pay for one question a second."""
    log = CountingLog()
    rig = await calm(log)
    for n in range(20):
        log.add((A, 5_000), (A, 100_000), (B, 1_000 + n))
        await rig.read()
    assert len(rig.records) == 60
    assert log.asked == 1


@in_virtual_time
async def test_one_that_the_log_has_more_of_holds_the_others_back() -> None:
    """The log answers of one partition after the other."""
    log = CountingLog()
    rig = await calm(log)
    log.interleave(30, 1, parts=2)
    log.add((C, 10_500))
    fetch = rig.reader.fetch

    async def one_by_one(
        wait: float, most: int = 1000, partitions: Collection[TopicPartition] | None = None, size: int = 1 << 20
    ) -> object:
        for partition in partitions or PARTITIONS:
            if found := await fetch(0.0, most, [partition], size):
                return found
        return await fetch(wait, most, partitions, size)

    rig.reader.fetch = one_by_one  # type: ignore[method-assign, assignment]
    await rig.have(31)
    assert rig.times == sorted(rig.times)


@in_virtual_time
async def test_a_quiet_partition_holds_nobody_back() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.interleave(40, 1, parts=2)
    began = now()
    await rig.have(40)
    assert rig.times == sorted(rig.times)
    assert now() - began < 0.5


@in_virtual_time
async def test_what_comes_meanwhile_waits_for_what_is_older_and_no_longer() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.interleave(40, 1, parts=2)
    await rig.read()
    log.add((C, 90_000), (A, 91_000))
    await rig.have(42)
    assert rig.times == sorted(rig.times)


@in_virtual_time
async def test_a_partition_whose_times_go_back_keeps_its_order() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.add(*((A, 1000 * at) for at in (9, 8, 7, 6, 5, 4, 3, 2)), *((B, 1000 * at) for at in range(1, 9)))
    await rig.have(16)
    assert [record.timestamp // 1000 for record in rig.records if record.partition == 0] == [9, 8, 7, 6, 5, 4, 3, 2]
    assert [record.timestamp // 1000 for record in rig.records if record.partition == 1] == list(range(1, 9))


@pytest.mark.parametrize("means", ["refuse", "spoil"])
@in_virtual_time
async def test_a_sick_partition_holds_nobody_back(means: str) -> None:
    log = CountingLog()
    rig = await calm(log)
    log.interleave(30, 1)
    getattr(log, means)(B, Trouble(Kind.NO_LEADER, "set by the test", 0))
    began = now()
    await rig.have(20)
    assert rig.times == [1000 * (1 + n) for n in range(30) if n % PARTS != 1]
    assert now() - began < 0.5
    assert B not in rig.positions


@in_virtual_time
async def test_one_of_which_nothing_comes_is_waited_for_once_and_for_so_long() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.interleave(60, 1)
    fetch = rig.reader.fetch

    async def without(
        wait: float, most: int = 1000, partitions: Collection[TopicPartition] | None = None, size: int = 1 << 20
    ) -> object:
        return await fetch(wait, most, {*(partitions if partitions is not None else PARTITIONS)} - {B}, size)

    rig.reader.fetch = without  # type: ignore[method-assign, assignment]
    began = now()
    await rig.have(40)
    assert 0.05 < now() - began < 0.4
    assert rig.times == [1000 * (1 + n) for n in range(60) if n % PARTS != 1]
    log.interleave(60, 100)
    began = now()
    await rig.have(80)
    assert now() - began < 0.05, "it has not come since"
    rig.reader.fetch = fetch  # type: ignore[method-assign]
    await rig.have(120)
    log.interleave(30, 200)
    await rig.have(150)
    assert rig.times[-30:] == [1000 * (200 + n) for n in range(30)]


@in_virtual_time
async def test_a_log_that_does_not_say_where_it_ends_is_not_waited_for() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.hangs = True
    began = now()
    log.interleave(60, 1)
    await rig.have(60)
    assert now() - began < 0.3
    assert log.asked == 1


@in_virtual_time
async def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_module, "WAITING_BYTES", 10_000)
    monkeypatch.setattr(ordered_module, "FETCH_RECORDS", 1000)
    log = CountingLog()
    rig = await calm(log)
    value = b'{"n":"%b"}' % (b"x" * 1000)
    for part in range(PARTS):
        log.append_now("t", [NewRecord(value, None, 1_000_000 * part + n, part) for n in range(100)])
    await rig.have(300)
    assert rig.times == sorted(rig.times)
    assert 0 < rig.most < 10_000 + PARTS * 2000


@in_virtual_time
async def test_large_records_wait_no_longer_where_they_take_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each partition may hold one; of many, that would be without a bound."""
    monkeypatch.setattr(ordered_module, "WAITING_BYTES", 10_000)
    log = CountingLog()
    log.add_partitions("t", 10)
    rig = await rig_over(log, [TopicPartition("t", part) for part in range(10)])
    large = b'{"n":"%b"}' % (b"x" * 15_000)
    for part in range(10):
        log.append_now("t", [NewRecord(large, None, 1_000_000 * part + n, part) for n in range(5)])
    await rig.have(50)
    assert rig.most <= 2 * 10_000 + 15_100


@in_virtual_time
async def test_what_is_read_anew_is_neither_lost_nor_repeated() -> None:
    log = CountingLog()
    rig = await calm(log)
    log.interleave(60, 1)
    while len(rig.records) < 20:
        await rig.read()
    again = set(rig.ordered.restart()) | {B}
    assert again <= set(PARTITIONS)
    await rig.reader.add({partition: rig.positions[partition] for partition in again})
    await rig.have(60)
    assert rig.times == [1000 * (1 + n) for n in range(60)]


@in_virtual_time
async def test_what_is_foreign_is_neither_taken_nor_waited_for() -> None:
    log = CountingLog()
    rig = await calm(log)
    rig.foreign.add(B)
    log.interleave(30, 1)
    await rig.have(20)
    assert rig.times == [1000 * (1 + n) for n in range(30) if n % PARTS != 1]


@in_virtual_time
async def test_a_topic_that_goes_while_the_log_is_asked_for_its_end_stops_nobody() -> None:
    """A look finds it beside the reading."""

    class Slow(CountingLog):
        async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
            found = await super().bounds(partitions)
            for gone in (B, C):
                rig.positions.pop(gone, None)
                rig.foreign.add(gone)
            return found

    log = Slow()
    log.interleave(30)
    rig = await rig_over(log, PARTITIONS)
    fetch = rig.reader.fetch

    async def without(
        wait: float, most: int = 1000, partitions: Collection[TopicPartition] | None = None, size: int = 1 << 20
    ) -> object:
        return await fetch(wait, most, {*(partitions if partitions is not None else PARTITIONS)} - {B}, size)

    rig.reader.fetch = without  # type: ignore[method-assign, assignment]
    await rig.have(10)
    assert {record.partition for record in rig.records} == {A.partition}
    assert rig.positions == {A: 10}


@in_virtual_time
async def test_a_topic_that_goes_while_others_wait_for_it_holds_them_back_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordered_module, "HOLD_SECONDS", 30.0)
    log = CountingLog()
    rig = await calm(log)
    log.interleave(60, 1)
    await rig.read()
    rig.foreign.add(B)
    await rig.have(40)
    assert sum(record.partition != B.partition for record in rig.records) == 40


async def test_after_an_outage_the_ring_is_in_the_order_of_time() -> None:
    log = MemoryLog()
    for topic in ("alpha", "beta"):
        log.create_topic(topic, 2)
    async with running(hub_over(log)) as hub:
        for _ in range(3):
            log.available = False
            await until(lambda: not hub.available, hub)
            before = hub.ring.records
            now = 1_000_000 + 1000 * before
            for n in range(100):
                log.append_now(["alpha", "beta"][n % 2], [NewRecord(b"{}", None, now + 1000 * n, n // 2 % 2)])
            log.available = True
            await until(lambda before=before: hub.ring.records == before + 100, hub)  # type: ignore[misc]
            assert newest(hub, 100) == [now + 1000 * n for n in range(100)]


def newest(hub: Hub, count: int) -> list[int]:
    items = hub.ring.newest(frozenset({"alpha", "beta"}))
    return [item.consumed.timestamp for item, _ in zip(items, range(count), strict=False)][::-1]


@given(
    st.lists(st.lists(st.integers(0, 50), max_size=12), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=40),
)
def test_a_merge_loses_nothing_keeps_each_order_and_gives_nothing_older_later(
    times: list[list[int]], reads: list[tuple[int, int]]
) -> None:
    """Whatever is read when; where each partition is in order, so is the whole."""
    logs = [sorted(each) for each in times]
    partitions = [TopicPartition("t", part) for part in range(len(logs))]
    ends = {partition: len(log) for partition, log in zip(partitions, logs, strict=True)}
    merge = Merge(dict.fromkeys(partitions, 0), ends)
    at = dict.fromkeys(partitions, 0)
    taken: list[Record] = []
    for part, count in [*reads, *((part, 100) for part in range(len(logs)))]:
        partition = partitions[part % len(partitions)]
        begin, log = at[partition], logs[partition.partition]
        found = [Record(*partition, n, log[n], None, b"x") for n in range(begin, min(begin + count, len(log)))]
        at[partition] = begin + len(found)
        merge.add(partition, found, at[partition])
        taken += [record for _, run in merge.take() for record in run]
        waits = {partition: merge.position(partition) for partition in partitions}
        assert waits == position_after(taken, partitions)
    assert [record.timestamp for record in taken] == sorted(record.timestamp for record in taken)
    for partition, log in zip(partitions, logs, strict=True):
        assert [record.timestamp for record in taken if record.partition == partition.partition] == log
    assert merge.size == 0


def position_after(taken: list[Record], partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
    return {partition: sum(record.partition == partition.partition for record in taken) for partition in partitions}

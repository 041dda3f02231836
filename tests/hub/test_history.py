"""History: partitions merged by timestamp, with bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import FETCH_BYTES, NO_STAMPS, Batch, LogReader
from gateway.eventlog.trouble import Refusal
from gateway.hub import history as history_module
from gateway.hub.history import History, first_records, read_parts
from gateway.model.record import NewRecord, Record, TopicPartition

PARTITIONS = [TopicPartition("alpha", number) for number in range(3)]


def log_of(partitions: list[list[int]]) -> MemoryLog:
    """A topic whose partitions hold records of these timestamps."""
    log = MemoryLog()
    log.create_topic("alpha", len(partitions))
    for number, timestamps in enumerate(partitions):
        log.append_now("alpha", [NewRecord(b"{}", None, timestamp, number) for timestamp in timestamps])
    return log


async def read_all(history: History) -> list[Record]:
    records: list[Record] = []
    while not history.finished:
        records += [record for _, run in await history.fetch(1.0) for record in run]
    return records


class CountedReader:
    """Holds what has been fetched and not yet returned against a bound."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self.fetched = 0
        self.closed = False
        self.asked: list[set[TopicPartition]] = []

    @property
    def more(self) -> bool:
        return self._reader.more

    @property
    def starts(self) -> Mapping[TopicPartition, int]:
        return self._reader.starts

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        await self._reader.assign(positions, stamps)

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        await self._reader.add(positions, stamps)

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        self.asked.append(set(partitions or ()))
        found = await self._reader.fetch(wait, max_records, partitions, max_bytes)
        self.fetched += sum(len(one.records) for one in found if isinstance(one, Batch))
        return found

    async def close(self) -> None:
        self.closed = True
        await self._reader.close()


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "FETCH_RECORDS", 3)


@given(st.lists(st.lists(st.integers(0, 50)), min_size=1, max_size=3))
async def test_everything_comes_once_in_log_order(drawn: list[list[int]]) -> None:
    log = log_of(drawn)
    partitions = PARTITIONS[: len(drawn)]
    ends = {partition: len(drawn[partition.partition]) for partition in partitions}
    history = History(await log.reader(dict.fromkeys(partitions, 0)), dict.fromkeys(partitions, 0), ends)
    records = await read_all(history)
    for partition in partitions:
        offsets = [record.offset for record in records if record.partition == partition.partition]
        assert offsets == list(range(ends[partition]))
        assert history.positions[partition] == ends[partition]


@given(st.lists(st.lists(st.integers(0, 50)).map(sorted), min_size=1, max_size=3))
async def test_partitions_are_merged_by_timestamp(drawn: list[list[int]]) -> None:
    log = log_of(drawn)
    partitions = PARTITIONS[: len(drawn)]
    ends = {partition: len(drawn[partition.partition]) for partition in partitions}
    history = History(await log.reader(dict.fromkeys(partitions, 0)), dict.fromkeys(partitions, 0), ends)
    timestamps = [record.timestamp for record in await read_all(history)]
    assert timestamps == sorted(timestamps)


async def test_a_partition_that_is_ahead_is_not_read_on() -> None:
    """However much one partition holds, it waits for the others, and memory is one fetch a partition."""
    log = log_of([list(range(100, 200)), list(range(100))])
    partitions = PARTITIONS[:2]
    reader = CountedReader(await log.reader(dict.fromkeys(partitions, 0)))
    history = History(reader, dict.fromkeys(partitions, 0), dict.fromkeys(partitions, 100))
    returned = 0
    while not history.finished:
        returned += sum(len(run) for _, run in await history.fetch(1.0))
        assert reader.fetched - returned <= 3 * len(partitions)
    assert returned == 200


async def test_positions_say_what_was_returned_not_what_was_fetched() -> None:
    log = log_of([[1, 5, 9], [2, 3, 4]])
    partitions = PARTITIONS[:2]
    history = History(
        await log.reader(dict.fromkeys(partitions, 0)), dict.fromkeys(partitions, 0), dict.fromkeys(partitions, 3)
    )
    read: dict[TopicPartition, int] = dict.fromkeys(partitions, 0)
    while not history.finished:
        for partition, run in await history.fetch(1.0):
            assert all(record[:2] == partition for record in run)
            read[partition] = run[-1].offset + 1
        assert history.positions == read


async def test_what_holds_no_record_is_passed_over() -> None:
    log = log_of([[1, 2, 3, 4], [1]])
    log.compact("alpha", 0, [0, 3])
    log.mark("alpha", 1, 5)
    partitions = PARTITIONS[:2]
    history = History(
        await log.reader(dict.fromkeys(partitions, 0)),
        dict.fromkeys(partitions, 0),
        {PARTITIONS[0]: 4, PARTITIONS[1]: 6},
    )
    records = await read_all(history)
    assert [(record.partition, record.offset) for record in records] == [(1, 0), (0, 1), (0, 2)]
    assert history.positions == {PARTITIONS[0]: 4, PARTITIONS[1]: 6}


async def test_the_first_records_are_found_beyond_holes() -> None:
    log = log_of([[1, 2, 3, 4], [1, 2], []])
    log.compact("alpha", 0, [1, 2])
    log.mark("alpha", 1, 2)
    found = await first_records(
        log,
        {PARTITIONS[0]: 1, PARTITIONS[1]: 2, PARTITIONS[2]: 0},
        {PARTITIONS[0]: 4, PARTITIONS[1]: 4, PARTITIONS[2]: 0},
    )
    first = found[PARTITIONS[0]]
    assert first is not None
    assert first.offset == 3
    assert found[PARTITIONS[1]] is None
    assert found[PARTITIONS[2]] is None


async def test_a_range_is_read_to_just_before_its_end() -> None:
    log = log_of([list(range(10))])
    parts = [part async for part in read_parts(log, PARTITIONS[0], 2, 7)]
    assert [record.offset for records, _ in parts for record in records] == [2, 3, 4, 5, 6]
    assert parts[-1][1] == 7
    assert [part async for part in read_parts(log, PARTITIONS[0], 7, 7)] == []


async def test_a_range_is_never_in_memory_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "PART_RECORDS", 3)
    log = log_of([list(range(1000))])
    open_reader, readers = log.reader, []

    async def reader(positions: Mapping[TopicPartition, int]) -> CountedReader:
        readers.append(CountedReader(await open_reader(positions)))
        return readers[-1]

    monkeypatch.setattr(log, "reader", reader)
    seen = 0
    async with aclosing(read_parts(log, PARTITIONS[0], 0, 1000)) as parts:
        async for records, after in parts:
            seen += len(records)
            assert readers[0].fetched == seen == after
            if seen >= 500:
                break
    assert readers[0].fetched < 504
    assert readers[0].closed

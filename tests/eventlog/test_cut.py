"""A log that goes back, and is perhaps written on: whoever read what is gone is told, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import NO_STAMP, LogReader
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import (
    WAIT,
    Bench,
    CuttableBench,
    MemoryBench,
    SqliteBench,
    batches_of,
    refused,
    take,
)

START = 1_700_000_000_000


@pytest.fixture(params=["memory", "sqlite"])
async def cuttable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CuttableBench]:
    """Each log that can be cut while it is in use; Kafka's has to be stopped for that (`tests/end_to_end`)."""
    bench: CuttableBench
    if request.param == "memory":
        bench = MemoryBench(MemoryLog())
    else:
        path = tmp_path / "events.db"
        bench = SqliteBench(SqliteLog(path), path)
    await bench.log.open()
    yield bench
    await bench.log.close()


def numbered(name: bytes, count: int) -> list[NewRecord]:
    """Records that differ from others of another name in one byte alone, times and sizes being equal."""
    return [NewRecord(name + b"%d" % n, b"key", START + n, 0) for n in range(count)]


def points_to(trouble: Trouble, first: int) -> bool:
    """Whether it tells that the log was cut back there; SQLite does not know where."""
    return trouble.kind is Kind.CUT and trouble.offset in (first, -1)


@pytest.mark.parametrize("written_on", [0, 3, 5, 9])
async def test_who_reads_beyond_the_cut_is_told(cuttable: CuttableBench, topic: str, written_on: int) -> None:
    partition = TopicPartition(topic, 0)
    await cuttable.log.create(topic)
    await cuttable.log.append(topic, numbered(b"old", 10))
    reader = await cuttable.log.reader({partition: 0})
    assert len(await take(reader, 10)) == 10
    await cuttable.cut(partition, 5)
    await cuttable.log.append(topic, numbered(b"new", written_on))
    trouble = await refused(reader, partition)
    # Where it is shorter than what was read, that alone may be told.
    assert points_to(trouble, 5) or (written_on < 5 and trouble.kind is Kind.OUT_OF_RANGE)
    await reader.add({partition: 5})
    assert [record.value for record in await take(reader, written_on)] == [b"new%d" % n for n in range(written_on)]
    await reader.close()


@pytest.mark.long
@pytest.mark.parametrize("position", range(11))
async def test_a_stamp_tells_it_to_another_reader(cuttable: CuttableBench, topic: str, position: int) -> None:
    partition = TopicPartition(topic, 0)
    await cuttable.log.create(topic)
    await cuttable.log.append(topic, numbered(b"old", 10))
    first = await cuttable.log.reader({partition: 0})
    stamp = NO_STAMP
    if position:
        (batch,) = batches_of(await first.fetch(WAIT, position))
        assert batch.position == position
        stamp = batch.stamp
        assert stamp != NO_STAMP
    await first.close()
    await cuttable.cut(partition, 5)
    await cuttable.log.append(topic, numbered(b"new", 10))
    second = await cuttable.log.reader({partition: position}, {partition: stamp})
    if position > 5:
        assert points_to(await refused(second, partition), 5)
    else:
        values = [record.value for record in await take(second, 15 - position)]
        assert values == [b"old%d" % n for n in range(position, 5)] + [b"new%d" % n for n in range(10)]
    await second.add({partition: 5}, {partition: NO_STAMP})
    assert (await take(second, 10))[0].value == b"new0"
    await second.close()


async def test_an_erasure_is_no_cut(cuttable: CuttableBench, topic: str) -> None:
    """An emptied record has its offset and its time left, and a cut is still told by these."""
    partition = TopicPartition(topic, 0)
    await cuttable.log.create(topic)
    await cuttable.log.append(topic, numbered(b"old", 10))
    reader = await cuttable.log.reader({partition: 0})
    (batch,) = batches_of(await reader.fetch(WAIT, 10))
    assert await cuttable.log.erase(topic, lambda record: record.offset >= 8) == 2
    await cuttable.log.append(topic, numbered(b"new", 1))
    another = await cuttable.log.reader({partition: 10}, {partition: batch.stamp})
    for each in (reader, another):
        assert [record.value for record in await take(each, 1)] == [b"new0"]
        await each.close()
    await cuttable.cut(partition, 9)
    await cuttable.log.append(topic, numbered(b"new", 2))
    assert await cuttable.log.erase(topic, lambda record: record.offset == 9) == 1
    last = await cuttable.log.reader({partition: 10}, {partition: batch.stamp})
    assert points_to(await refused(last, partition), 9)
    await last.close()


async def test_one_partition_alone_is_cut(cuttable: CuttableBench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await cuttable.log.create(topic, 2)
    await cuttable.log.append(topic, [NewRecord(b"old%d" % n, partition=n % 2) for n in range(20)])
    reader = await cuttable.log.reader({zero: 0, one: 0})
    assert len(await take(reader, 20)) == 20
    await cuttable.cut(one, 5)
    await cuttable.log.append(topic, [NewRecord(b"new%d" % n, partition=n % 2) for n in range(20)])
    found = await reader.fetch(WAIT)
    (refusal,) = [told for told in found if isinstance(told, Refusal)]
    assert refusal.partition == one
    assert points_to(refusal.trouble, 5)
    (batch,) = [told for told in found if told.partition == zero]
    assert [record.value for record in batches_of([batch])[0].records] == [b"new%d" % n for n in range(0, 20, 2)]
    await reader.close()


async def test_a_log_that_was_not_cut_is_not_doubted(bench: Bench, topic: str) -> None:
    """Records are deleted from the front, and written on; whoever comes with a stamp reads on."""
    partition = TopicPartition(topic, 0)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(b"old", 10))
    reader = await bench.log.reader({partition: 0})
    stamps = []
    for position in (4, 10):
        (batch,) = batches_of(await reader.fetch(WAIT, 6 if position == 10 else 4))
        stamps.append(batch.stamp)
    await reader.close()
    await bench.truncate(partition, 4)
    await bench.log.append(topic, numbered(b"new", 2))
    for position, stamp in zip((4, 10), stamps, strict=True):
        another = await bench.log.reader({partition: position}, {partition: stamp})
        assert len(await take(another, 12 - position)) == 12 - position
        await another.close()
    await bench.truncate(partition, 12)
    await bench.log.append(topic, numbered(b"end", 1))
    another = await bench.log.reader({partition: 12}, {partition: stamps[-1]})
    assert len(await take(another, 1)) == 1
    await another.close()


async def learnt(reader: LogReader, starts: dict[TopicPartition, int]) -> None:
    """Fetch where nothing comes until the reader knows this: a broker tells it with an answer, which takes its time."""
    async with asyncio.timeout(2 * WAIT):
        while True:
            assert await reader.fetch(0.7) == []
            if dict(reader.starts) == starts:
                return


@pytest.mark.long
async def test_a_reader_learns_where_the_log_starts_by_the_way(bench: Bench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"x", partition=n % 2) for n in range(20)])
    reader = await bench.log.reader({zero: 10, one: 10})
    await learnt(reader, {zero: 0, one: 0})
    await bench.truncate(one, 7)
    await learnt(reader, {zero: 0, one: 7})
    await reader.assign({zero: 10})
    await learnt(reader, {zero: 0})
    await reader.close()

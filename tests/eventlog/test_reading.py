"""What the readers of every event log promise, whatever it is built on."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.eventlog.port import Batch
from gateway.eventlog.trouble import Kind
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.eventlog.kit import WAIT, Bench, batches_of, numbered, refused, take

TRIES = 5
"""How often what is held to a time is done: a machine may stand still once, and a reader that waits does so each
time."""


async def test_each_partition_is_read_in_order_and_in_parts(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 3)
    locations = await bench.log.append(topic, [NewRecord(b"%d" % n, partition=n % 3) for n in range(300)])
    reader = await bench.log.reader({TopicPartition(topic, number): 0 for number in range(3)})
    records = await take(reader, 300, max_records=7)
    for number in range(3):
        mine = [record for record in records if record.partition == number]
        assert [record.offset for record in mine] == list(range(100))
        assert [record.value for record in mine] == [b"%d" % n for n in range(number, 300, 3)]
    assert len(locations) == 300
    await reader.close()


async def test_a_reader_tells_whether_there_is_more(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(10))
    reader = await bench.log.reader({TopicPartition(topic, 0): 0})
    told = []
    for count in (7, 3):
        assert len(await take(reader, count, max_records=7)) == count
        told.append(reader.more)
    await bench.log.append(topic, numbered(1))
    assert len(await take(reader, 1)) == 1
    assert [*told, reader.more] == [True, False, False]
    await reader.close()


async def test_a_partition_is_read_while_another_has_more_and_more(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    await bench.log.append(topic, numbered(2000, size=2000))
    reader = await bench.log.reader({TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0})
    assert len(await take(reader, 20, max_records=20)) == 20
    await bench.log.append(topic, [NewRecord(b"new", partition=1)])
    read: list[Record] = []
    while not any(record.partition == 1 for record in read):
        assert len(read) < 1900, "it waited until nothing else was left"
        read += await take(reader, 1, max_records=20)
    await reader.close()


async def test_no_more_records_come_than_were_asked_for(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"x", partition=n % 2) for n in range(20)])
    reader = await bench.log.reader({TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0})
    seen = 0
    while seen < 20:
        batches = batches_of(await reader.fetch(WAIT, 3))
        count = sum(len(batch.records) for batch in batches)
        assert 0 < count <= 3
        seen += count
    await reader.close()


async def test_the_position_follows_the_last_record(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(10))
    reader = await bench.log.reader({TopicPartition(topic, 0): 4})
    position = 4
    while position < 10:
        for batch in batches_of(await reader.fetch(WAIT, 4)):
            assert [record.offset for record in batch.records] == list(range(position, batch.position))
            position = batch.position
    assert position == 10
    await reader.close()


async def test_a_partition_that_is_read_too_leaves_the_others_where_they_are(bench: Bench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"%d" % n, partition=n % 2) for n in range(20)])
    reader = await bench.log.reader({zero: 0})
    assert [record.offset for record in await take(reader, 4, 4)] == [0, 1, 2, 3]
    await reader.add({one: 7})
    records = await take(reader, 9)
    assert sorted(record.offset for record in records if record.partition == 0) == [4, 5, 6, 7, 8, 9]
    assert sorted(record.offset for record in records if record.partition == 1) == [7, 8, 9]
    await reader.add({zero: 8})
    assert [record.offset for record in await take(reader, 2)] == [8, 9]
    await reader.close()


@pytest.mark.parametrize("offset", [1, 6, 1000])
async def test_an_offset_that_is_not_there(bench: Bench, topic: str, offset: int) -> None:
    partition = TopicPartition(topic, 0)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(5))
    await bench.truncate(partition, 2)
    reader = await bench.log.reader({partition: offset})
    trouble = await refused(reader, partition)
    assert (trouble.kind, trouble.offset) == (Kind.OUT_OF_RANGE, offset)
    await reader.assign({partition: 2})
    assert len(await take(reader, 3)) == 3
    await reader.close()


@pytest.mark.alone
async def test_a_fetch_waits_and_wakes(bench: Bench, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(2))
    reader = await bench.log.reader({partition: 2})
    assert await reader.fetch(0) == []
    assert await reader.fetch(0.05) == []
    took = []
    for number in range(TRIES):
        waiting = asyncio.create_task(reader.fetch(WAIT))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await bench.log.append(topic, [NewRecord(b"new %d" % number)])
        appended = time.monotonic()
        (batch,) = await waiting
        took.append(time.monotonic() - appended)
        assert isinstance(batch, Batch)
        assert [record.value for record in batch.records] == [b"new %d" % number]
    assert min(took) < 0.25
    await reader.close()


async def test_a_fetch_of_some_partitions(bench: Bench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"%d" % n, partition=n % 2) for n in range(10)])
    reader = await bench.log.reader({zero: 0, one: 0})
    for partition, first in ((one, b"1"), (zero, b"0")):
        (batch,) = batches_of(await reader.fetch(WAIT, 2, [partition]))
        assert (batch.partition, batch.records[0].value) == (partition, first)
    rest = await take(reader, 6)
    assert {record.value for record in rest} == {b"%d" % n for n in range(4, 10)}
    assert await reader.fetch(0.01, partitions=[]) == []
    await reader.close()


async def test_what_was_not_asked_for_comes_when_it_is(bench: Bench, topic: str) -> None:
    """As where the hub lets a topic rest, and reads the others."""
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"%d" % n, partition=n) for n in range(2)])
    reader = await bench.log.reader({zero: 0, one: 0})
    await take(reader, 2)
    for number in range(3):
        await bench.log.append(topic, [NewRecord(b"rests %d" % number, partition=0)])
        assert await reader.fetch(0.02, partitions=[one]) == []
        assert not reader.more
        await bench.log.append(topic, [NewRecord(b"goes on %d" % number, partition=1)])
        (batch,) = batches_of(await reader.fetch(WAIT, partitions=[one]))
        assert [record.value for record in batch.records] == [b"goes on %d" % number]
        assert not reader.more
        assert [record.value for record in await take(reader, 1)] == [b"rests %d" % number]
    await reader.close()


async def test_whoever_fetches_again_and_again_yields(bench: Bench, topic: str) -> None:
    """Also where the next records are at hand, where nothing is there, and where nothing is asked for."""
    zero = TopicPartition(topic, 0)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(20))
    reader = await bench.log.reader({zero: 0})
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    taken = 0
    while taken < 20:
        before = turns
        taken += sum(len(batch.records) for batch in batches_of(await reader.fetch(WAIT, 3)))
        assert turns > before
    for count in (1, 0):
        before = turns
        assert await reader.fetch(0, partitions=[zero][:count]) == []
        assert turns > before
    running.cancel()
    await reader.close()


@pytest.mark.alone
async def test_a_fetch_of_some_partitions_is_not_held_up_by_the_others(bench: Bench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"x", partition=0) for _ in range(100)])
    reader = await bench.log.reader({zero: 0, one: 0})
    took = []
    for _ in range(TRIES):
        await reader.assign({zero: 0, one: 0})
        started = time.monotonic()
        assert await reader.fetch(0.01, partitions=[one]) == []
        for _ in range(10):
            assert await reader.fetch(WAIT, 10, [zero])
        took.append(time.monotonic() - started)
    assert min(took) < 0.45
    await reader.close()


async def test_a_reader_is_assigned_anew(bench: Bench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"%d" % n, partition=n % 2) for n in range(20)])
    reader = await bench.log.reader({zero: 0})
    assert len(await take(reader, 3, 3)) == 3
    await reader.assign({one: 8})
    assert [record.value for record in await take(reader, 2)] == [b"17", b"19"]
    took = []
    for _ in range(TRIES):
        # A request that waits for records is under way now.
        assert await reader.fetch(0.05) == []
        started = time.monotonic()
        await reader.assign({zero: 9, one: 9})
        assert {record.value for record in await take(reader, 2)} == {b"18", b"19"}
        took.append(time.monotonic() - started)
    assert min(took) < 0.4
    await reader.assign({})
    assert await reader.fetch(0.01) == []
    await reader.close()


async def test_large_records(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    given = [NewRecord(bytes([n]) * 1_000_000, partition=n % 2) for n in range(6)]
    for new in given:
        await bench.log.append(topic, [new])
    reader = await bench.log.reader({TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0})
    records = await take(reader, 6)
    assert {record.value for record in records} == {new.value for new in given}
    await reader.close()


async def test_many_readers_at_their_own_positions(bench: Bench, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(50))
    readers = [await bench.log.reader({partition: n}) for n in range(0, 50, 10)]
    found = await asyncio.gather(*(take(reader, 50 - 10 * n) for n, reader in enumerate(readers)))
    assert [records[0].offset for records in found] == [0, 10, 20, 30, 40]
    await asyncio.gather(*(reader.close() for reader in readers))


async def test_closing_twice_is_allowed(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    reader = await bench.log.reader({TopicPartition(topic, 0): 0})
    await reader.close()
    await reader.close()

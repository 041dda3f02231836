"""What every event log promises, whatever it is built on."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.errors import LogError, LogUnavailable, TopicAbsent
from gateway.eventlog.offer import RECORD_BYTES
from gateway.eventlog.port import Batch, Bounds, TopicState
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.eventlog.kit import WAIT, Bench, batches_of, existing, refused, take

START = time.time_ns() // 1_000_000 - 3_600_000
"""A time in the past (ms), within every log's retention."""


def numbered(count: int, size: int = 0) -> list[NewRecord]:
    return [NewRecord(b"%d" % number + b"." * size, timestamp=START + number, partition=0) for number in range(count)]


async def test_what_was_appended_is_read(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    given = [
        NewRecord(b'{"a":1}', timestamp=START),
        NewRecord(b"\x00\xff\n", b"\x00key", START + 1),
        NewRecord(None, b"tombstone", START + 2),
        NewRecord(b"", b"", START + 3),
        NewRecord(b"x", None, START + 4, None, (("a", b"1"), ("ä", b"\xff"), ("a", b""))),
    ]
    locations = await bench.log.append(topic, given)
    assert locations == [(TopicPartition(topic, 0), offset) for offset in range(5)]
    reader = await bench.log.reader({TopicPartition(topic, 0): 0})
    records = await take(reader, 5)
    assert [(record.value, record.key, record.timestamp, record.headers) for record in records] == [
        (new.value, new.key, new.timestamp, new.headers) for new in given
    ]
    assert [(record.topic, record.partition, record.offset) for record in records] == [(topic, 0, n) for n in range(5)]
    await reader.close()


async def test_a_record_without_a_timestamp_has_the_time_of_its_append(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    before = time.time_ns() // 1_000_000
    await bench.log.append(topic, [NewRecord(b"x")])
    after = time.time_ns() // 1_000_000
    reader = await bench.log.reader({TopicPartition(topic, 0): 0})
    assert before <= (await take(reader, 1))[0].timestamp <= after
    await reader.close()


async def test_a_key_stays_in_one_partition(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 4)
    for key in (b"a", b"b", b"c"):
        locations = await bench.log.append(topic, [NewRecord(b"x", key) for _ in range(5)])
        assert len({partition for partition, _ in locations}) == 1


async def test_records_without_a_key_spread(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    locations = await bench.log.append(topic, [NewRecord(b"x") for _ in range(64)])
    assert {partition.partition for partition, _ in locations} == {0, 1}


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


async def test_bounds(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert await bench.log.bounds([zero, one]) == {zero: Bounds(0, 0), one: Bounds(0, 0)}
    await bench.log.append(topic, numbered(3))
    assert await bench.log.bounds([zero, one]) == {zero: Bounds(0, 3), one: Bounds(0, 0)}
    await bench.truncate(zero, 2)
    assert await bench.log.bounds([zero]) == {zero: Bounds(2, 3)}
    assert await bench.log.bounds([]) == {}


async def test_an_expired_partition_keeps_its_offsets(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    partition = TopicPartition(topic, 0)
    await bench.log.append(topic, numbered(3))
    await bench.truncate(partition, 3)
    assert await bench.log.bounds([partition]) == {partition: Bounds(3, 3)}
    assert await bench.log.find({partition: 0}) == {partition: None}
    assert await bench.log.append(topic, numbered(1)) == [(partition, 3)]


async def test_find(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    partition, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    for number in range(5):
        await bench.log.append(topic, [NewRecord(b"x", timestamp=START + 10 * number, partition=0)])
    wanted = {START - 1: 0, 0: 0, START: 0, START + 1: 1, START + 10: 1, START + 39: 4, START + 40: 4, START + 41: None}
    for when, offset in wanted.items():
        assert await bench.log.find({partition: when, empty: when}) == {partition: offset, empty: None}


async def test_find_where_timestamps_go_back(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    partition = TopicPartition(topic, 0)
    times = [50, 20, 70, 30, 70, 60, 100, 10]
    await bench.log.append(topic, [NewRecord(b"x", timestamp=START + when, partition=0) for when in times])
    for when in range(0, 105, 5):
        first = next((offset for offset, found in enumerate(times) if found >= when), None)
        assert await bench.log.find({partition: START + when}) == {partition: first}, when


async def test_find_among_many_of_one_millisecond(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    partition = TopicPartition(topic, 0)
    times = [START, *[START + 1] * 1000, START + 2]
    await bench.log.append(topic, [NewRecord(b"%d" % n, timestamp=when) for n, when in enumerate(times)])
    assert await bench.log.find({partition: START + 1}) == {partition: 1}
    assert await bench.log.find({partition: START + 2}) == {partition: 1001}
    reader = await bench.log.reader({partition: 1})
    assert [record.value for record in await take(reader, 1001)] == [b"%d" % n for n in range(1, 1002)]
    await reader.close()


async def test_an_absent_topic(bench: Bench, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    assert await bench.log.describe([topic]) == {}
    (told,) = (await bench.log.bounds([partition])).values()
    assert isinstance(told, Trouble)
    assert told.kind is Kind.ABSENT
    (found,) = (await bench.log.find({partition: 0})).values()
    assert isinstance(found, Trouble)
    assert found.kind is Kind.ABSENT
    with pytest.raises(TopicAbsent):
        await bench.log.append(topic, [NewRecord(b"x")])
    reader = await bench.log.reader({partition: 0})
    assert (await refused(reader, partition)).kind is Kind.ABSENT
    await bench.log.create(topic)
    await bench.log.append(topic, [NewRecord(b"x")])
    await reader.add({partition: 0})
    assert [record.value for record in await take(reader, 1)] == [b"x"]
    await reader.close()


async def test_an_absent_partition(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    answers = await bench.log.bounds([zero, one])
    assert answers[zero] == Bounds(0, 0), "what is there is told"
    assert isinstance(answers[one], Trouble)
    with pytest.raises(TopicAbsent):
        await bench.log.append(topic, [NewRecord(b"x", partition=1)])
    reader = await bench.log.reader({one: 0, zero: 0})
    assert (await refused(reader, one)).kind is Kind.ABSENT
    await bench.log.append(topic, [NewRecord(b"x", partition=0)])
    assert len(await take(reader, 1)) == 1, "the others are read on"
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


async def test_each_record_that_is_offered_has_a_fate_of_its_own(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    offered = [
        NewRecord(b"a"),
        NewRecord(bytes(RECORD_BYTES + 1)),
        NewRecord(b"b", headers=(("x", bytes(RECORD_BYTES)),)),
        NewRecord(b"c", partition=7),
        NewRecord(b"d", bytes(RECORD_BYTES)),
        NewRecord(b"e"),
    ]
    fates = await bench.log.offer(topic, offered)
    partition = TopicPartition(topic, 0)
    assert [fate for fate in fates if not isinstance(fate, LogError)] == [(partition, 0), (partition, 1)]
    assert [type(fate) for fate in fates] == [tuple, LogError, LogError, TopicAbsent, LogError, tuple]
    assert "too large" in str(fates[1])
    reader = await bench.log.reader({partition: 0})
    assert [record.value for record in await take(reader, 2)] == [b"a", b"e"]
    await reader.close()
    assert await bench.log.offer(topic, []) == []


async def test_what_is_appended_together_raises_what_became_of_one(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    with pytest.raises(LogError, match="too large") as refused:
        await bench.log.append(topic, [NewRecord(b"a"), NewRecord(bytes(RECORD_BYTES + 1))])
    assert not isinstance(refused.value, LogUnavailable)
    with pytest.raises(TopicAbsent):
        await bench.log.offer(topic + ".absent", [NewRecord(b"a")])
    await bench.log.delete(topic)
    with pytest.raises(TopicAbsent):
        await bench.log.offer(topic, [NewRecord(b"a"), NewRecord(b"b")])


async def test_describe_and_create(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 3)
    state = existing(await bench.log.describe([topic, topic + ".absent"]))[topic]
    assert state.partitions == 3
    await bench.log.create(topic, 5)
    assert await bench.log.describe([topic]) == {topic: state}


async def test_new_partitions(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 1)
    identity = existing(await bench.log.describe([topic]))[topic].identity
    await bench.add_partitions(topic, 2)
    async with asyncio.timeout(WAIT):
        while existing(await bench.log.describe([topic]))[topic].partitions != 2:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.02)
    assert existing(await bench.log.describe([topic]))[topic].identity == identity
    new = TopicPartition(topic, 1)
    await bench.log.append(topic, [NewRecord(b"x", partition=1)])
    assert await bench.log.bounds([new]) == {new: Bounds(0, 1)}
    reader = await bench.log.reader({new: 0})
    assert len(await take(reader, 1)) == 1
    await reader.close()


async def test_a_topic_created_again_is_another(bench: Bench, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(5))
    first = (await bench.log.describe([topic]))[topic]
    readers = [await bench.log.reader({partition: 0}) for _ in range(2)]
    for reader in readers:
        assert len(await take(reader, 5)) == 5
    await bench.log.delete(topic)
    assert await bench.log.describe([topic]) == {}
    assert (await refused(readers[0], partition)).kind is Kind.ABSENT
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(8))
    state = (await bench.log.describe([topic]))[topic]
    assert isinstance(state, TopicState)
    assert isinstance(first, TopicState)
    assert state.identity != first.identity
    assert (await refused(readers[1], partition)).kind is Kind.ABSENT
    await readers[0].assign({partition: 0})
    await readers[1].add({partition: 3})
    assert len(await take(readers[0], 8)) == 8
    assert [record.offset for record in await take(readers[1], 5)] == [3, 4, 5, 6, 7]
    for reader in readers:
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
    waiting = asyncio.create_task(reader.fetch(WAIT))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await bench.log.append(topic, [NewRecord(b"new")])
    appended = time.monotonic()
    (batch,) = await waiting
    assert time.monotonic() - appended < 0.25
    assert isinstance(batch, Batch)
    assert [record.value for record in batch.records] == [b"new"]
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


@pytest.mark.alone
async def test_a_fetch_of_some_partitions_is_not_held_up_by_the_others(bench: Bench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"x", partition=0) for _ in range(100)])
    reader = await bench.log.reader({zero: 0, one: 0})
    started = time.monotonic()
    assert await reader.fetch(0.01, partitions=[one]) == []
    for _ in range(10):
        assert await reader.fetch(WAIT, 10, [zero])
    assert time.monotonic() - started < 0.45
    await reader.close()


async def test_a_reader_is_assigned_anew(bench: Bench, topic: str) -> None:
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await bench.log.create(topic, 2)
    await bench.log.append(topic, [NewRecord(b"%d" % n, partition=n % 2) for n in range(20)])
    reader = await bench.log.reader({zero: 0})
    assert len(await take(reader, 3, 3)) == 3
    await reader.assign({one: 8})
    assert [record.value for record in await take(reader, 2)] == [b"17", b"19"]
    waiting = asyncio.create_task(reader.fetch(0.05))
    assert await waiting == []
    started = time.monotonic()
    await reader.assign({zero: 9, one: 9})
    assert {record.value for record in await take(reader, 2)} == {b"18", b"19"}
    assert time.monotonic() - started < 0.4
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


async def test_a_log_is_told_from_others_by_what_stays(bench: Bench) -> None:
    identity = await bench.log.identity()
    assert identity
    assert await bench.log.identity() == identity

"""What every event log promises, whatever it is built on."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.catalog.stream import Retention
from gateway.errors import LogError, LogForbids, LogUnavailable, TopicAbsent
from gateway.eventlog.offer import RECORD_BYTES
from gateway.eventlog.port import Bounds, TopicState
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import START, WAIT, ArchivedBench, Bench, existing, numbered, refused, take


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


async def test_a_compacted_topic_keeps_the_newest_of_each_key(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2, Retention(compacted=True))
    state = (await bench.log.describe([topic]))[topic]
    assert isinstance(state, TopicState)
    assert state.partitions == 2
    given = [NewRecord(b"1", b"a", partition=0), NewRecord(b"2", b"a", partition=0), NewRecord(None, b"b", partition=0)]
    assert [offset for _, offset in await bench.log.append(topic, given)] == [0, 1, 2]
    reader = await bench.log.reader({TopicPartition(topic, 0): 0})
    newest = {record.key: record.value for record in await take(reader, 3)}
    await reader.close()
    assert newest == {b"a": b"2", b"b": None}


async def test_a_key_stays_in_one_partition(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 4)
    for key in (b"a", b"b", b"c"):
        locations = await bench.log.append(topic, [NewRecord(b"x", key) for _ in range(5)])
        assert len({partition for partition, _ in locations}) == 1


async def test_records_without_a_key_spread(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    locations = await bench.log.append(topic, [NewRecord(b"x") for _ in range(64)])
    assert {partition.partition for partition, _ in locations} == {0, 1}


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


async def test_a_topic_created_again_before_the_first_record_is_read_is_another(bench: Bench, topic: str) -> None:
    """Whoever has asked which topic it is, after it was added, must be able to rely on that."""
    partition = TopicPartition(topic, 0)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(3))
    readers = [await bench.log.reader({}) for _ in range(2)]
    readers.append(await bench.log.reader({partition: 3}))
    await readers[0].assign({partition: 3})
    await readers[1].add({partition: 3})
    await bench.log.delete(topic)
    await bench.log.create(topic)
    await bench.log.append(topic, numbered(8))
    for reader in readers:
        assert (await refused(reader, partition)).kind is Kind.ABSENT
        await reader.close()


async def test_a_log_is_told_from_others_by_what_stays(bench: Bench) -> None:
    identity = await bench.log.identity()
    assert identity
    assert await bench.log.identity() == identity


async def test_records_are_emptied_where_they_stand(bench: Bench, topic: str) -> None:
    await bench.log.create(topic, 2)
    given = [NewRecord(b"%d" % n, b"k%d" % (n % 3), START + n, n % 2, (("a", b"1"),)) for n in range(12)]
    await bench.log.append(topic, given)
    (before,) = existing(await bench.log.describe([topic])).values()
    if not bench.log.erasable:
        with pytest.raises(LogForbids):
            await bench.log.erase(topic, lambda record: True)
        return
    emptied = await bench.log.erase(topic, lambda record: record.key == b"k1")
    bounds = await bench.log.bounds([TopicPartition(topic, number) for number in range(2)])
    assert [at.end for at in bounds.values() if isinstance(at, Bounds)] == [6, 6]
    reader = await bench.log.reader({TopicPartition(topic, number): 0 for number in range(2)})
    records = sorted(await take(reader, 12), key=lambda record: record.timestamp)
    await reader.close()
    assert [record.timestamp for record in records] == [START + n for n in range(12)]
    gone = [n for n, record in enumerate(records) if (record.key, record.value, record.headers) == (None, None, ())]
    (after,) = existing(await bench.log.describe([topic])).values()
    assert (after.erasures > before.erasures, after[:2]) == (emptied > 0, before[:2])
    assert await bench.log.erase(topic, lambda record: record.key == b"k1") == 0
    assert existing(await bench.log.describe([topic])) == {topic: after}
    # An archive is erased from by itself, and its log has nothing left.
    assert (emptied, gone) == ((0, []) if isinstance(bench, ArchivedBench) else (4, [1, 4, 7, 10]))

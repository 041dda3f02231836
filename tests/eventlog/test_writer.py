"""What every event log promises to a writer that keeps its position beside the records."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from gateway.errors import LogError, TopicAbsent, WriterFenced
from gateway.eventlog.offer import RECORD_BYTES
from gateway.eventlog.trouble import demand
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import WAIT, Bench, KafkaBench, batches_of, take, to

ROOT = Path(__file__).parent.parent.parent

ENDLESS = """
import asyncio, sys
from gateway.model.record import NewRecord
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.sqlite.log import SqliteLog
from tests.eventlog.unhurried import without_haste

async def main():
    kind, address, topic = sys.argv[1:]
    log = SqliteLog(address) if kind == "sqlite" else KafkaLog([address])
    await log.open()
    await log.create(topic)
    await log.create(topic + ".other")
    writer = await log.writer(topic)
    number = int(writer.position or b"0")
    while True:
        records = [(name, NewRecord(b"%d" % n, partition=0))
                   for n in range(number, number + 7) for name in (topic, topic + ".other")]
        await writer.append(records, b"%d" % (number + 7))
        number += 7
        print(number, flush=True)

with without_haste():
    asyncio.run(main())
"""
"""A program that appends numbers to two topics for ever, and goes on at its position."""


async def values(bench: Bench, topic: str, name: str | None = None) -> tuple[list[bytes | None], bytes | None]:
    """All that can be read of partition 0, in order, and the position, as a writer opened now finds it. Opening it
    ends whatever an earlier one has begun."""
    writer = await bench.log.writer(name or topic)
    await writer.close()
    partition = TopicPartition(topic, 0)
    bounds = demand(await bench.log.bounds([partition]))[partition]
    found: list[bytes | None] = []
    position = bounds.start
    reader = await bench.log.reader({partition: position})
    while position < bounds.end:
        for batch in batches_of(await reader.fetch(WAIT)):
            found += [record.value for record in batch.records]
            position = batch.position
    await reader.close()
    return found, writer.position


async def test_a_position_is_kept_with_the_records(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    writer = await bench.log.writer(topic)
    first_position = writer.position
    assert first_position is None
    ((partition, first),) = await writer.append(to(topic, [NewRecord(b"0", partition=0)]), b"\x00one")
    assert (partition, first) == (TopicPartition(topic, 0), 0)
    assert writer.position == b"\x00one"
    locations = await writer.append(to(topic, [NewRecord(b"%d" % n, partition=0) for n in (1, 2)]), b"two")
    assert [each for each, _ in locations] == [partition, partition]
    assert [offset for _, offset in locations] == sorted(offset for _, offset in locations)
    await writer.close()
    assert await values(bench, topic) == ([b"0", b"1", b"2"], b"two")


async def test_records_of_a_writer_are_like_any_others(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    writer = await bench.log.writer(topic)
    given = [NewRecord(b"x", b"key", 1_700_000_000_000, 0, (("h", b"v"),)), NewRecord(None, b"k", 1_700_000_000_001)]
    await writer.append(to(topic, given), b"1")
    reader = await bench.log.reader({TopicPartition(topic, 0): 0})
    assert [(record.value, record.key, record.timestamp, record.headers) for record in await take(reader, 2)] == [
        (new.value, new.key, new.timestamp, new.headers) for new in given
    ]
    await reader.close()
    await writer.close()


async def test_a_position_moves_without_records(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    writer = await bench.log.writer(topic)
    assert await writer.append([], b"1") == []
    assert await writer.append([], b"2") == []
    await writer.close()
    assert await values(bench, topic) == ([], b"2")


async def test_names_have_positions_of_their_own(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    one, two = await bench.log.writer(f"{topic}.one"), await bench.log.writer(f"{topic}.zwei ü")
    await one.append(to(topic, [NewRecord(b"1")]), b"1")
    await two.append(to(topic, [NewRecord(b"2")]), b"2")
    await one.append(to(topic, [NewRecord(b"3")]), b"3")
    await two.close()
    again = await bench.log.writer(f"{topic}.zwei ü")
    assert again.position == b"2"
    await one.append(to(topic, [NewRecord(b"4")]), b"4")
    await one.close()
    await again.close()
    assert await values(bench, topic, f"{topic}.one") == ([b"1", b"2", b"3", b"4"], b"4")


async def test_records_of_several_topics_are_one_append(bench: Bench, topic: str) -> None:
    other = f"{topic}.other"
    await bench.log.create(topic)
    await bench.log.create(other, 2)
    writer = await bench.log.writer(topic)
    given = [(other if n % 3 else topic, NewRecord(b"%d" % n, partition=0)) for n in range(7)]
    locations = await writer.append([*given, (other, NewRecord(b"7", partition=1))], b"1")
    assert [partition for partition, _ in locations] == [
        *(TopicPartition(name, 0) for name, _ in given),
        TopicPartition(other, 1),
    ]
    await writer.append([(other, NewRecord(b"8", partition=0))], b"2")
    await writer.close()
    assert await values(bench, topic) == ([b"0", b"3", b"6"], b"2")
    assert await values(bench, other, topic) == ([b"1", b"2", b"4", b"5", b"8"], b"2")


async def test_an_append_of_several_topics_is_stored_in_all_or_none(bench: Bench, topic: str) -> None:
    other, absent = f"{topic}.other", f"{topic}.absent"
    await bench.log.create(topic)
    await bench.log.create(other)
    first = (topic, NewRecord(b"lost", partition=0))
    lost = {
        (absent, NewRecord(b"lost", partition=0)): TopicAbsent,
        (other, NewRecord(b"lost", partition=7)): TopicAbsent,
        (other, NewRecord(bytes(RECORD_BYTES + 1), partition=0)): LogError,
    }
    for last, error in lost.items():
        for records in ([first, last], [last, first]):
            writer = await bench.log.writer(topic)
            with pytest.raises(error):
                await writer.append(records, b"lost")
            assert writer.position is None
            await writer.close()
    assert await values(bench, topic) == ([], None)
    assert await values(bench, other, topic) == ([], None)


async def test_a_writer_that_was_taken_over_stores_nothing_in_any_topic(bench: Bench, topic: str) -> None:
    other = f"{topic}.other"
    await bench.log.create(topic)
    await bench.log.create(other)
    old = await bench.log.writer(topic)
    await old.append([], b"1")
    new = await bench.log.writer(topic)
    with pytest.raises(WriterFenced):
        await old.append([(topic, NewRecord(b"zombie")), (other, NewRecord(b"zombie"))], b"zombie")
    await new.append([(other, NewRecord(b"new", partition=0))], b"2")
    await old.close()
    await new.close()
    assert await values(bench, topic) == ([], b"2")
    assert await values(bench, other, topic) == ([b"new"], b"2")


async def test_a_position_of_no_topic_moves_where_topics_are_gone(bench: Bench, topic: str) -> None:
    writer = await bench.log.writer(topic)
    assert await writer.append([], b"1") == []
    await writer.close()
    again = await bench.log.writer(topic)
    assert again.position == b"1"
    await again.close()


async def test_a_writer_that_was_taken_over_stores_nothing(bench: Bench, topic: str) -> None:
    await bench.log.create(topic)
    old = await bench.log.writer(topic)
    await old.append(to(topic, [NewRecord(b"old")]), b"1")
    new = await bench.log.writer(topic)
    assert new.position == b"1"
    with pytest.raises(WriterFenced) as fenced:
        await old.append(to(topic, [NewRecord(b"zombie")]), b"zombie")
    assert fenced.value.name == topic
    assert "has taken over" in str(fenced.value)
    await new.append(to(topic, [NewRecord(b"new")]), b"2")
    await old.close()
    await new.close()
    assert await values(bench, topic) == ([b"old", b"new"], b"2")


async def test_an_append_that_fails_stores_nothing(bench: Bench, topic: str) -> None:
    writer = await bench.log.writer(topic)
    with pytest.raises(TopicAbsent):
        await writer.append(to(topic, [NewRecord(b"lost")]), b"lost")
    assert writer.position is None
    await bench.log.create(topic)
    await writer.append(to(topic, [NewRecord(b"stored")]), b"1")
    with pytest.raises(TopicAbsent):
        await writer.append(to(topic, [NewRecord(b"lost", partition=0), NewRecord(b"lost", partition=7)]), b"lost")
    await writer.close()
    assert await values(bench, topic) == ([b"stored"], b"1")


async def test_a_writer_closes_twice(bench: Bench, topic: str) -> None:
    writer = await bench.log.writer(topic)
    await writer.close()
    await writer.close()


@pytest.mark.long
@pytest.mark.parametrize("bench", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
async def test_a_killed_writer_goes_on_where_it_stopped(bench: Bench, topic: str, tmp_path: Path) -> None:
    address = ("sqlite", str(tmp_path / "log" / "events.db"))
    if isinstance(bench, KafkaBench):
        address = ("kafka", bench.bootstrap)
    for lines in (5, 1, 3, 2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ENDLESS, *address, topic, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        for _ in range(lines):
            async with asyncio.timeout(2 * WAIT):
                assert await process.stdout.readline()
        process.kill()
        await process.wait()
    stored, position = await values(bench, topic)
    assert stored == [b"%d" % number for number in range(len(stored))]
    assert position == b"%d" % len(stored)
    others, _ = await values(bench, f"{topic}.other", topic)
    assert others == stored

"""What can be done to the log in memory, and how its readers see it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import LogUnavailable, TopicAbsent
from gateway.event import NewRecord, TopicPartition
from gateway.eventlog.memory import MemoryLog
from gateway.eventlog.port import Bounds
from tests.eventlog.kit import WAIT, take

TOPIC = "test"
PARTITION = TopicPartition(TOPIC, 0)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog(now=lambda: 7)
    log.create_topic(TOPIC)
    log.append_now(TOPIC, [NewRecord(b"%d" % number) for number in range(10)])
    return log


async def test_compaction_leaves_holes(log: MemoryLog) -> None:
    log.compact(TOPIC, 0, {0, 3, 4, 9})
    reader = await log.reader({PARTITION: 0})
    assert [record.offset for record in await take(reader, 6, max_records=2)] == [1, 2, 5, 6, 7, 8]
    assert await log.bounds([PARTITION]) == {PARTITION: Bounds(0, 10)}
    await reader.assign({PARTITION: 3})
    (batch,) = await reader.fetch(WAIT, 2)
    assert ([record.offset for record in batch.records], batch.position) == ([5, 6], 7)


async def test_markers_move_the_position(log: MemoryLog) -> None:
    reader = await log.reader({PARTITION: 10})
    waiting = asyncio.create_task(reader.fetch(WAIT))
    await asyncio.sleep(0)
    log.mark(TOPIC, 0, 2)
    (batch,) = await waiting
    assert (list(batch.records), batch.position) == ([], 12)
    assert log.append_now(TOPIC, [NewRecord(b"x")]) == [(PARTITION, 12)]


async def test_a_log_that_is_away(log: MemoryLog) -> None:
    reader = await log.reader({PARTITION: 10})
    waiting = asyncio.create_task(reader.fetch(WAIT))
    await asyncio.sleep(0)
    log.available = False
    with pytest.raises(LogUnavailable):
        await waiting
    for call in (
        log.describe([TOPIC]),
        log.bounds([PARTITION]),
        log.find({PARTITION: 0}),
        log.append(TOPIC, []),
        log.create("other"),
        reader.fetch(0),
        log.reader({}),
    ):
        with pytest.raises(LogUnavailable):
            await call
    log.available = True
    log.append_now(TOPIC, [NewRecord(b"x")])
    assert len(await take(reader, 1)) == 1


async def test_a_topic_deleted_while_a_reader_waits(log: MemoryLog) -> None:
    reader = await log.reader({PARTITION: 10})
    waiting = asyncio.create_task(reader.fetch(WAIT))
    await asyncio.sleep(0)
    log.delete_topic(TOPIC)
    with pytest.raises(TopicAbsent):
        await waiting


async def test_the_time_of_an_append_is_the_clock_given(log: MemoryLog) -> None:
    reader = await log.reader({PARTITION: 0})
    assert {record.timestamp for record in await take(reader, 10)} == {7}

"""What can be done to the log in memory, and how its readers see it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import LogUnavailable, Refused
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch, Bounds, TopicState
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import WAIT, batches_of, take

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
    (batch,) = batches_of(await reader.fetch(WAIT, 2))
    assert ([record.offset for record in batch.records], batch.position) == ([5, 6], 7)


async def test_markers_move_the_position(log: MemoryLog) -> None:
    reader = await log.reader({PARTITION: 10})
    waiting = asyncio.create_task(reader.fetch(WAIT))
    await asyncio.sleep(0)
    log.mark(TOPIC, 0, 2)
    (batch,) = batches_of(await waiting)
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
    (refusal,) = await waiting
    assert isinstance(refusal, Refusal)
    assert refusal.trouble.kind is Kind.ABSENT


SICK = Trouble(Kind.NO_LEADER, "set by the test")


async def test_what_is_refused_leaves_the_others_alone(log: MemoryLog) -> None:
    log.create_topic("other")
    log.append_now("other", [NewRecord(b"x")])
    other = TopicPartition("other", 0)
    log.refuse(other, SICK)
    bounds = await log.bounds([PARTITION, other])
    assert bounds[other] == SICK
    assert isinstance(bounds[PARTITION], Bounds)
    assert (await log.find({other: 0}))[other] == SICK
    assert isinstance((await log.describe(["other"]))["other"], TopicState)
    reader = await log.reader({other: 0, PARTITION: 0})
    found = await reader.fetch(WAIT)
    assert Refusal(other, SICK) in found
    assert sum(isinstance(one, Batch) for one in found) == 1
    assert await reader.fetch(0.01) == [], "it is told once"
    log.refuse(other, None)
    await reader.add({other: 0})
    assert len(await take(reader, 1)) == 1


async def test_a_topic_that_is_hidden_may_exist_or_not(log: MemoryLog) -> None:
    for topic in (TOPIC, "absent"):
        log.hide(topic, SICK)
        assert await log.describe([topic]) == {topic: SICK}
        with pytest.raises(Refused, match="no leader"):
            await log.append(topic, [NewRecord(b"x")])


async def test_what_cannot_be_read_is_told_after_what_can(log: MemoryLog) -> None:
    damaged = Trouble(Kind.UNREADABLE, "set by the test", 4)
    log.spoil(PARTITION, damaged)
    assert isinstance((await log.bounds([PARTITION]))[PARTITION], Bounds)
    reader = await log.reader({PARTITION: 0})
    assert [record.offset for record in await take(reader, 4)] == [0, 1, 2, 3]
    assert await reader.fetch(WAIT) == [Refusal(PARTITION, damaged)]


async def test_the_time_of_an_append_is_the_clock_given(log: MemoryLog) -> None:
    reader = await log.reader({PARTITION: 0})
    assert {record.timestamp for record in await take(reader, 10)} == {7}

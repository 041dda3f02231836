"""Partitions that cannot be read while the others are."""

from __future__ import annotations

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import Kind, Trouble
from gateway.hub.watch import LagWatch
from gateway.model.record import NewRecord, TopicPartition

FIRST, SECOND = TopicPartition("alpha", 0), TopicPartition("alpha", 1)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create_topic("alpha", 2)
    for number in (0, 1):
        log.append_now("alpha", [NewRecord(b"{}", None, 1, number)] * 5)
    return log


async def test_what_has_records_and_does_not_move_is_stuck(log: MemoryLog) -> None:
    reading = {FIRST: 2, SECOND: 5}
    watch = LagWatch(log, lambda: reading)
    await watch.look()
    assert watch.stuck == []
    await watch.look()
    assert watch.stuck == [FIRST]
    reading[FIRST] = 3
    await watch.look()
    assert watch.stuck == []


async def test_what_the_log_says_nothing_of_is_stuck_and_the_others_are_not(log: MemoryLog) -> None:
    watch = LagWatch(log, lambda: {FIRST: 5, SECOND: 5})
    log.refuse(SECOND, Trouble(Kind.NO_LEADER, "set by the test"))
    await watch.look()
    assert watch.stuck == [SECOND]
    log.refuse(SECOND, None)
    await watch.look()
    assert watch.stuck == []


async def test_a_topic_that_is_gone_and_a_log_that_is_away_are_told_elsewhere(log: MemoryLog) -> None:
    reading = {FIRST: 2, TopicPartition("beta", 0): 7}
    watch = LagWatch(log, lambda: reading)
    for _ in range(2):
        await watch.look()
    assert watch.stuck == [FIRST]
    reading.clear()
    await watch.look()
    assert watch.stuck == []

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


async def test_a_topic_that_is_gone_is_told_elsewhere_and_one_that_is_not_read_any_more_is_not_told(
    log: MemoryLog,
) -> None:
    reading = {FIRST: 2, TopicPartition("beta", 0): 7}
    watch = LagWatch(log, lambda: reading)
    for _ in range(2):
        await watch.look()
    assert watch.stuck == [FIRST]
    reading.clear()
    await watch.look()
    assert (watch.stuck, watch.lag) == ([], {})


@pytest.mark.parametrize("told", ["by the hub", "by the log", "by the hub, between two questions"])
async def test_while_the_log_is_away_nothing_is_said_to_be_well(
    log: MemoryLog, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[list[TopicPartition]] = []
    monkeypatch.setattr("gateway.observability.telemetry.partitions_stuck", said.append)
    known: dict[TopicPartition, int] = {FIRST: 2, SECOND: 5}
    answers: list[dict[TopicPartition, int] | None] = []
    watch = LagWatch(log, lambda: answers.pop(0) if answers else known)
    await watch.look()
    await watch.look()
    assert said == [[FIRST]]
    if told == "by the log":
        log.available = False
    else:
        answers += [None, None] if told == "by the hub" else [known, None]
    await watch.look()
    assert (watch.stuck, watch.lag, said) == ([FIRST], {FIRST: 3, SECOND: 0}, [[FIRST]])
    log.available = True
    await watch.look()
    assert watch.stuck == [FIRST]
    known[FIRST] = 5
    await watch.look()
    assert (watch.stuck, watch.lag, said) == ([], {FIRST: 0, SECOND: 0}, [[FIRST], []])


async def test_what_could_not_move_without_a_log_is_not_stuck(log: MemoryLog) -> None:
    log.append_now("alpha", [NewRecord(b"{}", None, 1, 1)])
    watch = LagWatch(log, lambda: {SECOND: 5})
    await watch.look()
    log.available = False
    await watch.look()
    log.available = True
    await watch.look()
    assert (watch.stuck, watch.lag) == ([], {SECOND: 1})

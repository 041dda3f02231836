"""Positions in streams of many partitions: with a few calls of the log, each resolved as if it were alone."""

from __future__ import annotations

import pytest

from gateway.eventlog.port import Bounds
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.position import ConsumedPosition, RequestedPosition
from gateway.model.record import TopicPartition
from gateway.subscription.facts import look_up
from gateway.subscription.origin import Origin
from tests.hub.test_discovery import fill
from tests.kit.counting_log import CountingLog

MANY = [TopicPartition("alpha", number) for number in range(300)]
TIMES = [100, 200, 200, 300]
BY_OFFSET = {"alpha": False}


@pytest.fixture
def log() -> CountingLog:
    log = CountingLog()
    log.create_topic("alpha", len(MANY))
    for partition in MANY:
        fill(log, partition, TIMES)
    return log


async def test_many_partitions_cost_a_few_calls(log: CountingLog) -> None:
    wanted = [RequestedPosition(1, 200), RequestedPosition(None, 200), None]
    requested = {partition: wanted[partition.partition % 3] for partition in MANY}
    origin = Origin(requested={partition: one for partition, one in requested.items() if one is not None})
    facts = await look_up(log, requested, origin, BY_OFFSET)
    assert log.calls <= 6
    assert set(facts.bounds.values()) == {Bounds(0, 4)}
    assert facts.records == dict.fromkeys(MANY[::3], ConsumedPosition(1, 200))
    assert facts.times == dict.fromkeys(MANY[1::3], 1)
    assert facts.befores == dict.fromkeys(MANY[1::3], ConsumedPosition(0, 100))


async def test_one_that_is_sick_costs_the_others_nothing(log: CountingLog) -> None:
    sick, spoilt, well, gone = MANY[:4]
    trouble = Trouble(Kind.NO_LEADER, "set by the test")
    unreadable = Trouble(Kind.UNREADABLE, "set by the test", 1)
    log.refuse(sick, trouble)
    log.spoil(spoilt, unreadable)
    log.compact("alpha", gone.partition, [1])
    requested: dict[TopicPartition, RequestedPosition | None] = dict.fromkeys(MANY[:4], RequestedPosition(1, 200))
    facts = await look_up(log, requested, Origin(), BY_OFFSET)
    assert facts.bounds[sick] == trouble
    assert facts.records == {spoilt: unreadable, well: ConsumedPosition(1, 200), gone: None}


async def test_who_asks_for_live_events_wants_none_without_a_time() -> None:
    log = CountingLog()
    log.create_topic("alpha", 1)
    fill(log, MANY[0], [-1, -1])
    asked = {MANY[0]: RequestedPosition(None, 500)}
    live = await look_up(log, asked, Origin(live=500), BY_OFFSET)
    assert live.times == {MANY[0]: 2}
    past = await look_up(log, asked, Origin(since=500), BY_OFFSET)
    assert past.times == {MANY[0]: 0}


async def test_the_overlap_moves_where_it_begins_and_not_what_counts_as_read(log: CountingLog) -> None:
    asked = {MANY[0]: RequestedPosition(None, 300)}
    origin = Origin(requested=asked, overlaps={"alpha": 150})
    facts = await look_up(log, asked, origin, {"alpha": True})
    assert facts.times == {MANY[0]: 1}
    assert facts.befores == {MANY[0]: ConsumedPosition(0, 300)}

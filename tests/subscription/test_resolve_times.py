"""Positions beside records of any time, and of none."""

from __future__ import annotations

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.model.position import ConsumedPosition, RequestedPosition
from gateway.subscription.origin import Origin
from gateway.subscription.resolve import Resolver, _is_behind
from tests.kit.clock import LoopClock
from tests.subscription.resolving import ALPHA, BETA, fill, gaps, hub_of, resolve

SMALLEST, LARGEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize("time", [-1, -2, SMALLEST, LARGEST, 1_764_000_000_000_000])
async def test_a_record_of_any_time_is_gone_on_after(log: MemoryLog, time: int) -> None:
    fill(log, ALPHA, [10, time, time, 20])
    for cold in (False, True):
        async with hub_of(log) as hub:
            if cold:
                hub.filled.clear()
            start = await Resolver(hub).resolve(Origin({ALPHA: RequestedPosition(1, time)}), [ALPHA])
        assert start.next_offsets[ALPHA] == 2
        assert start.consumed[ALPHA][:2] == (1, time)
        assert not start.gaps


async def test_who_stood_at_an_empty_partition_gets_what_has_no_time(log: MemoryLog) -> None:
    fill(log, ALPHA, [-1, -5, 10])
    start = await resolve(log, (ALPHA, RequestedPosition(None, 0)))
    assert start.next_offsets[ALPHA] == 0


async def test_since_everything_begins_with_records_without_a_time(log: MemoryLog) -> None:
    fill(log, ALPHA, [-1, SMALLEST, 100, -1, 200])
    fill(log, BETA, [-1, -1])
    async with hub_of(log) as hub:
        resolver = Resolver(hub)
        for since, next_offsets in [
            (0, {ALPHA: 0, BETA: 0}),
            (1, {ALPHA: 0, BETA: 0}),
            (100, {ALPHA: 0, BETA: 0}),
            # A record without a time is as old as the one before it.
            (101, {ALPHA: 4, BETA: 0}),
            (201, {ALPHA: 5, BETA: 0}),
        ]:
            start = await resolver.resolve(Origin(since=since), [ALPHA, BETA])
            assert start.next_offsets == next_offsets, since
            assert not start.gaps


async def test_who_wants_live_events_gets_no_old_ones_without_a_time(log: MemoryLog) -> None:
    fill(log, ALPHA, [-1, -1])
    async with hub_of(log) as hub:
        hub.filled.clear()
        for origin in (Origin(), Origin(live=500)):
            assert (await Resolver(hub).resolve(origin, [ALPHA])).next_offsets == {ALPHA: 2}


async def test_a_log_of_its_own_goes_on_by_a_time_that_is_none(log: MemoryLog) -> None:
    fill(log, ALPHA, [-1, 10, 20])
    start = await resolve(log, (ALPHA, RequestedPosition(70, -1)))
    assert gaps(start) == [(ALPHA, 70, 0, "unknown")]
    assert start.next_offsets[ALPHA] == 0


async def test_an_overlap_may_reach_before_1970(log: MemoryLog) -> None:
    fill(log, ALPHA, [-1, 10, 20])
    async with hub_of(log, by_timestamp=True) as hub:
        for requested in (RequestedPosition(None, 20, 1), RequestedPosition(None, SMALLEST, 1)):
            start = await Resolver(hub).resolve(Origin({ALPHA: requested}, overlaps={"alpha": LARGEST}), [ALPHA])
            assert start.next_offsets[ALPHA] == 0


async def test_by_time_records_that_have_none_are_counted(log: MemoryLog) -> None:
    fill(log, ALPHA, [-1, -1, -1])
    start = await resolve(log, (ALPHA, RequestedPosition(None, -1, 2)), by_timestamp=True)
    assert start.next_offsets[ALPHA] == 2


@pytest.mark.parametrize("time", [-1, LARGEST])
async def test_a_time_that_is_none_makes_no_start_read_more_than_the_ring_holds(log: MemoryLog, time: int) -> None:
    now = LoopClock().now()
    fill(log, ALPHA, [time, *range(now - 1_000, now), time])
    hub = Hub(log, {"alpha": False}, LoopClock(), HubOptions(ring_fill=0.0, ring_bytes=400 * 50))
    findings = await hub.discovery.look()
    assert findings.behind in ({}, {ALPHA: 1002})
    assert hub.ring.end(ALPHA) >= 1002 - 50


@pytest.mark.parametrize(
    ("requested", "consumed", "behind"),
    [
        (RequestedPosition(None, 0), ConsumedPosition(4, -1, 1), False),
        (RequestedPosition(None, 0), ConsumedPosition(4, 50, 1), False),
        (RequestedPosition(None, -1, 1), ConsumedPosition(4, -1, 1), True),
        (RequestedPosition(None, 51), ConsumedPosition(4, 50, 1), True),
        (RequestedPosition(None, 50), ConsumedPosition(4, 50, 1), False),
        (RequestedPosition(3, 50), ConsumedPosition(4, 50, 1), False),
        (None, ConsumedPosition(4, -1, 1), True),
    ],
)
def test_who_stood_at_nothing_asks_for_all_that_a_lost_topic_had(
    requested: RequestedPosition | None, consumed: ConsumedPosition, behind: bool
) -> None:
    assert _is_behind(requested, consumed) is behind

"""What a client asks for, held against the log: every rule of the contract's section on positions."""

from __future__ import annotations

import pytest

from gateway.errors import LogUnavailable, TopicAbsent
from gateway.eventlog.memory.log import MemoryLog
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.model.position import NOTHING_READ, ConsumedPosition, RequestedPosition
from gateway.model.record import TopicPartition
from gateway.subscription.origin import Origin
from gateway.subscription.resolve import Resolver
from tests.kit.clock import LoopClock
from tests.kit.waiting import becomes
from tests.subscription.resolving import ALPHA, BETA, Change, fill, gaps, hub_of, resolve


async def test_no_position_is_live(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 11, 11])
    start = await resolve(log)
    assert start.next_offsets == {ALPHA: 3, BETA: 0}
    assert (start.consumed[ALPHA].offset, start.consumed[ALPHA].timestamp) == (2, 11)
    assert start.consumed[BETA] == NOTHING_READ
    assert not start.gaps


async def test_an_offset_and_its_timestamp_go_on_at_the_next_record(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(1, 20)))
    assert start.next_offsets[ALPHA] == 2
    assert not start.gaps


async def test_an_offset_alone_is_trusted_inside_the_log(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(0, None)))
    assert (start.consumed[ALPHA].timestamp, start.next_offsets[ALPHA]) == (10, 1)
    assert not start.gaps


async def test_the_last_offset_is_live(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20])
    start = await resolve(log, (ALPHA, RequestedPosition(1, None)))
    assert start.next_offsets[ALPHA] == 2
    assert not start.gaps


async def test_an_offset_below_the_start_is_expired(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30, 40])
    start = await resolve(log, (ALPHA, RequestedPosition(0, 10)), change=lambda log: log.truncate("alpha", 0, 2))
    assert gaps(start) == [(ALPHA, 0, 2, "expired")]
    assert start.next_offsets[ALPHA] == 2


async def test_expired_tells_the_first_record_that_will_be_read(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30, 40, 50])
    log.truncate("alpha", 0, 2)
    log.compact("alpha", 0, [2, 3])
    start = await resolve(log, (ALPHA, RequestedPosition(0, 10)))
    assert gaps(start) == [(ALPHA, 0, 4, "expired")]


async def test_the_record_just_before_the_start_has_lost_nothing(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    log.truncate("alpha", 0, 2)
    start = await resolve(log, (ALPHA, RequestedPosition(1, 20)))
    assert start.next_offsets[ALPHA] == 2
    assert not start.gaps


async def test_what_expired_before_the_hub_had_read_it_is_told(log: MemoryLog) -> None:
    """The last record that the hub has read is not the last before the start of the log."""
    fill(log, ALPHA, [10, 20])
    async with hub_of(log) as hub:
        fill(log, ALPHA, [30, 40, 50])
        log.truncate("alpha", 0, 4)
        # It was away from the log, and has not read on yet.
        hub.available = False
        start = await Resolver(hub).resolve(Origin({ALPHA: RequestedPosition(1, 20)}), [ALPHA, BETA])
    assert gaps(start) == [(ALPHA, 1, 4, "expired")]


async def test_an_offset_alone_past_the_end_is_future_and_goes_on_live(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20])
    start = await resolve(log, (ALPHA, RequestedPosition(7, None)))
    assert gaps(start) == [(ALPHA, 7, 2, "future")]
    assert start.next_offsets[ALPHA] == 2


async def test_before_future_is_told_the_log_itself_is_asked(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20])
    start = await resolve(log, (ALPHA, RequestedPosition(2, 30)), change=lambda log: fill(log, ALPHA, [30]))
    assert start.next_offsets[ALPHA] == 3
    assert not start.gaps


async def test_both_past_the_end_go_on_by_the_timestamp(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(70, 15)))
    assert gaps(start) == [(ALPHA, 70, 1, "unknown")]
    assert start.next_offsets[ALPHA] == 1


async def test_another_record_at_the_offset_is_another_log(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(2, 15)))
    assert gaps(start) == [(ALPHA, 2, 1, "unknown")]
    assert start.next_offsets[ALPHA] == 1


async def test_compaction_is_no_gap(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30, 40])
    log.compact("alpha", 0, [1, 2])
    start = await resolve(log, (ALPHA, RequestedPosition(1, 20)))
    assert start.next_offsets[ALPHA] == 2
    assert not start.gaps


async def test_a_transaction_marker_at_the_end_is_no_gap(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20])
    log.mark("alpha", 0)
    start = await resolve(log, (ALPHA, RequestedPosition(1, 20)))
    assert not start.gaps


async def test_a_timestamp_alone_goes_on_at_or_after_it(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 20, 30])
    assert (await resolve(log, (ALPHA, RequestedPosition(None, 20)))).next_offsets[ALPHA] == 1
    assert (await resolve(log, (ALPHA, RequestedPosition(None, 21)))).next_offsets[ALPHA] == 3
    assert (await resolve(log, (ALPHA, RequestedPosition(None, 31)))).next_offsets[ALPHA] == 4


async def test_a_timestamp_before_the_oldest_record_goes_on_with_that_one(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    log.truncate("alpha", 0, 1)
    start = await resolve(log, (ALPHA, RequestedPosition(None, 5)))
    assert start.next_offsets[ALPHA] == 1
    assert not start.gaps


async def test_a_partition_not_named_begins_at_the_earliest_timestamp_named(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20])
    fill(log, BETA, [10, 20, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(1, 20)))
    assert start.next_offsets == {ALPHA: 2, BETA: 1}


async def test_a_partition_not_named_is_live_where_no_timestamp_is(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20])
    fill(log, BETA, [10, 20, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(0, None)))
    assert start.next_offsets == {ALPHA: 1, BETA: 3}


async def test_a_partition_not_named_beside_one_that_was_read_is_new(log: MemoryLog) -> None:
    """It may hold events older than what was read of the others."""
    log.add_partitions("alpha", 2)
    fill(log, ALPHA, [10, 20])
    new = TopicPartition("alpha", 1)
    fill(log, new, [5, 6])
    async with hub_of(log) as hub:
        start = await Resolver(hub).resolve(Origin({ALPHA: RequestedPosition(1, 20)}), [ALPHA, new])
    assert start.next_offsets == {ALPHA: 2, new: 0}


async def test_a_partition_not_named_beside_mere_times_begins_at_the_earliest(log: MemoryLog) -> None:
    log.add_partitions("alpha", 3)
    new = TopicPartition("alpha", 2)
    fill(log, new, [5, 10, 15])
    times = {ALPHA: RequestedPosition(None, 10), TopicPartition("alpha", 1): RequestedPosition(None, 12)}
    async with hub_of(log) as hub:
        start = await Resolver(hub).resolve(Origin(times), [*times, new])
    assert start.next_offsets[new] == 1


async def test_what_was_to_be_live_begins_when_it_was_asked_for_though_the_log_answers_later(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    fill(log, BETA, [10, 20, 30])
    async with hub_of(log) as hub:
        start = await Resolver(hub).resolve(Origin({BETA: RequestedPosition(0, None)}, live=20), [ALPHA, BETA])
        assert start.next_offsets == {ALPHA: 1, BETA: 1}
        assert (await Resolver(hub).resolve(Origin(live=25), [ALPHA])).next_offsets == {ALPHA: 2}


async def test_an_empty_partition_is_no_time_for_a_topic_that_is_not_named(log: MemoryLog) -> None:
    fill(log, BETA, [10, 20, 30])
    empty = TopicPartition("alpha", 1)
    log.add_partitions("alpha", 2)
    fill(log, ALPHA, [20])
    async with hub_of(log) as hub:
        origin = Origin({ALPHA: RequestedPosition(0, 20), empty: RequestedPosition(None, 0)})
        assert (await Resolver(hub).resolve(origin, [ALPHA, empty, BETA])).next_offsets[BETA] == 1
        origin = Origin({empty: RequestedPosition(None, 0)})
        assert (await Resolver(hub).resolve(origin, [empty, BETA])).next_offsets[BETA] == 3


def grow(log: MemoryLog) -> None:
    log.add_partitions("alpha", 2)


def add_topic(log: MemoryLog) -> None:
    log.create_topic("gamma")


@pytest.mark.parametrize(
    ("partition", "change"), [(TopicPartition("alpha", 1), grow), (TopicPartition("gamma", 0), add_topic)]
)
async def test_what_only_another_process_knows_of_is_waited_for(
    log: MemoryLog, partition: TopicPartition, change: Change
) -> None:
    fill(log, ALPHA, [10])
    async with hub_of(log, topics=("alpha", "beta", "gamma")) as hub:
        change(log)
        fill(log, partition, [11, 12])
        with pytest.raises(TopicAbsent):
            await Resolver(hub).resolve(
                Origin({ALPHA: RequestedPosition(0, 10), partition: RequestedPosition(0, 11)}), [ALPHA, BETA]
            )


async def test_since_is_a_request_and_tells_no_gap(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    log.truncate("alpha", 0, 2)
    async with hub_of(log) as hub:
        start = await Resolver(hub).resolve(Origin(since=5), [ALPHA, BETA])
    assert start.next_offsets == {ALPHA: 2, BETA: 0}
    assert not start.gaps


async def test_a_position_wins_over_since(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    async with hub_of(log) as hub:
        start = await Resolver(hub).resolve(
            Origin({ALPHA: RequestedPosition(1, 20), BETA: RequestedPosition(None, 0)}, since=5), [ALPHA, BETA]
        )
    assert start.next_offsets[ALPHA] == 2


async def test_a_topic_that_does_not_exist_is_read_from_its_first_record() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    for requested in (None, RequestedPosition(None, 0)):
        start = await resolve(log, *([(BETA, requested)] if requested else []))
        assert (start.consumed[BETA], start.next_offsets[BETA]) == (NOTHING_READ, 0)
        assert not start.gaps
        assert not start.waiting


@pytest.mark.parametrize(
    ("requested", "consumed"),
    [
        (RequestedPosition(7, 70), ConsumedPosition(7, 70)),
        (RequestedPosition(None, 70, 2), ConsumedPosition(-1, 70, 2)),
    ],
)
async def test_what_was_read_of_a_topic_that_is_not_there_is_kept(
    requested: RequestedPosition, consumed: ConsumedPosition
) -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    start = await resolve(log, (BETA, requested))
    assert start.consumed[BETA] == consumed
    assert start.waiting == {BETA: requested}
    assert not start.gaps


async def test_records_already_seen_of_a_millisecond_are_passed_over(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, *[20] * 1000, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(None, 20, 400)), by_timestamp=True)
    assert start.next_offsets[ALPHA] == 401
    assert start.consumed[ALPHA] == ConsumedPosition(400, 20, 400)


async def test_fewer_of_a_millisecond_than_were_seen_pass_over_no_other(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 20, 30])
    start = await resolve(log, (ALPHA, RequestedPosition(None, 20, 9)), by_timestamp=True)
    assert start.next_offsets[ALPHA] == 3


async def test_seen_is_counted_over_what_was_compacted(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 20, 20, 20, 30])
    log.compact("alpha", 0, [2, 3])
    start = await resolve(log, (ALPHA, RequestedPosition(None, 20, 2)), by_timestamp=True)
    assert start.next_offsets[ALPHA] == 5


async def test_live_by_timestamp_holds_the_newest_record_and_its_count(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 20])
    start = await resolve(log, by_timestamp=True)
    assert start.consumed[ALPHA] == ConsumedPosition(2, 20, 2)
    assert start.consumed[BETA] == NOTHING_READ


async def test_live_by_timestamp_is_the_same_from_the_log(log: MemoryLog) -> None:
    """Where the ring cannot say, the clock, which may be ahead of the records, is not asked either."""
    fill(log, ALPHA, [10, 20, 20])
    async with hub_of(log, by_timestamp=True) as hub:
        hub.filled.clear()
        start = await Resolver(hub).resolve(Origin(), [ALPHA, BETA])
    assert start.consumed[ALPHA] == ConsumedPosition(2, 20, 2)
    assert start.next_offsets == {ALPHA: 3, BETA: 0}
    assert start.consumed[BETA] == NOTHING_READ


async def test_at_the_start_of_the_log_records_seen_may_have_expired(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 20, 20])
    log.truncate("alpha", 0, 2)
    start = await resolve(log, (ALPHA, RequestedPosition(None, 20, 2)), by_timestamp=True)
    assert start.next_offsets[ALPHA] == 2


async def test_an_overlap_is_none_for_since_and_does_not_set_the_position_back(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    async with hub_of(log, by_timestamp=True) as hub:
        start = await Resolver(hub).resolve(Origin(since=20, overlaps={"alpha": 10}), [ALPHA])
        assert start.next_offsets[ALPHA] == 1
        start = await Resolver(hub).resolve(
            Origin({ALPHA: RequestedPosition(None, 30)}, overlaps={"alpha": 10}), [ALPHA]
        )
        assert (start.next_offsets[ALPHA], start.consumed[ALPHA].timestamp) == (1, 30)


async def test_an_overlap_is_read_again(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 20, 30])
    async with hub_of(log, by_timestamp=True) as hub:
        origin = Origin({ALPHA: RequestedPosition(None, 20, 2)}, overlaps={"alpha": 10})
        start = await Resolver(hub).resolve(origin, [ALPHA])
    assert start.next_offsets[ALPHA] == 0


async def test_nothing_is_resolved_against_a_topic_that_was_created_again(log: MemoryLog) -> None:
    """The ring still holds the records of the old one, and they would be taken for those of the new."""
    fill(log, ALPHA, [10, 20, 30])

    def recreate(log: MemoryLog) -> None:
        log.delete_topic("alpha")
        log.create_topic("alpha")
        fill(log, ALPHA, [40])

    with pytest.raises(TopicAbsent):
        await resolve(log, (ALPHA, RequestedPosition(0, 10)), change=recreate)


async def test_what_is_in_memory_needs_no_log(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20])
    async with hub_of(log) as hub:
        # The hub has not noticed yet.
        log._available = False
        start = await Resolver(hub).resolve(Origin({ALPHA: RequestedPosition(1, 20)}), [ALPHA])
        assert start.next_offsets == {ALPHA: 2}
        with pytest.raises(LogUnavailable):
            await Resolver(hub).resolve(Origin({ALPHA: RequestedPosition(None, 20)}), [ALPHA])


async def test_nothing_is_decided_before_the_log_has_answered(log: MemoryLog) -> None:
    hub = Hub(log, {"alpha": False}, LoopClock(), HubOptions())
    with pytest.raises(LogUnavailable):
        await Resolver(hub).resolve(Origin(), [ALPHA])


async def test_the_ring_tells_what_it_knows_without_the_log(log: MemoryLog) -> None:
    fill(log, ALPHA, [10, 20, 30])
    fill(log, BETA, [5])
    async with hub_of(log) as hub:
        await becomes(lambda: hub.available)
        known = Origin({ALPHA: RequestedPosition(2, 30), BETA: RequestedPosition(0, 5)})
        start = Resolver(hub).remember(known, [ALPHA, BETA])
        assert start is not None
        assert start.next_offsets == {ALPHA: 3, BETA: 1}
        for asked in (
            {ALPHA: RequestedPosition(2, 31), BETA: RequestedPosition(0, 5)},
            {ALPHA: RequestedPosition(2, None), BETA: RequestedPosition(0, 5)},
            {**known.requested, TopicPartition("alpha", 7): RequestedPosition(0, 1)},
        ):
            assert Resolver(hub).remember(Origin(asked), [ALPHA, BETA]) is None

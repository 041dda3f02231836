"""How many events each topic had in each second, whatever else went on."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.eventlog.port import TopicState
from gateway.hub.activity import AHEAD, EXAMPLES_BYTES, LONGEST_EXAMPLE, SPAN, Activity
from gateway.hub.losses import Remains
from gateway.hub.segment import Item
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition

NOW = 1_800_000_000
"""Seconds."""
KNOWN = {name: TopicState(name, 2) for name in ("busy", "quiet")}


def item(
    topic: str, offset: int, second: float, data: bytes | None = b"{}", canary: bool = False, part: int = 0
) -> Item:
    """A record of a second since the epoch."""
    return Item(TopicPartition(topic, part), ConsumedPosition(offset, int(second * 1000)), None, data, canary)


@pytest.mark.long
def test_a_quiet_topic_beside_a_busy_one_is_counted_whole_and_has_an_example() -> None:
    activity = Activity()
    for second in range(SPAN):
        at = NOW - SPAN + second
        items = [item("busy", 2000 * second + number, at + number / 2000) for number in range(2000)]
        if second % 30 == 0:
            items.insert(1000, item("quiet", second // 30, at, b'{"quiet":%d}' % second))
        activity.count(items, KNOWN, at * 1000)
    assert activity.counts(["busy"], NOW) == [2000] * SPAN
    assert sum(activity.counts(["quiet"], NOW)) == 2
    assert activity.counts(["busy", "quiet", "none"], NOW, 30) == [2001, *[2000] * 29]
    newest = activity.newest(["quiet"])
    assert newest is not None
    assert newest.data == b'{"quiet":30}'
    assert activity.newest(["none"]) is None
    assert activity.counts(["none"], NOW) == [0] * SPAN


@given(st.lists(st.integers(-200, 200), max_size=50), st.integers(0, 100))
def test_events_of_any_time_change_their_own_second_alone(times: list[int], passed: int) -> None:
    activity = Activity()
    activity.count([item("busy", number, NOW + time) for number, time in enumerate(times)], KNOWN, NOW * 1000)
    later = [item("busy", len(times), NOW + passed)]
    activity.count(later, KNOWN, (NOW + passed) * 1000)
    taken = Counter(time for time in times if -SPAN <= time <= AHEAD)
    taken[passed] += 1
    end = passed + 1
    assert activity.counts(["busy"], NOW + end) == [taken[second] for second in range(end - SPAN, end)]
    assert activity.begun("busy") == NOW + min([*times, passed])


@given(st.sampled_from([-(2**63), -1, 2**63 - 1]))
def test_a_time_of_no_calendar_counts_for_nothing(time: int) -> None:
    activity = Activity()
    odd = Item(TopicPartition("busy", 0), ConsumedPosition(1, time), None, b"{}", False)
    activity.count([item("busy", 0, NOW - 1), odd, item("busy", 2, NOW - 1)], KNOWN, NOW * 1000)
    assert activity.counts(["busy"], NOW, 2) == [0, 2]


def test_what_is_no_event_or_a_canary_counts_for_nothing() -> None:
    activity = Activity()
    items = [item("busy", 0, NOW, None), item("busy", 1, NOW, canary=True)]
    activity.count(items, KNOWN, NOW * 1000)
    assert sum(activity.counts(["busy"], NOW + 1)) == 0
    assert activity.newest(["busy"]) is None


def test_what_is_read_again_is_counted_once_and_what_is_written_over_anew() -> None:
    activity = Activity()
    partition = TopicPartition("busy", 0)
    items = [item("busy", number, NOW) for number in range(4)]
    activity.count(items, KNOWN, NOW * 1000)
    activity.count(items, KNOWN, NOW * 1000)
    activity.count([item("busy", 0, NOW, part=1)], KNOWN, NOW * 1000)
    assert activity.counts(["busy"], NOW + 1, 1) == [5]
    activity.forget({partition: Remains(0, 2)})
    activity.count(items[2:], KNOWN, NOW * 1000)
    assert activity.counts(["busy"], NOW + 1, 1) == [7]
    # Another topic of the same name.
    activity.count(items, {"busy": TopicState("another", 2)}, NOW * 1000)
    assert activity.counts(["busy"], NOW + 1, 1) == [4]


def test_what_the_log_has_lost_is_no_example() -> None:
    partition = TopicPartition("busy", 0)
    for lost, left in ((Remains(5), True), (Remains(6), False), (Remains(0, 6), True), (Remains(0, 5), False)):
        activity = Activity()
        activity.count([item("busy", 5, NOW)], KNOWN, NOW * 1000)
        activity.forget({TopicPartition("busy", 1): Remains(9), TopicPartition("other", 0): Remains(9)})
        activity.forget({partition: lost})
        assert (activity.newest(["busy"]) is not None) == left


def test_examples_are_kept_within_bounds() -> None:
    activity = Activity()
    large = b"x" * LONGEST_EXAMPLE
    names = [f"topic{number}" for number in range(EXAMPLES_BYTES // LONGEST_EXAMPLE + 5)]
    activity.count([item(name, 0, NOW, large) for name in names], {}, NOW * 1000)
    kept = [newest.data for name in names if (newest := activity.newest([name])) is not None]
    assert len(kept) == len(names)
    assert sum(len(data or b"") for data in kept) == EXAMPLES_BYTES
    activity.count([item(name, 1, NOW, b"{}") for name in names], {}, NOW * 1000)
    activity.count([item(names[-1], 2, NOW, large)], {}, NOW * 1000)
    newest = activity.newest(names)
    assert newest is not None
    assert newest.data == large
    activity.count([item(names[-1], 3, NOW, large + b"x")], {}, NOW * 1000)
    newest = activity.newest(names)
    assert newest is not None
    assert (newest.offset, newest.data) == (3, None)

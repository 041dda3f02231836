"""A cursor's ids, record by record and run by run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.feed.cursor import Cursor
from gateway.model.position import NOTHING_READ, ConsumedPosition, PositionEncoder, parse_position
from gateway.model.record import Record, TopicPartition

PLACES = [TopicPartition(topic, number) for topic in ("alpha", '100%d ä"') for number in range(2)]
STEPS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), max_size=6)


@given(
    st.sets(st.sampled_from(PLACES), min_size=1),
    st.sets(st.sampled_from(PLACES)),
    st.sampled_from([NOTHING_READ, ConsumedPosition(4, 1000, 0), ConsumedPosition(4, 1000, 2)]),
    st.lists(st.tuples(st.sampled_from(PLACES), STEPS), max_size=5),
)
def test_a_run_gives_the_ids_of_its_records(
    places: set[TopicPartition],
    by_timestamp: set[TopicPartition],
    begin: ConsumedPosition,
    runs: list[tuple[TopicPartition, list[tuple[int, int]]]],
) -> None:
    encoder = PositionEncoder({place: place in by_timestamp for place in places})
    one, other = (Cursor(encoder, dict.fromkeys(places, begin)) for _ in range(2))
    last = dict.fromkeys(places, (begin.offset, begin.timestamp))
    for place, steps in runs:
        if place not in places:
            continue
        records = []
        for further, later in steps:
            last[place] = offset, timestamp = last[place][0] + further, last[place][1] + later
            records.append(Record(*place, offset, timestamp, None, b"{}"))
        wanted = []
        for record in records:
            one.advance(place, one.consumed[place].after(record.offset, record.timestamp))
            wanted.append(one.identifier())
        assert other.follow(place, records) == wanted
        assert other.consumed == one.consumed
        assert other.identifier() == one.identifier()


def test_by_time_a_record_without_one_is_as_old_as_the_one_before_it() -> None:
    """An id that said -1 would lead back to the first record of the log."""
    place = PLACES[0]
    records = [Record(*place, offset, time, None, b"{}") for offset, time in enumerate([100, -1, -1, 200])]
    for by_timestamp, times in ((True, [100, 100, 100, 200]), (False, [100, -1, -1, 200])):
        encoder = PositionEncoder({place: by_timestamp})
        one, other = (Cursor(encoder, {place: NOTHING_READ}) for _ in range(2))
        assert one.identifier()
        step_by_step = []
        for record in records:
            one.advance(place, one.consumed[place].after(record.offset, record.timestamp))
            step_by_step.append(one.identifier())
        assert other.follow(place, records) == step_by_step
        assert [parse_position(text)[place].timestamp for text in step_by_step] == times
        assert one.consumed == other.consumed == {place: ConsumedPosition(3, 200, 1)}

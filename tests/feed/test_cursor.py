"""A cursor's ids, record by record and run by run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.feed.cursor import Cursor
from gateway.feed.timeline import Timeline
from gateway.hub.ring import Ring
from gateway.model.position import NOTHING_READ, ConsumedPosition, PositionEncoder, RequestedPosition, parse_position
from gateway.model.record import Record, TopicPartition

PARTITIONS = [TopicPartition(topic, number) for topic in ("alpha", '100%d ä"') for number in range(2)]
STEPS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), max_size=6)


@given(
    st.sets(st.sampled_from(PARTITIONS), min_size=1),
    st.sets(st.sampled_from(PARTITIONS)),
    st.sampled_from([NOTHING_READ, ConsumedPosition(4, 1000, 0), ConsumedPosition(4, 1000, 2)]),
    st.lists(st.tuples(st.sampled_from(PARTITIONS), STEPS), max_size=5),
)
def test_a_run_gives_the_ids_of_its_records(
    partitions: set[TopicPartition],
    by_timestamp: set[TopicPartition],
    begin: ConsumedPosition,
    runs: list[tuple[TopicPartition, list[tuple[int, int]]]],
) -> None:
    encoder = PositionEncoder({partition: partition in by_timestamp for partition in partitions})
    one, other, third = (Cursor(encoder, dict.fromkeys(partitions, begin)) for _ in range(3))
    last = dict.fromkeys(partitions, (begin.offset, begin.timestamp))
    for partition, steps in runs:
        if partition not in partitions:
            continue
        records = []
        for further, later in steps:
            last[partition] = offset, timestamp = last[partition][0] + further, last[partition][1] + later
            records.append(Record(*partition, offset, timestamp, None, b"{}"))
        wanted, passed = [], []
        for record in records:
            passed.append(one.consumed[partition].after(record.offset, record.timestamp))
            one.advance(partition, passed[-1])
            wanted.append(one.identifier())
        assert other.follow(partition, records) == wanted
        assert not passed or third.pass_by(partition, passed) == wanted
        assert third.consumed == other.consumed == one.consumed
        assert third.identifier() == other.identifier() == one.identifier()


def test_by_time_a_record_without_one_is_as_old_as_the_one_before_it() -> None:
    """An id that said -1 would lead back to the first record of the log."""
    partition = PARTITIONS[0]
    records = [Record(*partition, offset, time, None, b"{}") for offset, time in enumerate([100, -1, -1, 200])]
    for by_timestamp, times in ((True, [100, 100, 100, 200]), (False, [100, -1, -1, 200])):
        encoder = PositionEncoder({partition: by_timestamp})
        one, other, third = (Cursor(encoder, {partition: NOTHING_READ}) for _ in range(3))
        assert one.identifier()
        step_by_step, passed = [], []
        for record in records:
            passed.append(one.consumed[partition].after(record.offset, record.timestamp))
            one.advance(partition, passed[-1])
            step_by_step.append(one.identifier())
        assert third.pass_by(partition, passed) == step_by_step
        assert other.follow(partition, records) == step_by_step
        assert [parse_position(text)[partition].timestamp for text in step_by_step] == times
        assert one.consumed == other.consumed == third.consumed == {partition: ConsumedPosition(3, 200, 1)}


def test_by_time_whoever_begins_at_a_record_without_one_knows_that_before_it() -> None:
    """A run that begins there, another cursor, and the ring's end after a segment of another topic."""
    partition, other = PARTITIONS[0], PARTITIONS[2]
    encoder = PositionEncoder({partition: True, other: True})
    ring = Ring(1_000_000)
    for each in (partition, other):
        ring.add(each, NOTHING_READ, 0)
    timeline = Timeline(encoder, ring)
    records = [(partition, 0, 100), (partition, 1, -1), (other, 0, 500), (partition, 2, -1), (partition, 3, -1)]
    for each, offset, time in records:
        ring.append(each, offset, time, None, b"{}", False)
        segment = ring.close()
        assert segment is not None
        again = Timeline(encoder, ring)
        for told in (timeline.identifiers(segment)[1][-1], again.identifiers(segment)[1][-1], again.end()):
            assert parse_position(told)[partition] == RequestedPosition(None, 100, 1)
    cursor = Cursor(encoder, ring.consumed_at(ring.open.number, [partition, other]))
    timeless = [Record(*partition, offset, -1, None, b"{}") for offset in (4, 5)]
    for told in (*cursor.follow(partition, timeless[:1]), *cursor.follow(partition, timeless[1:])):
        assert parse_position(told)[partition] == RequestedPosition(None, 100, 1)


def test_where_a_partition_is_waited_for_its_id_stays_what_was_requested() -> None:
    partition = PARTITIONS[0]
    waiting = {partition: RequestedPosition(7, 1000, 0)}
    cursor = Cursor(PositionEncoder({partition: False}, waiting), {partition: NOTHING_READ})
    identifiers = cursor.pass_by(partition, [ConsumedPosition(offset, 2000, 1) for offset in range(3)])
    assert [parse_position(text) for text in identifiers] == [waiting] * 3

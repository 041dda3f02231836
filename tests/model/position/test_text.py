"""Positions as they stand in an `id:` and come back as a Last-Event-ID."""

from __future__ import annotations

from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidPosition
from gateway.model.position import (
    LARGEST_INTEGER,
    NOTHING_READ,
    SMALLEST_TIME,
    ConsumedPosition,
    Ids,
    PositionEncoder,
    RequestedPosition,
    parse_position,
)
from gateway.model.record import TopicPartition

partitions = st.builds(TopicPartition, st.text(min_size=1, max_size=20), st.integers(0, LARGEST_INTEGER))
# orjson writes no lone surrogates; a topic never holds one.
partitions = partitions.filter(lambda partition: partition.topic.isprintable())
times = st.integers(SMALLEST_TIME, LARGEST_INTEGER)
consumed_positions = st.one_of(
    st.just(NOTHING_READ),
    st.builds(ConsumedPosition, st.integers(-1, LARGEST_INTEGER), times, st.integers(0, 10**6)),
)
JSON = Ids("json")


@given(st.dictionaries(partitions, st.tuples(consumed_positions, st.booleans()), min_size=1))
def test_what_is_written_is_read_back(drawn: dict[TopicPartition, tuple[ConsumedPosition, bool]]) -> None:
    encoder = PositionEncoder({partition: by_timestamp for partition, (_, by_timestamp) in drawn.items()}, ids=JSON)
    requested = parse_position(encoder.identifier({partition: consumed for partition, (consumed, _) in drawn.items()}))
    for partition, (consumed, by_timestamp) in drawn.items():
        if by_timestamp:
            assert requested[partition] == RequestedPosition(None, consumed.timestamp, consumed.seen)
        elif consumed.offset < 0:
            assert requested[partition] == RequestedPosition(None, consumed.timestamp)
        else:
            assert requested[partition] == RequestedPosition(consumed.offset, consumed.timestamp)


@given(st.dictionaries(partitions, consumed_positions, min_size=1))
def test_an_id_is_one_line_of_json_in_a_fixed_order(drawn: dict[TopicPartition, ConsumedPosition]) -> None:
    encoder = PositionEncoder(dict.fromkeys(drawn, False), ids=JSON)
    text = encoder.identifier(drawn)
    assert b"\n" not in text
    assert b"\r" not in text
    assert len(text) <= encoder.longest
    entries = orjson.loads(text)
    assert [(entry["topic"], entry["partition"]) for entry in entries] == sorted(map(tuple, drawn))


offsets = st.one_of(st.none(), st.integers(0, LARGEST_INTEGER))
given_times = st.one_of(st.none(), times)


@given(partitions, offsets, given_times, st.integers(0, 1000))
def test_a_requested_position_is_written_as_it_was_read(
    partition: TopicPartition, offset: int | None, timestamp: int | None, seen: int
) -> None:
    if offset is None and timestamp is None:
        timestamp = 0
    requested = RequestedPosition(offset, timestamp, 0 if offset is not None else seen)
    encoder = PositionEncoder({partition: False}, ids=JSON)
    assert parse_position(encoder.identifier({partition: requested})) == {partition: requested}


def test_an_empty_partition_stands_at_minus_one() -> None:
    partition = TopicPartition("t", 0)
    assert orjson.loads(PositionEncoder({partition: False}).identifier({partition: NOTHING_READ})) == [
        {"topic": "t", "partition": 0, "offset": -1, "timestamp": 0}
    ]


@pytest.mark.parametrize("time", [-1, -2, SMALLEST_TIME, LARGEST_INTEGER, 0])
def test_any_time_of_64_bits_is_taken_beside_an_offset(time: int) -> None:
    assert parse_position(f'[{{"topic":"t","partition":0,"offset":3,"timestamp":{time}}}]') == {
        TopicPartition("t", 0): RequestedPosition(3, time)
    }


def test_an_entry_of_wikimedias_own_is_read() -> None:
    text = '[{"topic":"codfw.x","partition":0,"offset":-1},{"topic":"eqiad.x","partition":0,"timestamp":1690617099000}]'
    assert parse_position(text) == {TopicPartition("eqiad.x", 0): RequestedPosition(None, 1690617099000)}


def test_minus_one_beside_a_timestamp_means_the_timestamp() -> None:
    assert parse_position('[{"topic":"t","partition":0,"offset":-1,"timestamp":7}]') == {
        TopicPartition("t", 0): RequestedPosition(None, 7)
    }


def test_unknown_keys_are_ignored() -> None:
    assert parse_position('[{"topic":"t","partition":0,"offset":3,"colour":"blue"}]') == {
        TopicPartition("t", 0): RequestedPosition(3, None)
    }


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "neither JSON"),
        ("[", "neither JSON"),
        ("nonsense", "neither JSON"),
        ("[NaN]", "neither JSON"),
        ("{}", "array"),
        ("7", "array"),
        ("null", "array"),
        ("[]", "at least one"),
        ("[7]", "entry 0 is not an object"),
        ('[{"partition":0,"offset":1}]', "`topic`"),
        ('[{"topic":"","partition":0,"offset":1}]', "`topic`"),
        ('[{"topic":7,"partition":0,"offset":1}]', "`topic`"),
        ('[{"topic":"t","offset":1}]', "`partition`"),
        ('[{"topic":"t","partition":-1,"offset":1}]', "`partition`"),
        ('[{"topic":"t","partition":0.5,"offset":1}]', "`partition`"),
        ('[{"topic":"t","partition":"0","offset":1}]', "`partition`"),
        ('[{"topic":"t","partition":true,"offset":1}]', "`partition`"),
        ('[{"topic":"t","partition":0}]', "`offset` or a `timestamp`"),
        ('[{"topic":"t","partition":0,"offset":null}]', "`offset` or a `timestamp`"),
        ('[{"topic":"t","partition":0,"offset":-2}]', "`offset`"),
        ('[{"topic":"t","partition":0,"offset":1.0}]', "`offset`"),
        ('[{"topic":"t","partition":0,"offset":9223372036854775808}]', "`offset`"),
        ('[{"topic":"t","partition":0,"timestamp":-9223372036854775809}]', "`timestamp`"),
        ('[{"topic":"t","partition":0,"timestamp":9223372036854775808}]', "`timestamp`"),
        ('[{"topic":"t","partition":0,"timestamp":"now"}]', "`timestamp`"),
        ('[{"topic":"t","partition":0,"timestamp":1,"seen":-1}]', "`seen`"),
        ('[{"topic":"t","partition":0,"offset":1},{"topic":"t","partition":0,"offset":2}]', "second time"),
        ('[{"topic":"t","partition":0,"offset":-1},{"topic":"t","partition":0,"offset":2}]', "second time"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, detail: str) -> None:
    with pytest.raises(InvalidPosition, match=detail):
        parse_position(text)


@given(st.binary())
def test_no_bytes_raise_anything_else(text: bytes) -> None:
    with suppress(InvalidPosition):
        parse_position(text)


def test_a_mark_counts_the_records_of_its_millisecond() -> None:
    consumed = NOTHING_READ.after(0, 5)
    assert consumed == ConsumedPosition(0, 5, 1)
    assert consumed.after(1, 5) == ConsumedPosition(1, 5, 2)
    assert consumed.after(1, 5).after(2, 6) == ConsumedPosition(2, 6, 1)
    # A position that has seen nothing only says where to begin: the first record of that time is the first.
    assert ConsumedPosition(3, 5).after(4, 5) == ConsumedPosition(4, 5, 1)

"""How far a derived stream has read, as it is stored."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.derivation import Dedup, Derivation, Expression, Window
from gateway.derive.clock import BEGINNING
from gateway.derive.position import (
    PartitionPosition,
    Position,
    PositionRefused,
    before_lanes,
    decode,
    digest,
    divided,
    encode,
    is_divided,
)
from gateway.model.record import TopicPartition

DERIVATION = Derivation(
    ("wiki.change",), Expression("event.x", 3), (("n", Expression("count()")),), window=Window("every", 1, 1)
)


@st.composite
def places(draw: st.DrawFn) -> PartitionPosition:
    following = draw(st.integers(0, 2**63 - 1))
    newest = draw(st.one_of(st.just(BEGINNING), st.integers(-(2**62), 2**62)))
    return PartitionPosition(following, draw(st.integers(0, following)), newest)


@given(
    st.lists(places(), min_size=1, max_size=5),
    st.lists(places(), max_size=3),
    st.text(max_size=5),
    st.one_of(st.just(BEGINNING), st.integers(-(2**62), 2**62)),
)
def test_what_is_stored_is_read(
    first: list[PartitionPosition], second: list[PartitionPosition], identity: str, low: int
) -> None:
    partitions = {TopicPartition("a", number): place for number, place in enumerate(first)}
    partitions |= {TopicPartition("b", number): place for number, place in enumerate(second)}
    position = Position(partitions, {"a": identity} if identity else {}, low)
    assert decode(encode(position, DERIVATION), DERIVATION) == position


def test_a_partition_takes_no_more_than_fifty_bytes() -> None:
    place = PartitionPosition(4_820_784_717, 4_820_000_000, 1_690_617_099_000)
    for count in (2, 12, 100):
        partitions = {TopicPartition("eqiad.mediawiki.recentchange", number): place for number in range(count)}
        stored = encode(Position(partitions, {}, 1_690_617_100_000), DERIVATION)
        assert len(stored) / count <= 50 + 30 * (count == 2)


def test_the_position_of_another_declaration_is_refused() -> None:
    stored = encode(Position({TopicPartition("a", 0): PartitionPosition(1, 1, 5)}, {}, 3), DERIVATION)
    with pytest.raises(PositionRefused, match="version 1 of the declaration, which is 2"):
        decode(stored, replace(DERIVATION, version=2))
    with pytest.raises(PositionRefused, match="has changed since"):
        decode(stored, replace(DERIVATION, late=1))
    with pytest.raises(PositionRefused, match="of format 4"):
        decode(stored.replace(b"[3,", b"[4,", 1), DERIVATION)
    with pytest.raises(PositionRefused, match="derived in lanes"):
        decode(divided(stored, DERIVATION), DERIVATION)


def test_lanes_begin_where_the_whole_stream_was() -> None:
    places = {TopicPartition("a", number): PartitionPosition(number + 5, number, 7) for number in range(10)}
    position = Position(places, {"a": "i"}, 6)
    stored = divided(encode(position, DERIVATION), DERIVATION)
    assert is_divided(stored)
    assert before_lanes(stored, DERIVATION) == position
    assert before_lanes(divided(None, DERIVATION), DERIVATION) == Position({}, {}, None)
    assert not is_divided(None)
    assert not is_divided(encode(position, DERIVATION))
    with pytest.raises(PositionRefused, match="has changed since"):
        before_lanes(stored, replace(DERIVATION, late=1))
    with pytest.raises(PositionRefused, match="has changed since"):
        divided(encode(position, DERIVATION), replace(DERIVATION, late=1))


def test_a_lane_has_every_so_many_partitions() -> None:
    own = {TopicPartition("a", number): PartitionPosition(number, number, 7) for number in (1, 9, 17)}
    position = Position(own, {"a": "i"}, 7)
    assert decode(encode(position, DERIVATION, 1, 8), DERIVATION, 1, 8) == position
    with pytest.raises(ValueError, match="lacks a partition below 9"):
        encode(Position({TopicPartition("a", 9): own[TopicPartition("a", 9)]}, {}, 7), DERIVATION, 1, 8)


def test_a_position_of_an_older_version_is_read_and_does_not_say_what_is_told() -> None:
    made = digest(DERIVATION)
    older = f'[1,1,"{made}",{{"a":["i",[5,2,7]]}}]'.encode()
    position = Position({TopicPartition("a", 0): PartitionPosition(5, 3, 7)}, {"a": "i"}, None)
    assert decode(older, DERIVATION) == position
    assert before_lanes(divided(older, DERIVATION), DERIVATION) == position


def test_an_older_version_knows_that_it_cannot_read_a_position() -> None:
    """It looks at the first of four parts, and says that this format is not its own."""
    stored = encode(Position({TopicPartition("a", 0): PartitionPosition(5, 3, 7)}, {"a": "i"}, 4), DERIVATION)
    assert orjson.loads(stored) == [3, 1, digest(DERIVATION), [4, {"a": ["i", [5, 2, 7]]}]]


@pytest.mark.parametrize(
    "stored",
    [b"", b"{}", b"[]", b"[1,1]", b"null", b'[1,1,"x"]', b'[1,1,"D",{"a":[["x"]]}]', b'[1,1,"D",{"a":["",[1,2,3]]}]',
     b'[1,1,"D",{"a":["",[1,0,"x"]]}]', b'[1,1,"D",{"a":["",[1,0,0,0]]}]', b'[1,1,"D",{"a":["",[true]]}]',
     b'[1,1,"D",[]]', b'[3,1,"D",["x",{}]]', b'[3,1,"D",[1.5,{}]]', b'[3,1,"D",[true,{}]]', b'[3,1,"D",[1]]'],
)  # fmt: skip
def test_what_is_no_position_is_refused(stored: bytes) -> None:
    with pytest.raises(PositionRefused):
        decode(stored.replace(b"D", digest(DERIVATION).encode()), DERIVATION)


def test_a_declaration_is_another_where_its_rows_are() -> None:
    same = [
        replace(DERIVATION, since=5, allow_unknown=True, line=7),
        replace(DERIVATION, where=Expression(" event.x\n", 9)),
    ]
    others = [
        replace(DERIVATION, sources=("b",)),
        replace(DERIVATION, where=None),
        replace(DERIVATION, where=Expression("event.y")),
        replace(DERIVATION, where=Expression("event.x == 'a b'")),
        replace(DERIVATION, where=Expression("event.x == 'a  b'")),
        replace(DERIVATION, by=(("k", Expression("event.k")),)),
        replace(DERIVATION, window=Window("gap", 1)),
        replace(DERIVATION, dedup=Dedup((Expression("event.x"),), 1)),
    ]
    assert {digest(one) for one in same} == {digest(DERIVATION)}
    assert len({digest(one) for one in [DERIVATION, *others]}) == len(others) + 1

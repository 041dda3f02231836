"""Positions: below which offset all is settled, and what is settled above it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.window import ForeignPosition, Place, Window, decode_position, encode_position


@given(st.lists(st.booleans(), max_size=40), st.randoms(use_true_random=False), st.integers(0, 40))
def test_what_is_not_settled_is_read_again_and_nothing_else(exists: list[bool], chance: object, cut: int) -> None:
    """Records at some offsets are settled in any order; at any moment another process goes on from the position."""
    offsets = [offset for offset, there in enumerate(exists) if there]
    order = list(offsets)
    chance.shuffle(order)  # type: ignore[attr-defined]
    window, settled = Window(0), set(order[: cut % (len(order) + 1)])
    for offset in offsets:
        assert window.begin(offset)
    window.move(len(exists))
    for offset in settled:
        window.settle(offset)
    (place,) = decode_position(encode_position([Place("t", "i", 0, window.low(), window.settled())]))
    again = Window(place.low, place.settled)
    assert [offset for offset in offsets if offset >= place.low and again.begin(offset)] == [
        offset for offset in offsets if offset not in settled
    ]
    again.move(len(exists))
    for offset in offsets:
        again.settle(offset)
    assert (again.low(), again.settled()) == (len(exists), [])


@pytest.mark.parametrize("position", [b"", b"1", b"{}", b'{"version":2,"places":[]}', b"\xff", b'{"version":1}'])
def test_a_position_of_another_version_is_not_misread(position: bytes) -> None:
    with pytest.raises(ForeignPosition):
        decode_position(position)


def test_there_may_be_none() -> None:
    assert decode_position(None) == []

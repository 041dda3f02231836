"""Who does which piece of work: every piece once, evenly, and handed over only once it is put down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.eventlog.assignment import (
    NOTHING,
    Claimant,
    Claims,
    assign,
    decode,
    decode_given,
    encode,
    encode_given,
)

NAMES, PIECES = "abcd", "123456789"
SOME = st.frozensets(st.sampled_from(PIECES))
CLAIMANTS = st.dictionaries(st.sampled_from(NAMES), st.builds(Claimant, SOME, SOME, st.integers(0, 5)), min_size=1)


def claimant(wants: str, holds: str = "", generation: int = 0) -> Claimant:
    return Claimant(frozenset(wants), frozenset(holds), generation)


def shown(given: dict[str, frozenset[str]]) -> dict[str, str]:
    return {name: "".join(sorted(pieces)) for name, pieces in given.items()}


def test_pieces_are_divided_evenly() -> None:
    assert shown(assign({"a": claimant("12345"), "b": claimant("12345")})) == {"a": "135", "b": "24"}


def test_one_that_comes_is_given_what_the_other_has_put_down() -> None:
    holding, new = claimant("1234", "1234", 1), claimant("1234")
    first = assign({"a": holding, "b": new})
    assert shown(first) == {"a": "34", "b": ""}
    assert shown(assign({"a": claimant("1234", "34", 2), "b": new})) == {"a": "34", "b": "12"}


def test_what_one_that_is_gone_held_is_given_at_once() -> None:
    assert shown(assign({"b": claimant("1234", "12", 2)})) == {"b": "1234"}


def test_of_two_that_hold_a_piece_the_later_keeps_it() -> None:
    assert shown(assign({"a": claimant("1", "1", 3), "b": claimant("1", "1", 7)})) == {"a": "", "b": "1"}


def test_what_is_not_wanted_any_more_waits_until_it_is_put_down() -> None:
    assert shown(assign({"a": claimant("", "1", 1), "b": claimant("1")})) == {"a": "", "b": ""}


@given(CLAIMANTS)
def test_no_piece_is_given_to_two_or_taken_from_one_that_holds_it(claimants: dict[str, Claimant]) -> None:
    found = assign(claimants)
    assert found.keys() == claimants.keys()
    for piece in PIECES:
        owners = [name for name, pieces in found.items() if piece in pieces]
        assert len(owners) <= 1
        holders = [name for name, one in claimants.items() if piece in one.holds]
        assert all(piece in claimants[name].wants for name in owners)
        assert not holders or set(owners) <= set(holders)


@given(CLAIMANTS)
def test_rounds_end_with_every_wanted_piece_given(claimants: dict[str, Claimant]) -> None:
    """Whoever is told to puts down what it is not given; nobody wants anything else meanwhile."""
    for generation in range(10, 14):
        found = assign(claimants)
        claimants = {name: Claimant(one.wants, found[name], generation) for name, one in claimants.items()}
    assert assign(claimants) == found
    wanted = frozenset().union(*(one.wants for one in claimants.values()))
    assert frozenset().union(*found.values()) == wanted
    if len({one.wants for one in claimants.values()}) == 1:
        loads = [len(pieces) for pieces in found.values()]
        assert max(loads) - min(loads) <= 1


@given(st.builds(Claimant, SOME, SOME, st.integers(0, 5)))
def test_what_is_told_is_read(one: Claimant) -> None:
    assert decode(encode(one)) == one
    assert decode_given(encode_given(one.wants)) == one.wants


def test_what_cannot_be_read_wants_nothing() -> None:
    for told in (b"", b"{}", b"[2,[],[],0]", b'[1,["a"],[1],0]', b'[1,"ab",[],"x"]', b"[1,[[]],[],0]"):
        assert decode(told) == NOTHING
    assert decode_given(b"") == decode_given(b'{"a":1}') == decode_given(b"[1]") == frozenset()


def test_what_was_put_down_is_neither_held_nor_given() -> None:
    claims = Claims()
    assert claims.want("12")
    assert not claims.want("21")
    assert claims.give(frozenset("12"), 3)
    assert not claims.give(frozenset("12"), 4)
    assert claims.release("1")
    assert not claims.release("1")
    assert claims.given == frozenset("2")
    assert claims.give(frozenset(), 5)
    assert claims.claimant == Claimant(frozenset("12"), frozenset("2"), 5)

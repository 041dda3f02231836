"""What follows for the whole from what was found in parts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.counts import tally as module
from gateway.counts.grid import Grid
from gateway.counts.tally import Counted, Piece, Tally, Total, spread

GRID = Grid(1_000, 2_000, 100)


def tally(times: Sequence[int], value: bytes | None = None) -> Tally:
    """Of records at these times, all of which match."""
    found = Tally()
    for time in times:
        found.look(time)
        found.count(time // GRID.step, () if value is None else (value,))
    return found


def total(*pieces: Piece, most: int = 10) -> Counted:
    """The answer from one partition."""
    made = Total(GRID, exact=True)
    for _ in made.add(pieces):
        pass
    return made.answer(most)


def test_what_was_looked_at_is_added_up() -> None:
    found = total(Piece(0, 3, tally([1_000, 1_050, 1_100], b"1")), Piece(3, 5, tally([1_950, 1_999], b"2")))
    assert found == Counted(GRID, [2, 1, 0, 0, 0, 0, 0, 0, 0, 2], [(b"1", 3), (b"2", 2)], 5, exact=True)


def test_what_lies_between_is_as_what_is_beside_it_and_spread_over_the_time() -> None:
    found = total(
        Piece(0, 10, tally([1_000] * 10, b"1")), Piece(10, 80, None), Piece(80, 90, tally([1_700] * 10, b"2"))
    )
    assert found.exact is False
    assert found.scanned == 20
    assert found.counts == [20, 10, 10, 10, 10, 10, 10, 10, 0, 0]
    assert found.values == [(b"1", 45), (b"2", 45)]


def test_what_lies_behind_the_last_is_as_the_last() -> None:
    found = total(Piece(0, 10, tally([1_500] * 10)), Piece(10, 60, None))
    assert found.counts == [0, 0, 0, 0, 0, 20, 10, 10, 10, 10]


def test_what_lies_before_the_first_is_as_the_first() -> None:
    assert total(Piece(0, 50, None), Piece(50, 60, tally([1_500] * 10))).counts == [10, 10, 10, 10, 10, 10, 0, 0, 0, 0]


def test_where_nothing_was_looked_at_nothing_is_estimated() -> None:
    found = total(Piece(0, 50, None))
    assert (sum(found.counts), found.scanned, found.exact) == (0, 0, False)


def test_an_estimate_stays_in_its_span_whatever_the_times() -> None:
    for first, last in ((0, 5_000), (5_000, 0), (-(2**63), 2**63 - 1)):
        before, after = tally([1_500]), tally([1_500])
        before.last, after.first = last, first
        found = total(Piece(0, 1, before), Piece(1, 11, None), Piece(11, 12, after))
        assert sum(found.counts) == 12


def test_the_commonest_values_come_first_and_alike_ones_in_an_order() -> None:
    pieces = [Piece(number, number + 1, tally([1_000] * (1 + number % 3), b"%d" % number)) for number in range(9)]
    assert total(*pieces, most=4).values == [(b"2", 3), (b"5", 3), (b"8", 3), (b"1", 2)]


def test_values_are_bounded_and_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VALUES", 2)
    found = total(*(Piece(number, number + 1, tally([1_000], b"%d" % number)) for number in range(3)))
    assert (len(found.values), found.exact, found.counts[0]) == (2, False, 3)


def test_a_block_counts_for_a_span_that_has_all_of_it() -> None:
    assert tally([1_000, 1_999]).within(GRID)
    assert Tally().within(GRID)
    assert not tally([999]).within(GRID)
    assert not tally([1_500, 2_000]).within(GRID)


def test_an_amount_is_spread_by_time() -> None:
    counts = [0.0] * GRID.length
    spread(GRID, 1_050, 1_250, 40.0, counts)
    assert counts[:4] == [10.0, 20.0, 10.0, 0.0]

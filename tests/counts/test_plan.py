"""Which blocks are looked at."""

from __future__ import annotations

import itertools

import pytest

from gateway.counts.plan import COARSE, Plan, Stretch
from gateway.counts.tally import BLOCK, Piece, Tally
from gateway.model.record import TopicPartition

ONE, TWO = TopicPartition("a", 0), TopicPartition("a", 1)
ALL = 10**9


def looked_at(plan: Plan) -> int:
    """The offsets that are looked at."""
    return sum(one.end - one.begin for found in plan.rounds() for one in found)


def test_a_short_span_is_looked_at_as_a_whole() -> None:
    plan = Plan({ONE: (100, 1000), TWO: (0, 10)}, ALL)
    assert plan.rounds() == [[Stretch(ONE, 100, 1000), Stretch(TWO, 0, 10)]]
    assert [(piece.begin, piece.end) for piece in plan.pieces()[0]] == [(100, 256), (256, 512), (512, 768), (768, 1000)]


def test_of_a_long_span_all_is_looked_at_coarsely_first() -> None:
    plan = Plan({ONE: (0, 1000 * BLOCK)}, ALL)
    rounds = plan.rounds()
    first = [found[0].begin // BLOCK for found in rounds]
    assert first[:COARSE] == list(range(0, 1000, 32))
    assert looked_at(plan) == 1000 * BLOCK


@pytest.mark.parametrize("most", [256, 10_000, 100_000])
@pytest.mark.parametrize("ends", [(1_000_000,), (5_000_000, 100), (10**12, 10**12, 7)])
def test_what_is_looked_at_is_bounded(most: int, ends: tuple[int, ...]) -> None:
    plan = Plan({TopicPartition("a", number): (3, end) for number, end in enumerate(ends)}, most)
    assert looked_at(plan) <= most + len(ends) * BLOCK
    assert len(plan.blocks) == len(ends)
    for end, pieces in zip(ends, plan.pieces(), strict=True):
        assert pieces[0].begin == 3
        assert pieces[-1].end == end
        assert all(one.end == other.begin for one, other in itertools.pairwise(pieces))


def test_every_partition_is_looked_at() -> None:
    plan = Plan({TopicPartition("a", number): (BLOCK, BLOCK + 5) for number in range(100)}, 1000)
    assert all(len(found) == 1 for found in plan.blocks.values())


def test_spans_that_overlap_choose_the_same_blocks() -> None:
    one = Plan({ONE: (0, 1_000_000)}, 50_000)
    other = Plan({ONE: (10_000, 1_010_000)}, 50_000)
    shared = one.blocks[ONE].keys() & other.blocks[ONE].keys()
    assert len(shared) > 0.9 * len(one.blocks[ONE]) > 0


def test_what_is_known_is_not_looked_at_again() -> None:
    plan = Plan({ONE: (0, 3 * BLOCK)}, ALL)
    plan.note(ONE, BLOCK, Tally())
    assert plan.rounds() == [[Stretch(ONE, 0, BLOCK)], [Stretch(ONE, 2 * BLOCK, 3 * BLOCK)]]


def test_what_is_known_already_is_left_out() -> None:
    known = Piece(300, 700, Tally(looked=400))
    plan = Plan({ONE: (100, 1000), TWO: (300, 700)}, ALL, {ONE: [known], TWO: [known]})
    assert plan.rounds() == [[Stretch(ONE, 100, 300)], [Stretch(ONE, 700, 1000)]]
    one, two = plan.pieces()
    assert [piece[:2] for piece in one] == [(100, 256), (256, 300), (300, 700), (700, 768), (768, 1000)]
    assert two == [known]


def test_what_is_known_leaves_more_to_look_at() -> None:
    known = Piece(0, 900_000, Tally(looked=900_000))
    assert looked_at(Plan({ONE: (0, 1_000_000)}, 110_000, {ONE: [known]})) == 100_000

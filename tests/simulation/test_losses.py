"""Seeded worlds of a log that loses its end and its beginning: clients end with just what it has."""

from __future__ import annotations

import pytest

from tests.effort import lasting
from tests.simulation.loss_bugs import LOSS_BUGS, found_after
from tests.simulation.losses import simulate_losses
from tests.simulation.planted import Planted, planted

SEEDS = lasting(100, 400)
SEEDS_A_TEST = 20
QUICK_SEEDS = 6
BUG_SEEDS = 60
"""After so many at the most, each of the bugs is found. The rarest shows in every tenth world."""


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_nothing_comes_that_is_lost(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        simulate_losses(seed)


@pytest.mark.long
def test_nothing_comes_that_is_lost_in_a_few_worlds() -> None:
    assert sum(simulate_losses(seed)[1] for seed in range(QUICK_SEEDS)) > QUICK_SEEDS, "hardly anything was lost"


@pytest.mark.long
def test_a_seed_runs_the_same_way_again() -> None:
    assert simulate_losses(7) == simulate_losses(7) != simulate_losses(8)


@pytest.mark.parametrize("bug", LOSS_BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_fits_the_code(bug: Planted) -> None:
    with planted(bug):
        pass


@pytest.mark.long
@pytest.mark.parametrize("bug", LOSS_BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Planted) -> None:
    assert found_after(bug, BUG_SEEDS) is not None

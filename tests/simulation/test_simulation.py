"""Seeded worlds: whatever happens to the log, the processes and the clients, the guarantees hold."""

from __future__ import annotations

import pytest

from tests.effort import lasting
from tests.simulation.planted import BUGS, Planted, planted
from tests.simulation.simulate import simulate

SEEDS = lasting(100, 400)
SEEDS_A_TEST = 20
QUICK_SEEDS = 5
CROWD_SEED, CROWD = 6, 1000
"""A world with little in its log, so that so many clients of it take a quarter of a minute of CPU."""


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_the_guarantees_hold(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        simulate(seed)


@pytest.mark.long
def test_the_guarantees_hold_in_a_few_worlds() -> None:
    for seed in range(QUICK_SEEDS):
        simulate(seed)


@pytest.mark.long
def test_the_guarantees_hold_for_a_crowd() -> None:
    result = simulate(CROWD_SEED, CROWD)
    assert result.clients == CROWD
    assert result.delivered > 10 * CROWD


@pytest.mark.long
def test_a_seed_runs_the_same_way_again() -> None:
    first, again = simulate(7), simulate(7)
    assert first == again
    assert first.digest != simulate(8).digest


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_fits_the_code(bug: Planted) -> None:
    with planted(bug):
        pass

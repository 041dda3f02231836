"""Seeded worlds of two gateways that take in the same events: each is stored once."""

from __future__ import annotations

import pytest

from tests.effort import lasting
from tests.simulation.planted import Planted, planted
from tests.simulation.two_intakes import simulate_two_intakes

SEEDS = lasting(60, 250)
BUG_SEEDS = 30
BUGS = (
    Planted(
        "claims: who is about to store is not waited for",
        "gateway.claims.book:standing",
        "if entry.until > now:",
        "if False:",
    ),
)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_what_comes_to_both_is_stored_once(first: int) -> None:
    for seed in range(first, first + 20):
        simulate_two_intakes(seed)


@pytest.mark.long
def test_what_comes_to_both_is_stored_once_in_a_few_worlds() -> None:
    assert sum(simulate_two_intakes(seed) for seed in range(6)) > 6


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_fits_the_code(bug: Planted) -> None:
    with planted(bug):
        pass


@pytest.mark.long
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Planted) -> None:
    def search() -> None:
        for seed in range(BUG_SEEDS):
            simulate_two_intakes(seed)

    with planted(bug), pytest.raises(AssertionError, match=r"stored again|never stored"):
        search()

"""Seeded worlds of records of any time: clients end with just what the log has."""

from __future__ import annotations

import pytest

from tests.effort import lasting
from tests.simulation.losses import LossError, simulate_losses
from tests.simulation.odd_times import OddTimes
from tests.simulation.planted import Planted, planted

SEEDS = lasting(40, 150)
SEEDS_A_TEST = 20
BUG_SEEDS = 20
BUGS = (
    Planted(
        "resolve: a record without a time is not trusted",
        "gateway.subscription.resolve:Resolver._inside",
        "record.timestamp != timestamp",
        "record.timestamp != max(0, timestamp)",
    ),
    Planted(
        "position: a negative time is none",
        "gateway.model.position.text:_parse_entry",
        "return named, RequestedPosition(offset, timestamp, seen)",
        "return named, RequestedPosition(offset, timestamp if timestamp is None or timestamp >= 0 else 0, seen)",
    ),
)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_records_of_any_time_come_once(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        simulate_losses(seed, OddTimes)


@pytest.mark.long
def test_records_of_any_time_come_once_in_a_few_worlds() -> None:
    for seed in range(6):
        simulate_losses(seed, OddTimes)


@pytest.mark.long
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Planted) -> None:
    def search() -> None:
        for seed in range(BUG_SEEDS):
            simulate_losses(seed, OddTimes)

    with planted(bug), pytest.raises(LossError):
        search()

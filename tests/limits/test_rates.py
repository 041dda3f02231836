"""How much may be spent a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.rates import Rate, spend

RATE = Rate(10.0, 5.0)


def test_a_burst_and_then_the_pace() -> None:
    due, now = 0.0, 100.0
    for _ in range(5):
        spent = spend(RATE, due, now, 1)
        assert spent.wait == 0
        due = spent.due
    refused = spend(RATE, due, now, 1)
    assert refused.wait == pytest.approx(0.1)
    assert refused.due == due
    assert spend(RATE, due, now + refused.wait + 1e-9, 1).wait == 0


def test_what_is_larger_than_the_burst_is_granted_once_and_owed() -> None:
    first = spend(RATE, 0.0, 100.0, 50)
    assert first.wait == 0
    assert spend(RATE, first.due, 104.0, 1).wait > 0
    assert spend(RATE, first.due, 105.0, 1).wait == 0


def test_what_is_owing_is_waited_for() -> None:
    first = spend(RATE, 0.0, 100.0, 5, owing=True)
    assert first.wait == 0
    assert spend(RATE, first.due, 100.0, 10, owing=True).wait == pytest.approx(1.0)


@given(st.floats(0.1, 1000), st.floats(1, 1000), st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=60))
def test_no_more_than_the_rate_and_one_burst_passes(
    per_second: float, burst: float, steps: list[tuple[float, int]]
) -> None:
    rate = Rate(per_second, burst)
    due = now = begun = 1000.0
    passed = 0
    largest = 0
    for pause, amount in steps:
        now += pause
        spent = spend(rate, due, now, amount)
        due = spent.due
        if spent.wait == 0:
            passed += amount
            largest = max(largest, amount)
        else:
            # What is said of the wait is true.
            assert spend(rate, due, now + spent.wait * (1 + 1e-9) + 1e-6, amount).wait == 0
    assert passed <= (now - begun) * per_second + burst + largest + 1e-6

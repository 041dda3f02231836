"""The figures of windows: exact, and the same in any order."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.derive.aggregate import Sum
from tests.derive.events import at, configured, engine, give, rows


def test_sums_are_exact_and_have_no_order(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change], window: {every: 1m},"
        " select: {s: sum(event.n), a: avg(event.n), least: min(event.n), most: max(event.n)}}}",
    )

    def told(numbers: list[object]) -> dict[str, object]:
        made = engine(catalog, "a")
        give(made, [*(at("00:00:00", n=number) for number in numbers), at("00:10:00", n=0)])
        return {name: value for name, value in rows(made)[0].items() if not name.startswith("window")}

    assert told([1, 2, None, "x"]) == {"s": 3, "a": 1.5, "least": 1, "most": "x"}
    assert told([1e16, 1, -1e16, 1]) == told([1, 1, 1e16, -1e16]) == {"s": 2.0, "a": 0.5, "least": -1e16, "most": 1e16}
    assert told([2**62, 2**62]) == {"a": 2.0**62, "least": 2**62, "most": 2**62}
    assert told([1, 1.0]) == told([1.0, 1]) == {"s": 2.0, "a": 1.0, "least": 1, "most": 1}
    assert told([1e308, 1e308]) == {"least": 1e308, "most": 1e308}
    large = [1.7e308, 1.7e308, -1.7e308]
    for numbers in permutations(large):
        assert told(list(numbers))["s"] == 1.7e308
    assert told([5e-324, 5e-324, 1.7e308, -1.7e308, 2**53, 1])["s"] == 2.0**53 + 2
    assert told([2.5e-323, -5e-324])["s"] == 2e-323
    assert told(["b", "a", True]) == {"least": True, "most": "b"}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70), min_size=1))
def test_a_sum_is_the_exact_one_rounded_and_takes_back_what_it_was_given(numbers: list[float | int]) -> None:
    one, other, more = Sum(), Sum(), [1.7e308, 1.7e308, 2**62, -5e-324]
    for number in [*numbers, *more]:
        one.add(number)
    for number in reversed(numbers):
        other.add(number)
    for number in more:
        one.remove(number)
    exact = sum(map(Fraction, numbers))
    expected: float | int | None = int(exact) if -(2**63) <= exact < 2**63 else None
    if any(isinstance(number, float) for number in numbers):
        try:
            expected = float(exact)
        except OverflowError:
            expected = None
    assert one.result() == other.result() == expected


def test_a_sliding_sum_is_well_again_after_what_was_too_large(tmp_path: Path) -> None:
    declaration = "window: {last: 1m}, late: 1s, select: {s: sum(event.n), a: avg(event.n)}"
    made = engine(configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}"), "a")
    numbers = [("00:00:00", 1.7e308), ("00:00:01", 1.7e308), ("00:05:00", 1.5), ("00:09:00", 0.5), ("00:10:00", 0)]
    give(made, [at(clock, n=number) for clock, number in numbers])
    assert [row.get("s") for row in rows(made)] == [1.7e308, None, 1.5, 0.5]
    assert [row.get("a") for row in rows(made)] == [1.7e308, None, 1.5, 0.5]


@pytest.mark.parametrize("window", ["every: 1h", "gap: 10m", "last: 1h"])
def test_times_are_compared_as_times_and_not_as_texts(tmp_path: Path, window: str) -> None:
    """Their texts have as many digits as they need."""
    figures = "first: min(timestamp(event.t)), last: max(timestamp(event.t)), longest: max(dyn(duration(event.d)))"
    declaration = f"window: {{{window}}}, late: 1s, select: {{{figures}}}"
    catalog = configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}")
    given_times = [("01.000Z", "9s"), ("01.000500Z", "10s"), ("01.000000001Z", "9.5s"), ("00.999999Z", "1.5s")]
    told = {"first": "2026-01-01T12:00:00.999999Z", "last": "2026-01-01T12:00:01.000500Z", "longest": "10s"}
    for order in permutations(given_times):
        made = engine(catalog, "a")
        give(made, [at("12:00:02", t=f"2026-01-01T12:00:{second}", d=length) for second, length in order])
        give(made, [at("14:00:00", t="x", d="x")], offset=len(order))
        assert [{name: row[name] for name in told} for row in rows(made)] == [told]
        assert made.held_bytes == 0


def test_a_time_is_told_as_it_was_whatever_figure_it_comes_from(tmp_path: Path) -> None:
    declaration = (
        "window: {last: 1m}, late: 1s, select: {first: min(timestamp(event.t)), last: max(timestamp(event.t))}"
    )
    made = engine(configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}"), "a")
    moments = [("00:00:00", "00:00:09.5Z"), ("00:00:30", "00:00:09.25Z"), ("00:01:20", "00:00:09.125Z")]
    give(made, [at(clock, t=f"2026-01-01T{moment}") for clock, moment in moments])
    give(made, [at("00:10:00", t="x")], offset=3)
    assert [(row["first"][17:], row["last"][17:]) for row in rows(made)] == [
        ("09.500Z", "09.500Z"),
        ("09.250Z", "09.500Z"),
        ("09.125Z", "09.250Z"),
    ]

"""Results beside those before: what is said of a change, and of the noise."""

from __future__ import annotations

import pytest

from loadtests.measurement import Figure, Measurement
from loadtests.regression import NOTHING_BEFORE, changes, kept, noise, spread
from loadtests.scenario import Scenario, Side

SCENARIO = Scenario(
    "small",
    "a title",
    sides=(Side("gateway"), Side("floor", server="floor")),
    figures=(
        Figure("p99, ms", "p99_ms", limit=10),
        Figure("pace", "pace_percent", limit=97, least=True),
        Figure("CPU, × floor", "cpu_us_per_delivery", over="floor", limit=2),
        Figure("no target", "p50_ms"),
    ),
)


def runs(*values: dict[str, float], side: str = "gateway") -> list[Measurement]:
    return [Measurement("small", side, repeat, each) for repeat, each in enumerate(values)]


def before(**figures: float) -> dict[str, object]:
    return {"commit": "abc", "time": "then", "figures": {"small": figures}}


@pytest.mark.parametrize(
    ("then", "now", "verdict"),
    [
        (10.0, [20.0, 20.0, 21.0], "worse"),
        (10.0, [5.0, 5.0, 5.1], "better"),
        # Less than the repeats differ, or so little that it is nothing.
        (10.0, [8.0, 12.0, 16.0], ""),
        (10.0, [10.4, 10.4, 10.4], ""),
    ],
)
def test_a_change_counts_beyond_the_noise(then: float, now: list[float], verdict: str) -> None:
    text = changes([SCENARIO], runs(*({"p99_ms": value} for value in now)), before(**{"p99, ms": then}))
    assert "commit abc" in text
    row = next(line for line in text.splitlines() if "p99, ms" in line)
    assert row.split("|")[-2].strip() == verdict


def test_more_is_better_where_a_least_is_asked_for() -> None:
    text = changes([SCENARIO], runs({"pace_percent": 99.0}), before(pace=50.0))
    assert "better" in text


def test_a_ratio_has_the_noise_of_both_sides() -> None:
    own = runs({"cpu_us_per_delivery": 3.0}, {"cpu_us_per_delivery": 3.0})
    steady = own + runs({"cpu_us_per_delivery": 2.0}, {"cpu_us_per_delivery": 2.0}, side="floor")
    restless = own + runs({"cpu_us_per_delivery": 1.5}, {"cpu_us_per_delivery": 2.5}, side="floor")
    assert "worse" in changes([SCENARIO], steady, before(**{"CPU, × floor": 1.1}))
    assert "worse" not in changes([SCENARIO], restless, before(**{"CPU, × floor": 1.1})).splitlines()[-1]


def test_without_results_before_nothing_is_compared() -> None:
    assert changes([SCENARIO], runs({"p99_ms": 1.0}), None) == NOTHING_BEFORE
    assert changes([SCENARIO], runs({"p99_ms": 1.0}), before()) == NOTHING_BEFORE


def test_what_is_kept_for_the_next_comparison() -> None:
    document = {
        "commit": "abc",
        "time": "then",
        "quick": False,
        "scenarios": [{"name": "small", "figures": [{"label": "p99, ms", "measured": 3.0}]}],
        "before": {"commit": "older"},
    }
    assert kept(document, "def") == {"commit": "abc", "time": "then", "figures": {"small": {"p99, ms": 3.0}}}
    assert kept(document, "abc") == {"commit": "older"}, "the same commit, of which other scenarios are measured"
    assert kept({}, "def") is None
    assert kept({**document, "quick": True}, "def") is None


def test_the_noise_is_that_of_the_repeats() -> None:
    assert spread([9.0, 10.0, 12.0]) == 30.0
    assert spread([]) == spread([0.0, 0.0]) == 0.0
    text = noise([SCENARIO], runs({"p99_ms": 9.0}, {"p99_ms": 10.0}, {"p99_ms": 12.0}))
    assert "small, gateway" in text
    assert "30" in text
    assert "floor" not in text
    assert "once" in noise([SCENARIO], runs({"p99_ms": 9.0}))

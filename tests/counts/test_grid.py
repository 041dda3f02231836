"""The buckets that events are counted in."""

from __future__ import annotations

import pytest

from gateway.counts.grid import Grid, by_buckets, by_step, read_step, written_step

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "step"),
    [("30s", 30_000), ("1m", 60_000), ("1h", HOUR), ("250ms", 250), ("2w", 2 * 7 * 24 * HOUR), (" 5m ", 300_000)],
)
def test_a_step_is_read_and_written(text: str, step: int) -> None:
    assert read_step(text) == step
    assert read_step(written_step(step)) == step


@pytest.mark.parametrize("text", ["", "0s", "1", "1y", "-1s", "1.5h", "m", "9999999999999s", "1s1s", "١s"])
def test_what_is_no_step(text: str) -> None:
    assert read_step(text) is None


def test_a_grid_begins_at_a_multiple_of_its_step() -> None:
    assert by_step(HOUR + 5, 3 * HOUR + 1, HOUR) == Grid(HOUR, 3 * HOUR + 1, HOUR)
    assert by_step(HOUR + 5, 3 * HOUR + 1, HOUR).length == 3
    assert by_step(HOUR, 3 * HOUR, HOUR).length == 2


@pytest.mark.parametrize(
    ("span", "buckets", "step"),
    [
        (HOUR, 60, "1m"),
        (HOUR, 59, "2m"),
        (HOUR, 1, "1h"),
        (24 * HOUR, 60, "30m"),
        (50, 60, "1ms"),
        (10**14, 1, "165360w"),
    ],
)
def test_the_step_of_a_number_of_buckets_is_round(span: int, buckets: int, step: str) -> None:
    assert written_step(by_buckets(0, span, buckets).step) == step


@pytest.mark.parametrize("since", [0, 1, 59_999, 1_700_000_000_000, 1_700_000_001_234])
@pytest.mark.parametrize("span", [1, 999, 60_000, HOUR, 31_536_000_000, 1_700_000_000_000])
@pytest.mark.parametrize("buckets", [1, 7, 60, 1000])
def test_there_are_at_most_as_many_buckets_and_one(since: int, span: int, buckets: int) -> None:
    grid = by_buckets(since, since + span, buckets)
    assert grid.length <= buckets + 1
    assert grid.start <= since < grid.start + grid.step
    assert grid.end == since + span

"""Durations and sizes."""

from __future__ import annotations

import pytest

from gateway.catalog.quantity import milliseconds, shown_duration, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", 604_800_000),
        ("1.5h", 5_400_000),
        ("250 ms", 250),
        ("2w", 1_209_600_000),
        ("7", None),
        ("-7d", None),
        ("d", None),
        ("1y", 31_536_000_000),
        ("1q", None),
        ("٣d", None),
    ],
)
def test_durations(text: str, expected: int | None) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (1_500, "1500ms"),
        (30_000, "30s"),
        (90_000, "90s"),
        (5_400_000, "90m"),
        (86_400_000, "1d"),
    ],
)
def test_a_duration_is_shown_as_it_is_written(amount: int, shown: str) -> None:
    assert shown_duration(amount) == shown
    assert milliseconds(shown) == amount


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1GB", 10**9), ("64KiB", 65536), ("2 mib", 2 << 20), ("5B", 5), ("5", None), ("1XB", None), ("1e3B", None)],
)
def test_sizes(text: str, expected: int | None) -> None:
    assert size(text) == expected

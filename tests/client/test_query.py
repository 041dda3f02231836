"""What a query's times are in milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.client.query import Time, milliseconds

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (datetime(2026, 1, 31, 12, 0, 0, 123_999, UTC), 1_769_860_800_123),
        (datetime(2026, 1, 31, 12, 0, 0, 123_500, UTC), 1_769_860_800_123),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), 253_402_300_799_999),
        (timedelta(minutes=10), NOW - 600_000),
        (timedelta(microseconds=1), NOW - 1),
        (1_769_860_800_123, 1_769_860_800_123),
        (datetime(1950, 1, 1, tzinfo=UTC), 0),
        (timedelta(99_999), 0),
        ("2026-01-31T12:00:00.1239Z", 1_769_860_800_123),
        (0, 0),
        ("0", 0),
        ("1970-01-01", 0),
        ("1969-12-31T23:00", 0),
        (timedelta(999_999_999), 0),
        (datetime(1960, 1, 1, tzinfo=UTC), 0),
    ],
)
def test_a_time_loses_no_event_of_its_millisecond(time: Time, expected: int) -> None:
    assert milliseconds("since", time, NOW) == expected

"""Times in the zone of the machine: what is shown is read again as the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tail.local_time import read_local_time, show_local_time

Zone = Callable[[str], None]
NOON = 1_795_780_800_000
"""2026-11-27T12:00:00Z."""
SUMMER = 1_785_499_200_000
"""2026-07-31T12:00:00Z."""


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Zone:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    choose("Europe/Berlin")
    return choose


@pytest.mark.parametrize(
    ("shown", "at"),
    [
        ("13:00:00.000+01:00", NOON),
        ("00:00:00.000+01:00", NOON - 13 * 3_600_000),
        ("2026-11-26T23:59:59.999+01:00", NOON - 13 * 3_600_000 - 1),
        ("2026-07-31T14:00:00.007+02:00", SUMMER + 7),
        ("1970-01-01T01:00:00.000+01:00", 0),
        ("1970-01-01T00:59:59.999+01:00", -1),
        ("9999999999999999", 9_999_999_999_999_999),
        ("-9223372036854775808", -(2**63)),
        ("2026-11-27T13:00:00.001+01:00", NOON + 1),
        ("253402300799999", 253_402_300_799_999),
    ],
)
def test_shown(shown: str, at: int) -> None:
    assert show_local_time(at, NOON) == shown


def test_utc_is_a_letter(zone: Zone) -> None:
    zone("UTC")
    assert show_local_time(NOON, NOON) == "12:00:00.000Z"
    assert show_local_time(NOON - 86_400_000, NOON) == "2026-11-26T12:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-27T13:00", NOON),
        ("2026-11-27 13:00:00", NOON),
        ("2026-07-31T14:00", SUMMER),
        ("2026-11-27", NOON - 13 * 3_600_000),
        ("2026-11-27T13:00+01:00", NOON),
        ("2026-11-27T12:00Z", NOON),
        ("2026-11-27t12:00:00-00:00", NOON),
        ("2026-11-27T12:00 00:00", NOON),
        (str(NOON), NOON),
        ("10m", NOON - 600_000),
        ("13:00", NOON),
        ("9:30", NOON - 3 * 3_600_000 - 1_800_000),
        ("13:00:00.001", NOON + 1 - 86_400_000),
        ("12:00Z", NOON),
        ("07:00-05:00", NOON),
        ("23:30", NOON - 13 * 3_600_000 - 1_800_000),
    ],
)
def test_read(text: str, at: int) -> None:
    assert read_local_time(text, NOON) == at


@pytest.mark.parametrize("name", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("text", ["0", "1969-12-31", "1969-12-31T12:00", "0001-01-01", "99999d", "-62135596800001"])
def test_before_1970_is_the_beginning_in_every_zone(text: str, name: str, zone: Zone) -> None:
    zone(name)
    assert read_local_time(text, NOON) == 0


def test_1970_begins_with_the_day_of_the_zone(zone: Zone) -> None:
    assert read_local_time("1970-01-01", NOON) == 0
    zone("America/New_York")
    assert read_local_time("1970-01-01", NOON) == 5 * 3_600_000
    assert read_local_time("1969-12-31T23:00", NOON) == 4 * 3_600_000


def test_the_end_of_a_range_may_be_to_come() -> None:
    assert read_local_time("14:00", NOON, may_come=True) == NOON + 3_600_000
    assert read_local_time("12:00", NOON, may_come=True) == NOON - 3_600_000


@pytest.mark.parametrize("text", ["", "25:00", "13:60", "yesterday", "2026-13-01", "13:00+25:00"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"write ISO 8601|is not a time|offset"):
        read_local_time(text, NOON)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_what_is_shown_is_read_as_the_same(name: str, zone: Zone) -> None:
    zone(name)
    latest = round(datetime(9998, 12, 30, tzinfo=UTC).timestamp() * 1000)

    @given(st.integers(0, latest), st.integers(86_400_000, latest))
    def check(at: int, now: int) -> None:
        assert read_local_time(show_local_time(at, now), now) == at

    @given(st.integers(0, 20_000), st.integers(NOON, NOON + 200 * 86_400_000))
    def check_lately(ago: int, now: int) -> None:
        assert read_local_time(show_local_time(now - 4000 * ago, now), now) == now - 4000 * ago

    check()
    check_lately()

"""Times as clients and events write them. The cases of `times.json` are held against the explorer's reader too."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schemas.validator import compile_validator
from gateway.times import iso_time, milliseconds_of, parse_time, read_time

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "times.json").read_text("utf-8"))
NOW: int = CASES["since"]["now"]
LARGEST = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001
DATE_TIME = compile_validator({"format": "date-time"}, "2020-12")
STRICT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
"""The shape of RFC 3339's `date-time`, without what its words say of the numbers, and without a space for the T."""


def milliseconds(at: datetime) -> int:
    """Since the epoch; what lies within a millisecond is of it."""
    return (at - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize(("text", "expected"), [case[:2] for case in CASES["times"]])
def test_a_text_is_a_time(text: str, expected: int) -> None:
    assert read_time(text) == expected


@pytest.mark.parametrize("text", CASES["no times"])
def test_a_text_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"^\S"):
        read_time(text)


@pytest.mark.parametrize(("text", "expected"), CASES["since"]["taken"])
def test_what_a_request_may_say(text: str, expected: int) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize("text", [*CASES["since"]["refused"], "9" * 6000, "2026-01-31T12:00:00." + "1" * 6000])
def test_what_a_request_may_not_say(text: str) -> None:
    if text.startswith("2026-01-31T"):
        text += "?"
    with pytest.raises(ValueError, match=r"2026-01-31T12:00:00Z.*10m") as caught:
        parse_time(text, NOW)
    assert len(str(caught.value)) < 1000


@given(TIMES)
def test_what_python_writes(at: datetime) -> None:
    text = at.isoformat()
    assert read_time(text) == read_time(text, local=True) == milliseconds_of(at) == milliseconds(at)
    assert read_time(text.replace("T", " ")) == milliseconds(at)
    assert read_time(text.replace("+", " ")) == milliseconds(at)
    naive = at.replace(tzinfo=None)
    assert read_time(naive.isoformat()) == read_time(naive.isoformat() + "Z") == milliseconds(naive.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "summer", "winter"),
    [("2026-07-31T14:00", 12, 13), ("2026-07-31 14:00:00.0", 12, 13), ("20260731T14", 12, 13), ("2026-212", -2, -1)],
)
def test_what_has_no_offset_is_of_the_zone_of_the_machine_where_that_is_asked(
    text: str, summer: int, winter: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = read_time("2026-07-31")
    for zone, expected in (("Europe/Berlin", summer), ("Africa/Lagos", winter)):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            assert read_time(text, local=True) == midnight + expected * 3_600_000
            assert parse_time(text, NOW, local=True) == midnight + expected * 3_600_000
            assert read_time("2026-07-31T14:00 00:00", local=True) == midnight + 14 * 3_600_000
            assert parse_time("20260731", NOW, local=True) == 20260731
            assert read_time("0000-01-01", local=True) == read_time("0000-01-01")
        finally:
            monkeypatch.undo()
            time.tzset()


@given(st.dates())
def test_a_date_alone_is_midnight(date: Any) -> None:
    midnight = milliseconds(datetime(date.year, date.month, date.day, tzinfo=UTC))
    week = "{:04}-W{:02}-{}".format(*date.isocalendar())
    ordinal = f"{date.year:04}-{date.timetuple().tm_yday:03}"
    assert read_time(str(date)) == read_time(ordinal) == midnight
    if date.isocalendar().year <= 9999:
        assert read_time(week) == midnight


@given(st.one_of(st.integers(-LARGEST, LARGEST), st.integers(-63_000_000_000_000, 254_000_000_000_000)))
def test_what_is_shown_is_read_as_the_same(at: int) -> None:
    shown = iso_time(at)
    if shown.endswith("Z"):
        assert read_time(shown) == at
        assert DATE_TIME.is_valid(shown)
    assert parse_time(shown, NOW) == max(0, at)


DIGITS = st.one_of(
    st.sampled_from(["00", "01", "02", "12", "13", "23", "24", "28", "29", "30", "31", "32", "59", "60", "61"]),
    st.integers(0, 99).map("{:02}".format),
)
LIKE_DATE_TIMES = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.sampled_from(["0000", "0001", "1900", "1969", "2000", "2024", "2026", "9999"]),
    *(DIGITS, DIGITS, st.sampled_from("Tt "), DIGITS, DIGITS, DIGITS),
    st.sampled_from(["", ".0", ".5", ".1234567", ".999999999999", ",5", "."]),
    st.one_of(
        st.sampled_from(["Z", "z", "", "+00", "-00:00", "+0000"]),
        st.builds("{}{}:{}".format, st.sampled_from("+-"), DIGITS, DIGITS),
    ),
)


@given(LIKE_DATE_TIMES)
def test_what_a_schema_takes_for_a_date_time_is_a_time_and_the_other_way_round(text: str) -> None:
    try:
        read_time(text)
    except ValueError:
        assert not DATE_TIME.is_valid(text)
    else:
        # ISO 8601 allows more, of which 24:00 alone looks the same.
        assert DATE_TIME.is_valid(text) == (STRICT.fullmatch(text) is not None and text[11:13] != "24")


@given(st.one_of(st.text(max_size=30), LIKE_DATE_TIMES))
def test_any_text_is_a_time_or_a_complaint(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= parse_time(text, NOW) <= LARGEST

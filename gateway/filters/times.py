"""Timestamps, durations and time zones: their texts, their parts, their bounds.

A zone is a constant of the expression: a name of the zone database in the package `tzdata`, or an offset. An event can
supply only an offset. So no file is ever opened for an invented name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from gateway.filters.values import INT_MAX, INT_MIN, OVERFLOW, Duration, Error, Meter, Timestamp, failed, spend

NANOS = 1_000_000_000
OUT_OF_TIME = Error("time out of range")
NO_TIME = Error("not a time")
NO_ZONE = Error("unknown time zone")
LONGEST_TEXT = 100
"""Characters that the text of a time can have."""
READING_STEPS = 40
WRITING_STEPS = 30
PART_STEPS = 40
"""For a part of a date (`getHours`)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -62_135_596_800 * NANOS
_LAST = 253_402_300_800 * NANOS - 1
"""The years 1 to 9999."""
_LONGEST_DURATION = 315_576_000_000 * NANOS
_OFFSET = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})", re.ASCII)
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9})[0-9]*)?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_UNITS = {"h": 3600 * NANOS, "m": 60 * NANOS, "s": NANOS, "ms": 1_000_000, "us": 1_000, "µs": 1_000, "ns": 1}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(h|ms|m|us|µs|ns|s)", re.ASCII)


def make_timestamp(nanos: int) -> Timestamp | Error:
    """A timestamp, where it lies in the years 1 to 9999."""
    return Timestamp(nanos) if _FIRST <= nanos <= _LAST else OUT_OF_TIME


def make_duration(nanos: int) -> Duration | Error:
    """A duration, where it fits into 64 bits."""
    return Duration(nanos) if INT_MIN <= nanos <= INT_MAX else OVERFLOW


def to_timestamp(meter: Meter, value: Any) -> Any:
    """`timestamp(value)`: of a text (RFC 3339), or of seconds since the epoch."""
    kind = value.__class__
    if kind is Timestamp:
        return value
    if kind is int:
        return make_timestamp(value * NANOS)
    if kind is str:
        spend(meter, READING_STEPS)
        return _read_timestamp(value) if len(value) <= LONGEST_TEXT else NO_TIME
    return failed(value)


def _read_timestamp(text: str) -> Timestamp | Error:
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        return NO_TIME
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    if second > 60:
        return NO_TIME
    try:
        # A leap second is the first one of the next minute.
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return NO_TIME
    nanos = ((at - _EPOCH) // timedelta(seconds=1) + (second == 60)) * NANOS + int((found[7] or "0").ljust(9, "0"))
    if found[8]:
        hours, minutes = int(found[9]), int(found[10])
        if hours > 23 or minutes > 59:
            return NO_TIME
        nanos -= (-1 if found[8] == "-" else 1) * (hours * 60 + minutes) * 60 * NANOS
    return make_timestamp(nanos)


def to_duration(meter: Meter, value: Any) -> Any:
    """`duration(value)`: of a text such as `1h30m` or `-1.5s`."""
    if value.__class__ is Duration:
        return value
    if value.__class__ is str:
        spend(meter, READING_STEPS)
        if len(value) > LONGEST_TEXT:
            return NO_TIME
        spend(meter, 3 * len(value))
        return _read_duration(value)
    return failed(value)


def _read_duration(text: str) -> Duration | Error:
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return Duration(0)
    total = at = 0
    while at < len(rest):
        found = _PART.match(rest, at)
        if found is None or not (found[1] or found[2]):
            return NO_TIME
        unit, fraction = _UNITS[found[3]], found[2] or ""
        total += int(found[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        at = found.end()
    if not rest:
        return NO_TIME
    if total > _LONGEST_DURATION:
        return OUT_OF_TIME
    return make_duration(-total if text.startswith("-") else total)


def text_of(meter: Meter, value: Any) -> str:
    """A timestamp or a duration as `string()` writes it."""
    spend(meter, WRITING_STEPS)
    if value.__class__ is Timestamp:
        seconds, nanos = divmod(int(value), NANOS)
        at = _EPOCH + timedelta(seconds=seconds)
        return f"{at.year:04}{at:-%m-%dT%H:%M:%S}{_fraction(nanos)}Z"
    seconds, nanos = divmod(abs(int(value)), NANOS)
    return f"{'-' if value < 0 else ''}{seconds}{_fraction(nanos)}s"


def _fraction(nanos: int) -> str:
    """In three, six or nine digits."""
    digits = f"{nanos:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def offset_zone(name: str) -> tzinfo | None:
    """The zone of `UTC`, `02:00` or `-03:30`; None where it is no offset."""
    if name == "UTC":
        return UTC
    found = _OFFSET.fullmatch(name) if len(name) <= 6 else None
    if found is None or int(found[3]) > 59 or int(found[2]) > 23:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))


@cache
def zone_names() -> frozenset[str]:
    """The names of the zone database; none where it is not installed."""
    try:
        return frozenset((files("tzdata") / "zones").read_text("utf-8").split())
    except (ModuleNotFoundError, OSError):
        return frozenset()


def named_zone(name: str) -> tzinfo | None:
    """The zone of this name, or of this offset; None where there is none."""
    return _load(name) if name in zone_names() else offset_zone(name)


@cache
def _load(name: str) -> tzinfo:
    # From the package, not from what the system has, so that every host knows the same zones.
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def part(of_timestamp: Callable[[datetime, int], int], of_duration: Callable[[int], int] | None = None) -> Any:
    """A function that reads a part of a time: of a timestamp in a zone, and perhaps of a duration. It is given the date
    and the nanoseconds after its second, or all nanoseconds."""

    def read(meter: Meter, value: Any, zone: Any = UTC) -> Any:
        kind = value.__class__
        if kind is Timestamp:
            spend(meter, PART_STEPS)
            where = offset_zone(zone) if zone.__class__ is str else zone
            if where is None:
                return NO_ZONE
            if not isinstance(where, tzinfo):
                return failed(zone)
            seconds, nanos = divmod(int(value), NANOS)
            try:
                return of_timestamp((_EPOCH + timedelta(seconds=seconds)).astimezone(where), nanos)
            except OverflowError:
                return OUT_OF_TIME
        if kind is Duration and of_duration is not None and zone is UTC:
            return of_duration(int(value))
        return failed(value, zone)

    return read


def whole(nanos: int, unit: int) -> int:
    """How often the unit goes into it, towards zero."""
    return abs(nanos) // unit * (-1 if nanos < 0 else 1)

"""Times for people on the command line, in the zone of the machine.

They are read and shown in the same way, so that a time that was shown means the same when it is typed in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from gateway.times import parse_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d+)?)?(?P<offset>[Zz]|[+-]\d\d(:?\d\d)?)?", re.ASCII)


def read_local_time(text: str, now: int, may_come: bool = False) -> int:
    """As `parse_time`, but what has no offset is of the zone of the machine. A time of day alone is today's; where that
    is to come, and may not (`may_come`), yesterday's. `now` and the result in milliseconds since the epoch. Raises
    ValueError, saying what would be right."""
    text = text.strip()
    if found := _TIME_OF_DAY.fullmatch(text):
        return _time_of_day(text.zfill(len(text) + 1) if text[1] == ":" else text, found["offset"], now, may_come)
    return parse_time(text, now, local=True)


def show_local_time(time: int, now: int) -> str:
    """A time in milliseconds since the epoch with its offset, so that it can be copied. It has the date if that is
    not today's, or lies ahead. A time outside the calendar is shown as a number, because a record may carry any."""
    local = _local(time)
    if local is None:
        return str(time)
    shown = local.isoformat(timespec="milliseconds")
    if local.utcoffset() == timedelta():
        shown = shown.removesuffix("+00:00") + "Z"
    today = _local(now)
    return shown.partition("T")[2] if time <= now and today and today.date() == local.date() else shown


def _time_of_day(text: str, offset: str | None, now: int, may_come: bool) -> int:
    at = _EPOCH + timedelta(milliseconds=now)
    zone = None if offset is None else datetime.fromisoformat(f"2000-01-01T00:00{offset.upper()}").tzinfo
    for back in (0, 1):
        day = (at.astimezone(zone) - timedelta(days=back)).date()
        time = parse_time(f"{day}T{text}", now, local=True)
        if time <= now or may_come:
            break
    return time


def _local(time: int) -> datetime | None:
    try:
        return (_EPOCH + timedelta(milliseconds=time)).astimezone()
    except (ValueError, OverflowError, OSError):
        return None

"""Times as clients and events write them, and as they are shown.

A text is read as RFC 3339 and ISO 8601 have it. The date is a calendar date (`2026-01-31`, `20260131`, `2026-01`), a
week date (`2026-W05-6`, `2026-W05`) or an ordinal date (`2026-031`), in the years 0000 to 9999. A date alone is its
midnight. A time of day may follow a `T` or a space, as far as the second and any fraction of it, and then an offset.
Without an offset, the time is UTC. `gateway/explorer/times.js` does the same for the page, and one table of cases tests
both.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MILLISECOND = timedelta(milliseconds=1)
_DAY = 86_400
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
"""Years after which the calendar repeats, weeks included."""
_TIME = re.compile(
    r"(?P<year>\d{4})(?:"
    r"(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"|-?(?P<ordinal>\d{3})"
    r"|(?P<hyphen>-?)W(?P<week>\d\d)(?:(?P=hyphen)(?P<weekday>\d))?"
    r"|-(?P<only_month>\d\d))"
    r"(?:[Tt ](?P<hour>[01]\d|2[0-4])(?:(?P<colon>:?)(?P<minute>[0-5]\d)"
    r"(?:(?P=colon)(?P<second>[0-5]\d|60)(?:[.,](?P<fraction>\d+))?)?)?"
    # A space stands where a plus sign of an address was not encoded.
    r"(?P<zone>[Zz]|(?P<sign>[+\- ])(?P<hours>[01]\d|2[0-3])"
    r"(?::?(?P<minutes>[0-5]\d)(?::?(?P<seconds>[0-5]\d))?)?)?)?",
    re.ASCII,
)
_SPAN = re.compile(r"(\d{1,12})(ms|s|m|h|d|w)", re.ASCII)
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NUMBER = re.compile(r"-?\d{1,5000}", re.ASCII)
_LARGEST = 2**63 - 1
_EARLIEST = -62_135_596_800_000
"""The first millisecond of the year 1."""
_LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999."""
FORMS = "ISO 8601 as in 2026-01-31T12:00:00Z, milliseconds since the epoch, or a span back from now as in 10m, 2h or 7d"


def parse_time(text: str, now: int, local: bool = False) -> int:
    """A time as `since` and `until` have it, in milliseconds since the epoch and never below 0, where all of a stream
    begins; `now` likewise. A part of a millisecond counts for nothing, as in a record's time, so that what happened
    within that millisecond is not before it. `local`: as in `read_time`.

    Raises ValueError, saying what would be right.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return max(0, _read_number(text))
    span = _SPAN.fullmatch(text)
    if span:
        return max(0, now - int(span[1]) * _UNITS[span[2]])
    try:
        return max(0, read_time(text, local))
    except ValueError:
        raise ValueError(f"{text[:100]!r} is not a time; write {FORMS}") from None


def _read_number(text: str) -> int:
    number = int(text) if len(text) <= 20 else _LARGEST + 1
    if not -_LARGEST <= number <= _LARGEST:
        raise ValueError(f"{text[:100]!r} has more than 64 bits; write {FORMS}")
    # A minus sign is a slip, but for the numbers that stand where no calendar has a time (`iso_time`).
    if text.startswith("-") and number >= _EARLIEST:
        raise ValueError(f"{text[:100]!r} is not a time; write {FORMS}")
    return number


def read_time(text: str, local: bool = False) -> int:
    """A string of RFC 3339 or ISO 8601 in milliseconds since the epoch, negative before 1970. A fraction of a
    millisecond belongs to that millisecond. A leap second (23:59:60 in UTC) is the first second of the next day, as
    in POSIX. `local`: a time without offset is in the machine's zone. Raises ValueError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:100]!r} is not a time")
    time = _read(found)
    return _of_this_zone(time) if local and found["zone"] is None else time


def _of_this_zone(time: int) -> int:
    """The time at which clocks here show what they show in UTC at the one given."""
    try:
        return milliseconds_of((_EPOCH + timedelta(milliseconds=time)).replace(tzinfo=None).astimezone())
    except (ValueError, OverflowError, OSError):
        return time


def _read(found: re.Match[str]) -> int:
    """Milliseconds since the epoch, in UTC where there is no offset. Raises ValueError."""
    day, has_day = _day(found)
    hour, minute, second, fraction, sign, *offset = found.group(
        "hour", "minute", "second", "fraction", "sign", "hours", "minutes", "seconds"
    )
    if hour is None:
        return (day - _EPOCH_DAY) * _DAY * 1000
    if hour == "24" and f"{minute or ''}{second or ''}{fraction or ''}".strip("0"):
        raise ValueError(f"{found[0][:100]!r} is after the end of its day")
    ahead = 0 if sign is None else _seconds(*offset) * (-1 if sign == "-" else 1)
    whole = (day - _EPOCH_DAY) * _DAY + _seconds(hour, minute, second) - ahead
    if not has_day or (second == "60" and whole % _DAY):
        raise ValueError(f"{found[0][:100]!r} has a time of no day, or a leap second that is none in UTC")
    return whole * 1000 + (int(fraction[:3].ljust(3, "0")) if fraction else 0)


def _seconds(hour: str, minute: str | None, second: str | None) -> int:
    return int(hour) * 3600 + int(minute or 0) * 60 + int(second or 0)


def _day(found: re.Match[str]) -> tuple[int, bool]:
    """The number of the day, that of 0001-01-01 being 1, and whether it was named, and not the first of a month or
    week. Raises ValueError."""
    year, month, day, ordinal, week, weekday, only_month = found.group(
        "year", "month", "day", "ordinal", "week", "weekday", "only_month"
    )
    # Python's calendar begins with the year 1.
    counted, before = (int(year), 0) if year > "0000" else (_CYCLE_YEARS, _CYCLE_DAYS)
    if month or only_month:
        return date(counted, int(month or only_month), int(day or 1)).toordinal() - before, only_month is None
    if week:
        at = date.fromisocalendar(counted, int(week), int(weekday or 1)).toordinal()
        return at - before, weekday is not None
    first = date(counted, 1, 1).toordinal()
    at = first + int(ordinal) - 1
    if not first <= at <= date(counted, 12, 31).toordinal():
        raise ValueError("the year has no such day")
    return at - before, True


def milliseconds_of(time: datetime) -> int:
    """A time with its zone in milliseconds since the epoch; a part of one counts for nothing."""
    # By division of whole numbers: floating point would lose some.
    return (time - _EPOCH) // _MILLISECOND


def read_http_date(text: str) -> int | None:
    """The time of a header such as `Date` or `Retry-After` (RFC 9110 section 5.6.7), in milliseconds since the epoch;
    None where it cannot be read."""
    try:
        return round(1000 * parsedate_to_datetime(text).timestamp())
    # A zone of many digits is none that Python can count with, and some texts are shorter than its parser expects.
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def iso_time(milliseconds: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, which every server of the kind reads; some read whole numbers
    differently. A time outside the calendar (before the year 1, after 9999) stays a number."""
    if not _EARLIEST <= milliseconds <= _LATEST:
        return str(milliseconds)
    # `fromtimestamp` takes floating point, which would lose some.
    time = _EPOCH + timedelta(milliseconds=milliseconds)
    return time.isoformat(timespec="milliseconds")[:-6] + "Z"

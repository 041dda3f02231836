"""Times as clients write them in `since` and `until`, and as they are shown."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPAN = re.compile(r"(\d{1,12})(ms|s|m|h|d|w)", re.ASCII)
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SPACE_FOR_PLUS = re.compile(r"(.*\d{1,2}:?\d{2}(?::?\d{2})?(?:[.,]\d+)?) (\d{2}(?::?\d{2})?)", re.ASCII)
_EARLIEST = -62_135_596_800_000
"""The first millisecond of the year 1."""
_LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999."""
FORMS = "ISO 8601 as in 2026-01-31T12:00:00Z, milliseconds since the epoch, or a span back from now as in 10m, 2h or 7d"


def parse_time(text: str, now: int) -> int:
    """Milliseconds since the epoch; `now` likewise. A part of a millisecond counts as the next whole one.

    Raises ValueError, saying what would be right.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return _within(int(text) if len(text) < 20 else _LATEST + 1, text)
    span = _SPAN.fullmatch(text)
    if span:
        return max(0, now - int(span[1]) * _UNITS[span[2]])
    spaced = _SPACE_FOR_PLUS.fullmatch(text)
    try:
        if not text.isprintable():  # A NUL would end the text unseen.
            raise ValueError
        time = datetime.fromisoformat(f"{spaced[1]}+{spaced[2]}" if spaced else text)
    except ValueError:
        raise ValueError(f"{text[:100]!r} is no time; write {FORMS}") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    try:
        whole, micro = int(time.replace(microsecond=0).timestamp()), time.microsecond
    except (OverflowError, ValueError):
        return _within(_LATEST + 1, text)
    return max(0, _within(whole * 1000 + math.ceil(micro / 1000), text))


def _within(milliseconds: int, text: str) -> int:
    if milliseconds > _LATEST:
        raise ValueError(f"{text[:100]!r} is after the year 9999; write {FORMS}")
    return milliseconds


def iso_time(milliseconds: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, which every server of the kind reads (some take whole numbers
    for something else); the number itself where no calendar has it (before the year 1, after 9999)."""
    if not _EARLIEST <= milliseconds <= _LATEST:
        return str(milliseconds)
    # `fromtimestamp` takes floating point, which would lose some.
    time = _EPOCH + timedelta(milliseconds=milliseconds)
    return time.isoformat(timespec="milliseconds")[:-6] + "Z"

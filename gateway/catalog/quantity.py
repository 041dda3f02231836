"""Durations and sizes as people write them: `7d`, `100ms`, `1GB`, `64KiB`."""

from __future__ import annotations

import re

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
DURATION_FORM = "a number with ms, s, m, h, d, w or y, as in 7d"
SIZE_FORM = "a number with B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, as in 1GB"

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{1,3})", re.ASCII)


def milliseconds(text: str) -> int | None:
    """The milliseconds of a duration such as `7d`; None where the text is no duration."""
    return _amount(text, MILLISECONDS)


def size(text: str) -> int | None:
    """The bytes of a size such as `1GB` (KB is 1,000 bytes, KiB 1,024); None where the text is no size."""
    return _amount(text, BYTES)


def shown_duration(amount: int) -> str:
    """Milliseconds in the largest unit in which they are whole: `30s`, `5m`, `1500ms`. Days are the largest."""
    for unit in ("d", "h", "m", "s"):
        if amount and amount % MILLISECONDS[unit] == 0:
            return f"{amount // MILLISECONDS[unit]}{unit}"
    return f"{amount}ms"


def _amount(text: str, units: dict[str, int]) -> int | None:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    factor = units.get(match[2].lower())
    if factor is None:
        return None
    number = match[1]
    return round(float(number) * factor) if "." in number else int(number) * factor

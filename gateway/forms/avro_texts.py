"""The logical types of Avro, of the texts that `forms/avro_values.py` makes of them."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from gateway.forms.avro_values import DECIMAL_BYTES


class Misfit(Exception):
    """A value that the type does not have; the message says which."""


def inverse(schema: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What makes the underlying value of the text of a logical type, for which `conversion` gives something."""
    name = str(schema["logicalType"])
    if name == "decimal":
        return _decimal(int(schema.get("scale", 0)), int(schema["precision"]))
    if name == "uuid":
        return _uuid
    if name == "date":
        return _date
    digits = {"millis": 3, "micros": 6, "nanos": 9}[name.rpartition("-")[2]]
    if name.startswith("time-"):
        return _time(digits)
    return _timestamp(digits, "" if name.startswith("local-") else "Z")


_NUMBER = re.compile(r"(-?)([0-9]{1,2000})(?:\.([0-9]{1,2000}))?")
_SECOND = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # UTC, or local to nowhere


def _decimal(scale: int, precision: int) -> Callable[[Any], bytes]:
    def unconverted(value: Any) -> bytes:
        match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise Misfit(f'{shown(value)} is no decimal number in quotes, such as "12.50"')
        fraction = (match[3] or "").rstrip("0")
        if len(fraction) > scale or len(match[2].lstrip("0")) + scale > precision:
            raise Misfit(f"{shown(value)} has more than {precision} digits, {scale} of them behind the point")
        # Python makes no number of more than 4,300 digits at once.
        number = int(match[1] + match[2] + fraction) * 10 ** (scale - len(fraction))
        content: bytes = number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, signed=True)
        if len(content) > DECIMAL_BYTES:
            raise Misfit(f"{shown(value)} has more than {DECIMAL_BYTES} bytes as a decimal")
        return content

    return unconverted


def _uuid(value: Any) -> bytes:
    try:
        return UUID(_text(value)).bytes
    except ValueError:
        raise Misfit(f"{shown(value)} is no UUID") from None


def _date(value: Any) -> int:
    try:
        return date.fromisoformat(_text(value)).toordinal() - _EPOCH.toordinal()
    except ValueError:
        raise Misfit(f"{shown(value)} is no date, such as 2026-12-31") from None


def _time(digits: int) -> Callable[[Any], int]:
    def unconverted(value: Any) -> int:
        match = _SECOND.fullmatch(_text(value))
        if match is None or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3]) > 59:
            raise Misfit(f"{shown(value)} is no time of day, such as 23:59:59.000")
        seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
        return int(seconds * 10**digits) + _fraction(match[4], digits, value)

    return unconverted


def _timestamp(digits: int, mark: str) -> Callable[[Any], int]:
    def unconverted(value: Any) -> int:
        match = _MOMENT.fullmatch(_text(value))
        try:
            if match is None or bool(match[3]) != bool(mark):
                raise ValueError
            moment = datetime.fromisoformat(match[1] + (match[3] or ""))
            zone = moment.utcoffset()
            # In this order: a time that is beyond the calendar in UTC cannot be read again.
            seconds = (moment.replace(tzinfo=None) - (zone or timedelta())) - _EPOCH
        except (ValueError, OverflowError):
            raise Misfit(f"{shown(value)} is no time, such as 2026-12-31T23:59:59.000{mark}") from None
        whole: int = seconds.days * 86_400 + seconds.seconds
        return int(whole * 10**digits) + _fraction(match[2], digits, value)

    return unconverted


def _fraction(text: str | None, digits: int, value: Any) -> int:
    """The digits behind a second, in units of the last of so many."""
    text = (text or "").rstrip("0")
    if len(text) > digits:
        raise Misfit(f"{shown(value)} is more exact than {digits} digits of a second")
    return int(text.ljust(digits, "0") or "0")


def from_base64(value: Any) -> bytes:
    """The bytes of a text, which is what they are read as again. Raises Misfit."""
    text = _text(value)
    try:
        content = b64decode(text, validate=True)
    except ValueError:
        content = b""
    if b64encode(content).decode() != text:
        raise Misfit(f"{shown(value)} is no Base64")
    return content


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Misfit(f"{shown(value)} is no text")
    return value


def shown(value: Any) -> str:
    """A value for a message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return f'"{value[:50]}"' if isinstance(value, str) else str(value)[:50] if value is not None else "null"

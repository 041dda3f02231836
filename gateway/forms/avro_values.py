"""The logical types of Avro as text (Avro specification, "Logical Types").

Nobody has checked the numbers: what lies beyond the years 1 to 9999 is a bad record."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from gateway.errors import BadRecord

DECIMAL_BYTES = 1024
"""The longest unscaled number of a decimal."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # as all of these: UTC, or local to nowhere
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_SECONDS = 86_400

Conversion = Callable[[Any], Any]


def conversion(schema: Mapping[str, Any]) -> Conversion | None:
    """What makes a value of the underlying type the text of its logical type; None where it has none that is known and
    valid, which is then ignored as the specification demands."""
    kind, logical = schema.get("type"), schema.get("logicalType")
    if not isinstance(logical, str):
        return None
    if logical == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(schema)
    if logical == "uuid" and kind == "fixed" and schema.get("size") == 16:
        return lambda value: str(uuid.UUID(bytes=value))
    if kind == "int" and logical == "date":
        return _date
    if (digits := _TIMES.get((kind, logical))) is not None:
        return _time(digits)
    if kind == "long" and logical in _TIMESTAMPS:
        return _timestamp(*_TIMESTAMPS[logical])
    return None


_TIMES: dict[tuple[object, object], int] = {("int", "time-millis"): 3, ("long", "time-micros"): 6}
_TIMESTAMPS = {
    f"{local}timestamp-{unit}": (digits, "" if local else "Z")
    for unit, digits in (("millis", 3), ("micros", 6), ("nanos", 9))
    for local in ("", "local-")
}
"""The digits of a second, and the mark of UTC."""


def _decimal(schema: Mapping[str, Any]) -> Conversion | None:
    scale, precision = schema.get("scale", 0), schema.get("precision")
    if type(scale) is not int or type(precision) is not int or not 0 <= scale <= precision <= 10_000:
        return None

    def text(value: bytes) -> str:
        if len(value) > DECIMAL_BYTES:
            raise BadRecord(f"a decimal of more than {DECIMAL_BYTES} bytes")
        return decimal_text(int.from_bytes(value, signed=True), scale)

    return text


def decimal_text(unscaled: int, scale: int) -> str:
    """A decimal number without an exponent."""
    sign, digits = "-" if unscaled < 0 else "", str(abs(unscaled)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"


def _date(days: int) -> str:
    try:
        return date.fromordinal(_EPOCH_DAY + days).isoformat()
    except (ValueError, OverflowError):
        raise BadRecord(f"a date {days} days after 1970 is beyond the calendar") from None


def _time(digits: int) -> Conversion:
    unit = 10**digits

    def text(value: int) -> str:
        if not 0 <= value < _DAY_SECONDS * unit:
            raise BadRecord("a time of day beyond a day")
        seconds, rest = divmod(value, unit)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:0{digits}}"

    return text


def _timestamp(digits: int, mark: str) -> Conversion:
    unit = 10**digits

    def text(value: int) -> str:
        seconds, rest = divmod(value, unit)
        return f"{moment(seconds)}.{rest:0{digits}}{mark}"

    return text


def moment(seconds: int) -> str:
    """ISO 8601 to the second, of seconds since 1970, without a zone. Raises BadRecord."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        raise BadRecord(f"a time {seconds} seconds after 1970 is beyond the calendar") from None

"""CEL's functions. Each takes the meter and the values, and returns a value or an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.filters.pattern import DYNAMIC_STEPS, Pattern, dynamic_pattern, encode
from gateway.filters.times import NANOS, part, text_of, to_duration, to_timestamp, whole
from gateway.filters.values import (
    CHARACTERS_A_STEP,
    INT_MAX,
    INT_MIN,
    OUT_OF_RANGE,
    TYPES,
    UINT_MAX,
    Duration,
    Error,
    Map,
    Meter,
    Timestamp,
    UInt,
    failed,
    spend,
)

NOT_A_NUMBER = Error("not a number")
INVALID_PATTERN = Error("invalid regular expression")
LONGEST_INTEGER = 100
LONGEST_DOUBLE = 1_000
"""Characters that the text of a number can have."""
NUMBER_STEPS = 10
DIGITS_A_STEP = 32
"""Of a double: they are read by a pattern, and rounded by all of them."""
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DOUBLE = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.IGNORECASE | re.ASCII
)
_SIZED = frozenset({str, bytes, list, dict})
_BOOLEANS = {**dict.fromkeys(("1", "t", "true", "TRUE", "True"), True),
             **dict.fromkeys(("0", "f", "false", "FALSE", "False"), False)}  # fmt: skip


def size(meter: Meter, value: Any) -> Any:
    """Characters, bytes, elements or entries."""
    kind = value.__class__
    if kind in _SIZED:
        return len(value)
    return len(value.entries) if kind is Map else failed(value)


def contains(meter: Meter, text: Any, sought: Any) -> Any:
    """Whether one text is in the other."""
    if text.__class__ is str and sought.__class__ is str:
        spend(meter, search_steps(len(text), len(sought)))
        return sought in text
    return failed(text, sought)


def search_steps(text: int, sought: int) -> int:
    """The cost of a search for a string in another one, at worst. Python's steps multiply for short ones; for longer
    ones its time is linear (CPython, Objects/stringlib/fastsearch.h)."""
    if sought > text:
        return 0
    return text * (sought if text < 2_500 else min(sought, 100)) // 1_024 + text // 100


def starts_with(meter: Meter, text: Any, beginning: Any) -> Any:
    """Whether the text begins so."""
    if text.__class__ is str and beginning.__class__ is str:
        spend(meter, len(beginning) // CHARACTERS_A_STEP)
        return text.startswith(beginning)
    return failed(text, beginning)


def ends_with(meter: Meter, text: Any, ending: Any) -> Any:
    """Whether the text ends so."""
    if text.__class__ is str and ending.__class__ is str:
        spend(meter, len(ending) // CHARACTERS_A_STEP)
        return text.endswith(ending)
    return failed(text, ending)


def matches(meter: Meter, text: Any, pattern: Any) -> Any:
    """Whether a pattern is found that is no constant, and so compiled in the time of the event."""
    if text.__class__ is not str or pattern.__class__ is not str:
        return failed(text, pattern)
    spend(meter, DYNAMIC_STEPS)
    compiled = dynamic_pattern(pattern)
    return INVALID_PATTERN if compiled is None else matched(meter, text, compiled)


def matched(meter: Meter, text: Any, pattern: Pattern) -> Any:
    """Whether a constant pattern is found."""
    if text.__class__ is not str:
        return failed(text)
    spend(meter, pattern.steps(text))
    return pattern.search(text)


def to_int(meter: Meter, value: Any) -> Any:
    """`int(value)`"""
    kind = value.__class__
    if kind is int:
        return value
    if kind is UInt:
        return int(value) if value <= INT_MAX else OUT_OF_RANGE
    if kind is float:
        # Both ends are left out, as in Google's implementations: the double next to the upper one is beyond it.
        return int(value) if INT_MIN < value < INT_MAX else OUT_OF_RANGE
    if kind is str:
        number = _read_integer(meter, value)
        return number if number.__class__ is Error or INT_MIN <= number <= INT_MAX else OUT_OF_RANGE
    return int(value) // NANOS if kind is Timestamp else failed(value)


def to_uint(meter: Meter, value: Any) -> Any:
    """`uint(value)`"""
    kind = value.__class__
    if kind is UInt:
        return value
    if kind is int:
        return UInt(value) if value >= 0 else OUT_OF_RANGE
    if kind is float:
        return UInt(int(value)) if 0 <= value < UINT_MAX else OUT_OF_RANGE
    if kind is str:
        number = _read_integer(meter, value)
        if number.__class__ is Error:
            return number
        return UInt(number) if value[0] != "-" and number <= UINT_MAX else OUT_OF_RANGE
    return failed(value)


def _read_integer(meter: Meter, text: str) -> Any:
    spend(meter, NUMBER_STEPS)
    return int(text) if len(text) <= LONGEST_INTEGER and _INTEGER.fullmatch(text) else NOT_A_NUMBER


def to_double(meter: Meter, value: Any) -> Any:
    """`double(value)`"""
    kind = value.__class__
    if kind is float:
        return value
    if kind is int or kind is UInt:
        return float(value)
    if kind is str:
        if len(value) > LONGEST_DOUBLE:
            return NOT_A_NUMBER
        spend(meter, NUMBER_STEPS + len(value) // DIGITS_A_STEP)
        return float(value) if _DOUBLE.fullmatch(value) else NOT_A_NUMBER
    return failed(value)


def to_string(meter: Meter, value: Any) -> Any:
    """`string(value)`"""
    kind = value.__class__
    if kind is str:
        return value
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is UInt:
        spend(meter, 1)
        return str(int(value))
    if kind is float:
        spend(meter, NUMBER_STEPS)
        return repr(value).removesuffix(".0")
    if kind is bytes:
        spend(meter, len(value) // CHARACTERS_A_STEP)
        try:
            return value.decode()
        except UnicodeDecodeError:
            return Error("malformed UTF-8")
    return text_of(meter, value) if kind is Timestamp or kind is Duration else failed(value)


def to_bool(meter: Meter, value: Any) -> Any:
    """`bool(value)`"""
    if value.__class__ is bool:
        return value
    return _BOOLEANS.get(value, Error("not a boolean")) if value.__class__ is str else failed(value)


def to_bytes(meter: Meter, value: Any) -> Any:
    """`bytes(value)`: of a text in UTF-8."""
    if value.__class__ is bytes:
        return value
    if value.__class__ is str:
        spend(meter, len(value) // CHARACTERS_A_STEP)
        return encode(value)
    return failed(value)


def to_dyn(meter: Meter, value: Any) -> Any:
    """`dyn(value)`: the same, of a type that is not known beforehand."""
    return value


def type_of(meter: Meter, value: Any) -> Any:
    """`type(value)`"""
    return value if value.__class__ is Error else TYPES[value.__class__]


class Function(NamedTuple):
    """The function, the numbers of its arguments (the receiver is one), and whether it is written as a member (None:
    either)."""

    call: Callable[..., Any]
    arity: range
    member: bool | None


def _milliseconds(nanos: int) -> int:
    return whole(nanos - whole(nanos, NANOS) * NANOS, 1_000_000)


_PARTS = {
    "getFullYear": part(lambda at, _: at.year),
    "getMonth": part(lambda at, _: at.month - 1),
    "getDayOfMonth": part(lambda at, _: at.day - 1),
    "getDate": part(lambda at, _: at.day),
    "getDayOfWeek": part(lambda at, _: at.isoweekday() % 7),
    "getDayOfYear": part(lambda at, _: at.timetuple().tm_yday - 1),
    "getHours": part(lambda at, _: at.hour, lambda nanos: whole(nanos, 3600 * NANOS)),
    "getMinutes": part(lambda at, _: at.minute, lambda nanos: whole(nanos, 60 * NANOS)),
    "getSeconds": part(lambda at, _: at.second, lambda nanos: whole(nanos, NANOS)),
    "getMilliseconds": part(lambda _, nanos: nanos // 1_000_000, _milliseconds),
}
_CONVERSIONS = {
    "int": to_int, "uint": to_uint, "double": to_double, "string": to_string, "bool": to_bool, "bytes": to_bytes,
    "dyn": to_dyn, "type": type_of, "timestamp": to_timestamp, "duration": to_duration,
}  # fmt: skip
FUNCTIONS: dict[str, Function] = {
    "size": Function(size, range(1, 2), None),
    "contains": Function(contains, range(2, 3), True),
    "startsWith": Function(starts_with, range(2, 3), True),
    "endsWith": Function(ends_with, range(2, 3), True),
    "matches": Function(matches, range(2, 3), None),
    **{name: Function(call, range(1, 2), False) for name, call in _CONVERSIONS.items()},
    **{name: Function(call, range(1, 3), True) for name, call in _PARTS.items()},
}
TIME_PARTS = frozenset(_PARTS)
DURATION_PARTS = frozenset({"getHours", "getMinutes", "getSeconds", "getMilliseconds"})

"""CEL's values in Python; access to them, and comparison.

An event is what the JSON parser made of it: dict, list, str, int, float, bool, None. Classes here stand for the values
that only an expression can make. A failed evaluation is a value too (`Error`). No operator has a fast path for it, so
that it falls through to `failed`. So errors cost nothing where there are none.

Work in proportion to a value is paid for from the meter first (`spend`). A step is 0.1 to 0.25 µs.
"""

from __future__ import annotations

from typing import Any

from gateway.json_text import LARGEST_INTEGER, SMALLEST_INTEGER

INT_MAX = LARGEST_INTEGER
INT_MIN = SMALLEST_INTEGER

UINT_MAX = 2**64 - 1
CHARACTERS_A_STEP = 256
"""The elements that are read, compared or copied in one step."""
FOUND_STEPS = 4
"""For each element of a list that is looked through."""
ELEMENT_STEPS = 3
"""For each pair of elements that is compared."""

Meter = list[int]
"""One number: the steps that are left."""


class OutOfSteps(Exception):
    """The evaluation has taken as many steps as it may."""


class Error:
    """A failed evaluation."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Error({self.reason!r})"


class UInt(int):
    """An unsigned integer."""

    __slots__ = ()


class Timestamp(int):
    """A point in time, in nanoseconds since the epoch."""

    __slots__ = ()


class Duration(int):
    """A length of time, in nanoseconds."""

    __slots__ = ()


class Type:
    """A type, as a value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Type({self.name!r})"


class Map:
    """A map that an expression makes. `entries` by `key_of`: the key as it was written, and the value."""

    __slots__ = ("entries",)

    def __init__(self, entries: dict[Any, tuple[Any, Any]]) -> None:
        self.entries = entries


MISSING = Error("no such key")
NO_OVERLOAD = Error("no such overload")
OVERFLOW = Error("integer overflow")
OUT_OF_RANGE = Error("out of range")

NUMBERS = frozenset({int, float, UInt})
TYPES: dict[type, Type] = {
    bool: Type("bool"), int: Type("int"), UInt: Type("uint"), float: Type("double"), str: Type("string"),
    bytes: Type("bytes"), list: Type("list"), dict: (map_type := Type("map")), Map: map_type,
    type(None): Type("null_type"), Type: Type("type"),
    Timestamp: Type("google.protobuf.Timestamp"), Duration: Type("google.protobuf.Duration"),
}  # fmt: skip
TYPE_NAMES = {each.name: each for each in TYPES.values()}
_ORDERED = frozenset({str, bytes, bool, Timestamp, Duration})
_SIZED = frozenset({str, bytes})


def spend(meter: Meter, steps: int) -> None:
    """Pay for what comes. Raises OutOfSteps."""
    meter[0] -= steps
    if meter[0] < 0:
        raise OutOfSteps


def failed(*values: Any) -> Error:
    """The result of an operator that does not apply to these values: the first error among them, or its own."""
    for value in values:
        if value.__class__ is Error:
            error: Error = value
            return error
    return NO_OVERLOAD


def plain(value: Any) -> Any:
    """A value of the event as CEL has it: an integer beyond 64 bits is a double."""
    if value.__class__ is int and not INT_MIN <= value <= INT_MAX:
        return double(value)
    return value


def double(value: Any) -> float:
    """The number as a double; infinite where it is too large."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


# Access


def select(value: Any, name: str) -> Any:
    """`value.name`"""
    kind = value.__class__
    if kind is dict:
        return plain(value.get(name, MISSING))
    if kind is Map:
        found = value.entries.get(name)
        return MISSING if found is None else found[1]
    return failed(value)


def deep(value: Any, path: tuple[str, ...]) -> Any:
    """The result of several selections in a row in the event; see `plain`."""
    for name in path:
        if value.__class__ is not dict:
            return MISSING
        value = value.get(name, MISSING)
    return value


def has(value: Any, name: str) -> Any:
    """`has(value.name)`"""
    kind = value.__class__
    if kind is dict:
        return name in value
    return name in value.entries if kind is Map else failed(value)


def key_of(value: Any) -> Any:
    """Under which a map holds this key: 1, 1u and 1.0 are one key to CEL, 1 and true are not. None: no key."""
    kind = value.__class__
    if kind is str or kind is int:
        return value
    if kind is bool:
        return (value,)
    if kind is UInt or (kind is float and value.is_integer()):
        return int(value)
    return None


def index(meter: Meter, value: Any, key: Any) -> Any:
    """`value[key]`"""
    kind, of_key = value.__class__, key.__class__
    if kind is list:
        if of_key not in NUMBERS:
            return failed(key)
        if of_key is float and not key.is_integer():
            return NO_OVERLOAD
        at = int(key)
        return plain(value[at]) if 0 <= at < len(value) else OUT_OF_RANGE
    if kind is dict:
        if of_key is str:
            spend(meter, len(key) // CHARACTERS_A_STEP)
            return plain(value.get(key, MISSING))
        return MISSING if of_key is bool or of_key in NUMBERS else failed(key)
    if kind is Map:
        if of_key is not bool and of_key is not str and of_key not in NUMBERS:
            return failed(key)
        found = value.entries.get(key_of(key))
        return MISSING if found is None else found[1]
    return failed(value, key)


def contained(meter: Meter, value: Any, holder: Any) -> Any:
    """`value in holder`"""
    kind, of_value = holder.__class__, value.__class__
    if of_value is Error:
        return value
    if kind is list:
        for element in holder:
            spend(meter, FOUND_STEPS)
            if equal(meter, value, element) is True:
                return True
        return False
    if kind is dict or kind is Map:
        if of_value is str:
            spend(meter, len(value) // CHARACTERS_A_STEP)
            return value in (holder if kind is dict else holder.entries)
        if of_value is not bool and of_value not in NUMBERS:
            return NO_OVERLOAD
        return kind is Map and (key := key_of(value)) is not None and key in holder.entries
    return failed(holder)


# Comparison


def equal(meter: Meter, left: Any, right: Any) -> Any:
    """`left == right`: values of different types are not equal, numbers are compared as numbers."""
    if left.__class__ is Error:
        return left
    if right.__class__ is Error:
        return right
    # Not by recursion: an event is nested deeper than the interpreter's stack may have left.
    waiting = [(left, right)]
    while waiting:
        a, b = waiting.pop()
        kind, other = a.__class__, b.__class__
        if kind in NUMBERS:
            if other not in NUMBERS or not _equal_numbers(plain(a), plain(b)):
                return False
        elif kind is dict or kind is Map:
            pairs = _pairs(meter, a, b) if other is dict or other is Map else None
            if pairs is None:
                return False
            waiting += pairs
        elif kind is not other:
            return False
        elif kind is list:
            if len(a) != len(b):
                return False
            spend(meter, ELEMENT_STEPS * (1 + len(a)))
            waiting += zip(a, b, strict=True)
        elif kind in _SIZED:
            if len(a) != len(b):
                return False
            spend(meter, len(a) // CHARACTERS_A_STEP)
            if a != b:
                return False
        elif a != b:
            return False
    return True


def _equal_numbers(left: Any, right: Any) -> bool:
    # Beside a double, an integer is a double: 2**63 - 1 is equal to 2.0**63, as in Google's implementations.
    if left.__class__ is float or right.__class__ is float:
        return double(left) == double(right)
    return int(left) == int(right)


def _pairs(meter: Meter, left: Any, right: Any) -> list[tuple[Any, Any]] | None:
    """The values under the same keys; None where the keys of two maps are not the same."""
    ours = left if left.__class__ is dict else left.entries
    theirs = right if right.__class__ is dict else right.entries
    if len(ours) != len(theirs):
        return None
    spend(meter, ELEMENT_STEPS * (1 + len(ours)))
    if any(key not in theirs for key in ours):
        return None
    made, also_made = left.__class__ is Map, right.__class__ is Map
    return [(value[1] if made else value, theirs[key][1] if also_made else theirs[key]) for key, value in ours.items()]


def unequal(meter: Meter, left: Any, right: Any) -> Any:
    """`left != right`"""
    found = equal(meter, left, right)
    return found if found.__class__ is Error else not found


def _comparable(meter: Meter, left: Any, right: Any) -> bool:
    kind = left.__class__
    if kind is not right.__class__ or kind not in _ORDERED:
        return False
    if kind in _SIZED:
        spend(meter, min(len(left), len(right)) // CHARACTERS_A_STEP)
    return True


def _number(value: Any, other: type) -> Any:
    return double(value) if other is float else plain(value)


def less(meter: Meter, left: Any, right: Any) -> Any:
    """`left < right`"""
    kind, other = left.__class__, right.__class__
    if kind in NUMBERS and other in NUMBERS:
        return _number(left, other) < _number(right, kind)
    return left < right if _comparable(meter, left, right) else failed(left, right)


def less_or_equal(meter: Meter, left: Any, right: Any) -> Any:
    """`left <= right`"""
    kind, other = left.__class__, right.__class__
    if kind in NUMBERS and other in NUMBERS:
        return _number(left, other) <= _number(right, kind)
    return left <= right if _comparable(meter, left, right) else failed(left, right)


def greater(meter: Meter, left: Any, right: Any) -> Any:
    """`left > right`"""
    # Not with a negation, for the sake of NaN.
    kind, other = left.__class__, right.__class__
    if kind in NUMBERS and other in NUMBERS:
        return _number(left, other) > _number(right, kind)
    return left > right if _comparable(meter, left, right) else failed(left, right)


def greater_or_equal(meter: Meter, left: Any, right: Any) -> Any:
    """`left >= right`"""
    kind, other = left.__class__, right.__class__
    if kind in NUMBERS and other in NUMBERS:
        return _number(left, other) >= _number(right, kind)
    return left >= right if _comparable(meter, left, right) else failed(left, right)

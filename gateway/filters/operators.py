"""Arithmetic, logic, literals and loops: the results of operators and macros for values known only at run time.

Failures are values (`values.Error`); only running out of steps raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import isnan
from typing import Any

from gateway.filters.times import make_duration, make_timestamp
from gateway.filters.values import (
    INT_MAX,
    INT_MIN,
    OVERFLOW,
    UINT_MAX,
    Duration,
    Error,
    Map,
    Meter,
    Timestamp,
    UInt,
    failed,
    key_of,
    plain,
    spend,
)

BY_ZERO = Error("division by zero")
JOINED_CHARACTERS_A_STEP = 100
JOINED_ELEMENTS_A_STEP = 16
Each = Callable[[Any], Any]


# Arithmetic


def add(meter: Meter, left: Any, right: Any) -> Any:
    """`left + right`"""
    kind = left.__class__
    if kind is right.__class__:
        if kind is int:
            total = left + right
            return total if INT_MIN <= total <= INT_MAX else OVERFLOW
        if kind is str or kind is bytes:
            spend(meter, (len(left) + len(right)) // JOINED_CHARACTERS_A_STEP)
            return left + right
        if kind is float:
            return left + right
        if kind is list:
            spend(meter, (len(left) + len(right)) // JOINED_ELEMENTS_A_STEP)
            return left + right
        if kind is UInt:
            return _uint(int(left) + int(right))
        if kind is Duration:
            return make_duration(int(left) + int(right))
    elif (kind is Timestamp and right.__class__ is Duration) or (kind is Duration and right.__class__ is Timestamp):
        return make_timestamp(int(left) + int(right))
    return failed(left, right)


def subtract(left: Any, right: Any) -> Any:
    """`left - right`"""
    kind = left.__class__
    if kind is right.__class__:
        if kind is int:
            total = left - right
            return total if INT_MIN <= total <= INT_MAX else OVERFLOW
        if kind is float:
            return left - right
        if kind is UInt:
            return _uint(int(left) - int(right))
        if kind is Duration or kind is Timestamp:
            return make_duration(int(left) - int(right))
    elif kind is Timestamp and right.__class__ is Duration:
        return make_timestamp(int(left) - int(right))
    return failed(left, right)


def multiply(left: Any, right: Any) -> Any:
    """`left * right`"""
    kind = left.__class__
    if kind is right.__class__:
        if kind is int:
            total = left * right
            return total if INT_MIN <= total <= INT_MAX else OVERFLOW
        if kind is float:
            return left * right
        if kind is UInt:
            return _uint(int(left) * int(right))
    return failed(left, right)


def divide(left: Any, right: Any) -> Any:
    """`left / right`: of integers towards zero, of doubles as IEEE 754 has it."""
    kind = left.__class__
    if kind is not right.__class__:
        return failed(left, right)
    if kind is float:
        if right:
            return left / right
        if isnan(left) or not left:
            return float("nan")
        negative = (str(left)[0] == "-") != (str(right)[0] == "-")
        return float("-inf") if negative else float("inf")
    if kind is int or kind is UInt:
        if not right:
            return BY_ZERO
        whole = abs(int(left)) // abs(int(right))
        if kind is UInt:
            return UInt(whole)
        whole = whole if (left < 0) == (right < 0) else -whole
        return whole if whole <= INT_MAX else OVERFLOW
    return failed(left, right)


def remainder(left: Any, right: Any) -> Any:
    """`left % right`, with the sign of the left."""
    kind = left.__class__
    if kind is right.__class__ and (kind is int or kind is UInt):
        if not right:
            return BY_ZERO
        if kind is UInt:
            return UInt(int(left) % int(right))
        if left == INT_MIN and right == -1:
            return OVERFLOW
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return failed(left, right)


def minus(value: Any) -> Any:
    """`-value`"""
    kind = value.__class__
    if kind is float:
        return -value
    if kind is int:
        return -value if value != INT_MIN else OVERFLOW
    return failed(value)


def _uint(value: int) -> Any:
    return UInt(value) if 0 <= value <= UINT_MAX else OVERFLOW


# Logic, where a value is asked for. (Where only truth is, `code` needs none of this.)


def negation(value: Any) -> Any:
    """`!value`"""
    if value is True:
        return False
    return True if value is False else failed(value)


def logic(sides: tuple[Callable[[], Any], ...], deciding: bool) -> Any:
    """`&&` (deciding: False) and `||` (True): one side that decides is enough, whatever the others do."""
    return _joined((side() for side in sides), deciding)


def _joined(values: Iterable[Any], deciding: bool) -> Any:
    wrong: Error | None = None
    for value in values:
        if value is deciding:
            return deciding
        if value is not (not deciding) and wrong is None:
            wrong = failed(value)
    return (not deciding) if wrong is None else wrong


# Literals


def make_list(values: list[Any]) -> Any:
    """`[values]`"""
    for value in values:
        if value.__class__ is Error:
            return value
    return values


def make_map(pairs: list[tuple[Any, Any]]) -> Any:
    """`{key: value}`"""
    entries: dict[Any, tuple[Any, Any]] = {}
    for key, value in pairs:
        if key.__class__ is Error or value.__class__ is Error:
            return failed(key, value)
        held = key_of(key) if key.__class__ is not float else None
        if held is None:
            return Error("unsupported type of key")
        if held in entries:
            return Error("repeated key")
        entries[held] = (key, value)
    return Map(entries)


# Loops. `each` gives the body's value (or, to `some` and `every`, its truth) for an element, `steps` is what a turn
# costs beside what is done in it.


def _elements(value: Any) -> Iterable[Any] | None:
    """The elements of a loop; None if the value has none."""
    kind = value.__class__
    if kind is list or kind is dict:
        found: Iterable[Any] = value
        return found
    return (key for key, _ in value.entries.values()) if kind is Map else None


def some(meter: Meter, steps: int, over: Any, each: Each) -> bool:
    """Whether `each` is true (of Python) for an element. Nothing to go over: no."""
    for element in _elements(over) or ():
        spend(meter, steps)
        if each(plain(element)):
            return True
    return False


def every(meter: Meter, steps: int, over: Any, each: Each) -> bool:
    """Whether it is for each. Nothing to go over: no."""
    found = _elements(over)
    if found is None:
        return False
    for element in found:
        spend(meter, steps)
        if not each(plain(element)):
            return False
    return True


def quantified(meter: Meter, steps: int, over: Any, each: Each, deciding: bool) -> Any:
    """The value of `all` (deciding: False) and `exists` (True)."""
    found = _elements(over)
    return failed(over) if found is None else _joined(_turns(meter, steps, found, each), deciding)


def exactly_one(meter: Meter, steps: int, over: Any, each: Each) -> Any:
    """The value of `exists_one`; an error in any turn is one of the whole."""
    found = _elements(over)
    if found is None:
        return failed(over)
    count = 0
    for value in _turns(meter, steps, found, each):
        if value is True:
            count += 1
        elif value is not False:
            return failed(value)
    return count == 1


def _turns(meter: Meter, steps: int, elements: Iterable[Any], each: Each) -> Iterator[Any]:
    for element in elements:
        spend(meter, steps)
        yield each(plain(element))


def mapped(meter: Meter, steps: int, over: Any, each: Each | None, keep: Each | None) -> Any:
    """`map` and `filter`: what `each` makes (None: the element) of those for which `keep` is true (None: all)."""
    found = _elements(over)
    if found is None:
        return failed(over)
    made: list[Any] = []
    for raw in found:
        spend(meter, steps)
        element = plain(raw)
        kept = True if keep is None else keep(element)
        if kept is True:
            value = element if each is None else each(element)
            if value.__class__ is Error:
                return value
            made.append(value)
        elif kept is not False:
            return failed(kept)
    return made

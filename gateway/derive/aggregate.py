"""The aggregates of the events in a window. Pure.

The result depends on the values and not on their order, since events of several partitions come in any order. Sums of
doubles stay exact until they are written, and are rounded once. Times are compared as times, and written then.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.catalog.derivation import Expression, Members
from gateway.derive.expression import Value, as_json, kind_of, read, value_of
from gateway.filters.check import base
from gateway.filters.lexer import refusal, shorten
from gateway.filters.tree import Call, Node, start
from gateway.filters.values import INT_MAX, INT_MIN, Duration, Timestamp

_RANKS = {bool: 0, int: 1, float: 1, str: 2, Timestamp: 3, Duration: 4}
"""Values of several types are compared in this order: of each the least is found, whatever came first."""
_FINEST = 1_074
"""Every double is a whole number of 2 ** -1074."""
_ONE = 1 << _FINEST


def comparable(value: Any) -> Any:
    """A value of CEL for a figure: as JSON has it, but times and durations, whose texts have another order."""
    return value if value.__class__ in (Timestamp, Duration) else as_json(value)


def counted(value: Any) -> Any:
    """The value where a figure may be made of it, else None, which counts for nothing either."""
    return value if value.__class__ in _RANKS else None


class Aggregate(Protocol):
    """One figure of a group. A value that it is not made of, an error above all, counts for nothing."""

    def add(self, value: Any) -> None:
        """One more."""
        ...

    def remove(self, value: Any) -> None:
        """One that was added."""
        ...

    def merge(self, other: Any) -> None:
        """All that another of the kind was given."""
        ...

    def result(self) -> Any:
        """The figure, or None where there is none."""
        ...


class Count:
    """`count()`: events; `count(condition)`: those of which it is true."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Any) -> None:
        """See Aggregate."""
        if value is True:
            self._count += 1

    def remove(self, value: Any) -> None:
        """See Aggregate."""
        if value is True:
            self._count -= 1

    def merge(self, other: Count) -> None:
        """See Aggregate."""
        self._count += other._count

    def result(self) -> int:
        """How many."""
        return self._count


class Sum:
    """`sum(number)`: whole numbers give a whole one, of at most 64 bits; with a double among them a double."""

    __slots__ = ("_doubles", "_parts", "_whole", "count")

    def __init__(self) -> None:
        self._whole = 0
        self._doubles = 0
        """How many of them there are."""
        self._parts = 0
        """The sum of the doubles, exactly: so many times 2 ** -1074. A sum that is a double itself would lose what is
        too large in between."""
        self.count = 0

    def add(self, value: Any) -> None:
        """See Aggregate."""
        if value.__class__ is int:
            self._whole += value
            self.count += 1
        elif value.__class__ is float:
            self._parts += _parts_of(value)
            self._doubles += 1
            self.count += 1

    def remove(self, value: Any) -> None:
        """See Aggregate."""
        if value.__class__ is int:
            self._whole -= value
            self.count -= 1
        elif value.__class__ is float:
            self._parts -= _parts_of(value)
            self._doubles -= 1
            self.count -= 1

    def merge(self, other: Sum) -> None:
        """See Aggregate."""
        self._whole += other._whole
        self._doubles += other._doubles
        self.count += other.count
        self._parts += other._parts

    def total(self) -> float:
        """As a double, rounded once; infinite where it is beyond them."""
        try:
            return ((self._whole << _FINEST) + self._parts) / _ONE
        except OverflowError:
            return math.inf

    def result(self) -> int | float | None:
        """None without a number, and where a sum of whole numbers is beyond 64 bits, or another beyond the doubles."""
        if not self.count:
            return None
        if not self._doubles:
            return self._whole if INT_MIN <= self._whole <= INT_MAX else None
        found = self.total()
        return found if math.isfinite(found) else None


def _parts_of(value: float) -> int:
    """So many times 2 ** -1074 is a double."""
    above, below = value.as_integer_ratio()
    return above << _FINEST + 1 - below.bit_length()


class Mean:
    """`avg(number)`: a double."""

    __slots__ = ("_sum",)

    def __init__(self) -> None:
        self._sum = Sum()

    def add(self, value: Any) -> None:
        """See Aggregate."""
        self._sum.add(value)

    def remove(self, value: Any) -> None:
        """See Aggregate."""
        self._sum.remove(value)

    def merge(self, other: Mean) -> None:
        """See Aggregate."""
        self._sum.merge(other._sum)

    def result(self) -> float | None:
        """None without a number, and where their sum is beyond the doubles."""
        if not self._sum.count:
            return None
        found = self._sum.total() / self._sum.count
        return found if math.isfinite(found) else None


class _Extreme:
    """All values in their order, since any of them may be taken away again."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[tuple[int, Any, bool]] = []

    def add(self, value: Any) -> None:
        rank = _RANKS.get(value.__class__)
        if rank is not None:
            insort(self._kept, (rank, value, value.__class__ is float))

    def remove(self, value: Any) -> None:
        rank = _RANKS.get(value.__class__)
        if rank is not None:
            del self._kept[bisect_left(self._kept, (rank, value, value.__class__ is float))]

    def merge(self, other: _Extreme) -> None:
        self._kept = sorted([*self._kept, *other._kept])


class SlidingLeast(_Extreme):
    """`min(value)` of what is taken away again."""

    __slots__ = ()

    def result(self) -> Any:
        """None without a value."""
        return as_json(self._kept[0][1]) if self._kept else None


class SlidingGreatest(_Extreme):
    """`max(value)` of what is taken away again."""

    __slots__ = ()

    def result(self) -> Any:
        """None without a value."""
        if not self._kept:
            return None
        # 1 before 1.0, as `min` has it.
        rank, value, _ = self._kept[-1]
        return as_json(self._kept[bisect_left(self._kept, (rank, value, False))][1])


class _Only:
    """The one value that has come first in an order."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: tuple[int, Any, bool] | None = None

    @property
    def size(self) -> int:
        """Characters of the text that it is."""
        return len(self._kept[1]) if self._kept is not None and self._kept[1].__class__ is str else 0

    def add(self, value: Any) -> None:
        rank = _RANKS.get(value.__class__)
        if rank is not None:
            self._take((rank, value, value.__class__ is float))

    def _take(self, found: tuple[int, Any, bool]) -> None:
        raise NotImplementedError

    def remove(self, value: Any) -> None:
        # What is next is known to SlidingLeast and SlidingGreatest alone, which sliding windows take.
        raise NotImplementedError

    def merge(self, other: _Only) -> None:
        if other._kept is not None:
            self._take(other._kept)

    def result(self) -> Any:
        return None if self._kept is None else as_json(self._kept[1])


class Least(_Only):
    """`min(value)`"""

    __slots__ = ()

    def _take(self, found: tuple[int, Any, bool]) -> None:
        if self._kept is None or found < self._kept:
            self._kept = found


class Greatest(_Only):
    """`max(value)`"""

    __slots__ = ()

    def _take(self, found: tuple[int, Any, bool]) -> None:
        kept = self._kept
        if kept is None or found[:2] > kept[:2] or (found[:2] == kept[:2] and found < kept):
            self._kept = found


_KINDS: dict[str, tuple[Callable[[], Aggregate], Callable[[], Aggregate]]] = {
    "count": (Count, Count),
    "sum": (Sum, Sum),
    "avg": (Mean, Mean),
    "min": (Least, SlidingLeast),
    "max": (Greatest, SlidingGreatest),
}
FUNCTIONS = tuple(_KINDS)
"""The names of the aggregates in a `select`."""
_ALWAYS: Value = lambda event, record: True  # noqa: E731


@dataclass(frozen=True, slots=True)
class Figure:
    """A member of a row: what is counted, of which value (None for `count()`)."""

    name: str
    function: str
    expression: Expression
    argument: Node | None

    def make(self, sliding: bool = False) -> Aggregate:
        """A new one, of nothing; `sliding`: values are taken away again."""
        return _KINDS[self.function][sliding]()

    def value(self) -> Value:
        """The function for what it is given of an event."""
        return _ALWAYS if self.argument is None else value_of(self.expression, self.argument, comparable)


def figures(select: Members) -> list[Figure]:
    """The aggregates of a window. Raises InvalidExpression."""
    return [_figure(name, expression) for name, expression in select]


def _figure(name: str, expression: Expression) -> Figure:
    root = read(expression)
    if not (isinstance(root, Call) and root.function in _KINDS and not root.member):
        some = ", ".join(f"{each}(…)" for each in FUNCTIONS)
        raise refusal(expression.text, start(root), f"a window selects {some}; what belongs to the key goes into by")
    if len(root.arguments) > 1 or (not root.arguments and root.function != "count"):
        raise refusal(expression.text, root.position, f"{root.function}() takes one argument")
    argument = root.arguments[0] if root.arguments else None
    if argument is not None:
        _check(root.function, expression, argument)
    return Figure(name, root.function, expression, argument)


def _check(function: str, expression: Expression, argument: Node) -> None:
    kind = base(kind_of(expression, argument))
    takes = {
        "count": {"bool"},
        "sum": {"int", "uint", "double"},
        "avg": {"int", "uint", "double"},
    }.get(function, {"int", "uint", "double", "string", "bool", "timestamp"})
    if kind not in {*takes, "dyn"}:
        raise refusal(expression.text, start(argument), f"{function}() cannot be applied to {shorten(kind)}")

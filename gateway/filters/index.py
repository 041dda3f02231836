"""An index of filters: finds those that an event can match at all, by the equalities that they require.

The filter itself still decides. The index is certain about the others: a filter that is no candidate does not match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar

from gateway.filters.tree import Call, Constant, ListOf, Node, Select, event_path

Path = tuple[str, ...]
"""The names that lead to a member of the event."""
Value = str | float | None
"""Integers and booleans too; to Python 1 and true are equal, which makes a candidate too many at the most."""
Clause = tuple[tuple[Path, frozenset[Value]], ...]
"""A necessary condition: at one of these paths the event holds one of the values beside it."""
Entry = TypeVar("Entry")

EXACT_INTEGERS = 2**53
"""Below it, int and double compare the same in CEL and in Python."""
_SCALARS = frozenset({str, int, float, bool})


def clauses(root: Node) -> tuple[Clause, ...]:
    """The conditions of every event for which the expression is true; each of them holds."""
    match root:
        case Call(function="&&", arguments=sides):
            return tuple(clause for side in sides for clause in clauses(side))
        case Call(function="||", arguments=sides):
            found = [clauses(side) for side in sides]
            return (_union([min(side, key=_breadth) for side in found]),) if all(found) else ()
        case Call(function="==", arguments=(Constant(value=value), member) | (member, Constant(value=value))):
            return _clause(member, [value])
        case Call(function="in", arguments=(member, ListOf(elements=elements))):
            values = [element.value for element in elements if isinstance(element, Constant)]
            return _clause(member, values) if len(values) == len(elements) else ()
        case Call(function="!_", arguments=(member,)):
            return _clause(member, [False])
        case Select():
            return _clause(root, [True])
    return ()


def holds(event: dict[str, Any], clause: Clause) -> bool:
    """Whether the condition holds of the event."""
    for path, values in clause:  # noqa: SIM110  (a generator would double the cost)
        if value_at(event, path) in values:
            return True
    return False


class FilterIndex(Generic[Entry]):
    """Entries by one clause each. Adding and removing one costs the same however many there are."""

    def __init__(self) -> None:
        self._paths: dict[Path, dict[Value, dict[Entry, None]]] = {}
        self._always: dict[Entry, None] = {}
        self._clauses: dict[Entry, Clause] = {}

    def add(self, entry: Entry, found: tuple[Clause, ...]) -> None:
        """Add an entry under the clause with the fewest others so far. So rare conditions among the filters (a
        title) come before frequent ones (a type). Booleans come last, because they match half of all events."""
        clause = min(found, key=self._crowd, default=None)
        if clause is None:
            self._always[entry] = None
            return
        self._clauses[entry] = clause
        for path, value in _places(clause):
            self._paths.setdefault(path, {}).setdefault(value, {})[entry] = None

    def remove(self, entry: Entry) -> None:
        """Remove an entry that was added."""
        clause = self._clauses.pop(entry, None)
        if clause is None:
            del self._always[entry]
            return
        for path, value in _places(clause):
            by_value = self._paths[path]
            del by_value[value][entry]
            if not by_value[value]:
                del by_value[value]
            if not by_value:
                del self._paths[path]

    def candidates(self, event: dict[str, Any]) -> Iterable[Entry]:
        """All entries whose filter the event may match, each once."""
        found: dict[Entry, None] | None = None
        for path, by_value in self._paths.items():
            entries = by_value.get(value_at(event, path))
            if entries:
                # An entry whose clause has several paths may be there already.
                found = entries if found is None else found | entries
        return chain(self._always, found or ())

    def _crowd(self, clause: Clause) -> tuple[bool, int]:
        counts = (
            len(by_value.get(value, ()))
            for path, values in clause
            if (by_value := self._paths.get(path))
            for value in values
        )
        return _has_boolean(clause), sum(counts)


def _places(clause: Clause) -> Iterator[tuple[Path, Value]]:
    """Where an entry with this clause is kept; nowhere for one that can never hold (`event.x in []`)."""
    for path, values in clause:
        for value in values:
            yield path, value


def _clause(member: Node, values: list[Any]) -> tuple[Clause, ...]:
    path = event_path(member)
    return (((path, frozenset(values)),),) if path and all(map(_is_exact, values)) else ()


def _is_exact(value: object) -> bool:
    """Whether CEL and Python agree on what is equal to this constant."""
    return type(value) is str or (isinstance(value, int) and -EXACT_INTEGERS < value < EXACT_INTEGERS)


def value_at(event: dict[str, Any], path: Path) -> Value:
    """The scalar at this path, or None."""
    value: Any = event
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value if type(value) in _SCALARS else None


def _union(parts: list[Clause]) -> Clause:
    values: dict[Path, frozenset[Value]] = {}
    for path, some in (condition for part in parts for condition in part):
        values[path] = values.get(path, frozenset()) | some
    return tuple(values.items())


def _breadth(clause: Clause) -> tuple[bool, int]:
    return _has_boolean(clause), sum(len(values) for _, values in clause)


def _has_boolean(clause: Clause) -> bool:
    return any(type(value) is bool for _, values in clause for value in values)

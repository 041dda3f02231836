"""One record as the expressions see it, made once and shared by all filters that are asked about it."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from cel_expr_python import cel

from gateway.json_event import LARGEST_INTEGER, SMALLEST_INTEGER

NARROW_ACTIVATIONS = 3
"""Converting a whole event costs about 9 µs, a few of its fields 2 µs. So each set of fields that filters read gets
an activation of its own, until there are so many sets that the whole event, shared by the rest, is cheaper."""


class Reads(NamedTuple):
    """What an expression reads: the variables, and the members of `event` (None: the event as a whole)."""

    variables: frozenset[str]
    members: frozenset[str] | None


EVERYTHING = Reads(frozenset({"event", "topic", "partition", "offset", "timestamp", "key"}), None)


@cache
def environment() -> Any:
    """The environment in which every expression is compiled and evaluated."""
    return cel.NewEnv(
        variables={
            "event": cel.Type.DYN,
            "topic": cel.Type.STRING,
            "partition": cel.Type.INT,
            "offset": cel.Type.INT,
            "timestamp": cel.Type.INT,
            "key": cel.Type.DYN,
        }
    )


class Subject:
    """`timestamp` in milliseconds since the epoch. The event is not changed, and must not change while this lives."""

    __slots__ = ("_activations", "_everything", "event", "key", "offset", "partition", "timestamp", "topic")

    def __init__(  # noqa: PLR0917 -- the order is that of a record
        self, event: dict[str, Any], topic: str, partition: int, offset: int, timestamp: int, key: bytes | None
    ) -> None:
        self.event = event
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self._activations: dict[Reads, Any] = {}
        self._everything: Any = None

    def activation(self, reads: Reads) -> Any:
        """An activation that holds at least what these reads need."""
        found = self._activations.get(reads)
        if found is not None:
            return found
        if self._everything is not None:
            return self._everything
        if reads.members is None or len(self._activations) >= NARROW_ACTIVATIONS:
            self._everything = found = self._make(EVERYTHING)
        else:
            self._activations[reads] = found = self._make(reads)
        return found

    def longest(self, reads: Reads) -> int:
        """How many elements the largest array or object has among the values that are read."""
        return _longest(self._members(reads)) if "event" in reads.variables else 0

    def _members(self, reads: Reads) -> dict[str, Any]:
        if reads.members is None:
            return self.event
        event = self.event
        return {name: event[name] for name in reads.members if name in event}

    def _make(self, reads: Reads) -> Any:
        values: dict[str, Any] = {}
        for name in reads.variables:
            if name == "event":
                members = self._members(reads)
                values[name] = members if _fits(members) else _fitted(members)
            elif name == "key":
                values[name] = None if self.key is None else self.key.decode("utf-8", "replace")
            else:
                values[name] = getattr(self, name)
        return environment().Activation(values)


# The C++ library turns a Python int beyond int64 into an unsigned one, or fails the whole event for it; the contract
# has it a double. A str with a lone surrogate has no UTF-8 and fails the whole event as well.
# Both are rare: look first.


def _fits(value: dict[str, Any] | list[Any]) -> bool:
    if type(value) is dict:
        for name in value:
            if not name.isascii() and not _is_unicode(name):
                return False
        members: Any = value.values()
    else:
        members = value
    for member in members:
        kind = type(member)
        if kind is str:
            if not member.isascii() and not _is_unicode(member):
                return False
        elif kind is int:
            if not SMALLEST_INTEGER <= member <= LARGEST_INTEGER:
                return False
        elif (kind is dict or kind is list) and not _fits(member):
            return False
    return True


def _fitted(value: Any) -> Any:
    """A copy with doubles for integers beyond 64 bits, and U+FFFD for lone surrogates."""
    if isinstance(value, str):
        return _replaced(value)
    if isinstance(value, dict):
        return {_replaced(name): _fitted(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_fitted(member) for member in value]
    if type(value) is int and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _replaced(text: str) -> str:
    if text.isascii() or _is_unicode(text):
        return text
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def _longest(value: dict[str, Any] | list[Any]) -> int:
    longest = len(value)
    for member in value.values() if isinstance(value, dict) else value:
        if isinstance(member, (dict, list)):
            longest = max(longest, _longest(member))
    return longest

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


class Size(NamedTuple):
    """How large the values are that an expression reads; each figure rounded up to a power of two. `text`: the longest
    string in characters; `elements`: the most elements of an array or object; `weight`: everything, in elements, a
    hundred characters counting as one."""

    text: int
    elements: int
    weight: int


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

    def __init__(
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

    def size(self, reads: Reads) -> Size:
        """Of the values in the event that are read."""
        return _size(self._members(reads))

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


def _size(event: dict[str, Any]) -> Size:
    text = count = elements = characters = 0
    waiting: list[Any] = [event]
    while waiting:
        value = waiting.pop()
        size = len(value)
        elements += size
        count = max(count, size)
        for member in value.values() if type(value) is dict else value:
            kind = type(member)
            if kind is str:
                size = len(member)
                characters += size
                text = max(text, size)
            elif kind is dict or kind is list:
                waiting.append(member)
    return Size(_power_of_two(text), _power_of_two(count), _power_of_two(elements + characters // 100))


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()

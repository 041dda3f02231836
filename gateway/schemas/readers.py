"""Compares what the events of two schemas mean for a program that reads the one and gets the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.schemas.reading import ANYTHING, NOTHING, Reading, Readings, TooLarge
from gateway.schemas.shape import Node

_SIZES = ("64 bits", "38 digits", "any number of digits")
_NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that a reader relies on and does not get. `path` is that of the value in an event."""

    path: str
    what: str
    before: str
    after: str


def differences(old: Node, new: Node) -> list[Difference]:
    """All of two dereferenced schemas. Where they are too large to be compared, that is the difference."""
    readings = Readings()
    try:
        return list(_Comparison(readings).value("", readings.of(old), readings.of(new)))
    except TooLarge:
        return [Difference("", "there are too many alternatives to compare them", "one", "another")]


def escaped(name: str) -> str:
    """A name as a step of a path (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


class _Comparison:
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def value(self, path: str, old: Reading, new: Reading) -> Iterator[Difference]:
        """The values that no longer arrive as before. If a value has never arrived, everything is new."""
        self._readings.step()
        if old is new or old.kinds == frozenset():
            return
        if old.kinds != new.kinds:
            yield Difference(path, "the type changed", _types(old), _types(new))
            return
        if new.anything and not old.anything:
            yield Difference(path, "one side of a condition says nothing of it", _types(old), "anything")
            return
        if old.formats != new.formats and old.admits("string", "integer", "number"):
            yield Difference(path, "the format changed", _formats(old), _formats(new))
        if old.size != new.size and old.kinds is not None and "integer" in old.kinds:
            yield Difference(path, "the size of whole numbers changed", _SIZES[old.size], _SIZES[new.size])
        if old.admits("object"):
            yield from self._fields(path, old, new)
            yield from self._maps(path, old, new)
        if old.admits("array"):
            yield from self._elements(path, old, new)

    def _fields(self, path: str, old: Reading, new: Reading) -> Iterator[Difference]:
        for name in {**old.fields, **new.fields}:
            pointer = f"{path}/{escaped(name)}"
            before, after = self._readings.field(old, name), self._readings.field(new, name)
            if isinstance(before, bool):
                continue  # the old one knows no such field
            if name not in new.fields and isinstance(after, bool):
                yield Difference(pointer, "the field was removed", _types(before), _NONE)
                continue
            yield from self.value(pointer, before, _reading(after))
            if name in old.always and name not in new.always:
                yield Difference(pointer, "may be missing", "required", "optional")

    def _maps(self, path: str, old: Reading, new: Reading) -> Iterator[Difference]:
        """Fields of any name, or of names that have a pattern."""
        for pattern in {**old.patterns, **new.patterns}:
            before = old.patterns.get(pattern, old.rest)
            if isinstance(before, Reading):
                after = new.patterns.get(pattern, new.rest)
                yield from self._open(f"{path}/{escaped(pattern)}", before, after, "fields of this pattern")
        if isinstance(old.rest, Reading):
            yield from self._open(f"{path}/*", old.rest, new.rest, "other fields")

    def _elements(self, path: str, old: Reading, new: Reading) -> Iterator[Difference]:
        if bool(old.positions) != bool(new.positions):
            sides = ("a type for each position" if side.positions else "one type for all" for side in (old, new))
            yield Difference(f"{path}/[]", "the type of the elements", *sides)
            return
        for position in range(max(len(old.positions), len(new.positions))):
            before, pointer = old.element(position), f"{path}/{position}"
            if isinstance(before, Reading):
                yield from self._open(pointer, before, new.element(position), "the element")
            if new.least <= position < min(old.least, len(old.positions)):
                yield Difference(pointer, "may be missing", "required", "optional")
        if isinstance(old.elements, Reading):
            yield from self._open(f"{path}/[]", old.elements, new.elements, "the type of the elements")

    def _open(self, path: str, old: Reading, new: Reading | bool, what: str) -> Iterator[Difference]:
        if isinstance(new, bool):
            yield Difference(path, what, _types(old), "anything" if new else _NONE)
        else:
            yield from self.value(path, old, new)


def _reading(side: Reading | bool) -> Reading:
    return side if isinstance(side, Reading) else ANYTHING if side else NOTHING


def _types(reading: Reading) -> str:
    if reading.kinds is None:
        return "anything"
    return " or ".join(sorted(reading.kinds, key=lambda kind: (kind == "null", kind))) or _NONE


def _formats(reading: Reading) -> str:
    return " or ".join(sorted(" and ".join(sorted(form)) or _NONE for form in reading.formats))

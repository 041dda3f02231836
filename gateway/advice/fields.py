"""Finds what `fields`, or the path of one member, names and the schemas exclude. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.advice.advice import MOST_ADVICE, Advice, kinds_of, unknown_member
from gateway.filters.lexer import shorten
from gateway.schemas.reading import Reading, Readings


def advise_on_paths(parameter: str, text: str, event: Reading, readings: Readings) -> list[Advice]:
    """The mistakes in paths that are valid. Raises TooLarge."""
    found: list[Advice] = []
    at = 0
    for written in text.split(","):
        if len(found) == MOST_ADVICE:
            break
        begin = at + len(written) - len(written.lstrip())
        at += len(written) + 1
        told = _mistake(written.strip().split("."), event, readings)
        if told is not None:
            offset, detail = told
            found.append(Advice(parameter, 1, begin + offset + 1, detail))
    return found


def _mistake(path: list[str], event: Reading, readings: Readings) -> tuple[int, str] | None:
    """What is wrong with a path, and where in it."""
    holder: Reading | bool = event
    offset = 0
    for depth, name in enumerate(path):
        holder = _element(holder)
        if not isinstance(holder, Reading) or holder.anything or holder.kinds == frozenset():
            return None
        where = ".".join(path[:depth])
        if not holder.admits("object"):
            return offset, f"{shorten(where)} is {kinds_of(holder)}, and has no member {shorten(name)!r}"
        found = readings.field(holder, name)
        if not isinstance(found, Reading) and holder.is_closed:
            return offset, unknown_member(name, holder, where, event)
        holder, offset = found, offset + len(name) + 1
    return None


def _element(holder: Reading | bool) -> Reading | bool:
    """Through arrays, a path goes into each element."""
    while isinstance(holder, Reading) and holder.kinds == frozenset({"array"}):
        if holder.positions:
            return True
        holder = holder.elements
    return holder


def leaves(reading: Reading) -> Iterator[str]:
    """The top-level members that are no object or array, as far as the schema says, in its order; not `$schema` and
    `meta`, which all have."""
    for name, part in reading.fields.items():
        plain = part.kinds is None or (part.kinds and not part.admits("object", "array"))
        if plain and name not in ("$schema", "meta"):
            yield name

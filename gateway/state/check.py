"""Whether views can be right: the expressions in them, and their keys against the schema of their stream. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.catalog.document import did_you_mean
from gateway.catalog.view import View
from gateway.definitions import Definitions
from gateway.derive.expression import condition
from gateway.errors import InvalidExpression
from gateway.schemas.reading import Reading, Readings, TooLarge

_KEY_KINDS = frozenset({"string", "integer", "boolean"})


def check_views(views: Iterable[View], definitions: Definitions, file: Path | str) -> list[str]:
    """The mistakes, each with its place (`file:line`)."""
    mistakes = []
    for view in views:
        try:
            condition(view.delete)
        except InvalidExpression as error:
            assert view.delete is not None
            mistakes.append(f"{file}:{view.delete.line}: {view.name}: delete: {error}")
        stream = definitions.catalog.streams[view.stream]
        schema = definitions.schemas.taken_by(stream)
        if schema is not None:
            found = [_fault(path, schema.document, schema.uri) for path in view.key]
            mistakes += [f"{file}:{view.line}: {view.name}: {fault}" for fault in found if fault]
    return mistakes


def _fault(path: str, document: object, uri: str) -> str | None:
    """Why no event of the schema has this member of a key."""
    readings = Readings()
    try:
        reading: Reading = readings.of(document)
        for name in path.split("."):
            found = readings.field(reading, name)
            if found is False or (found is True and reading.fields):
                return f"the key names {path}, and {uri} has no {name}{did_you_mean(name, reading.fields)}"
            if not isinstance(found, Reading):
                return None
            reading = found
    except TooLarge:
        return None
    if reading.kinds is not None and not reading.kinds & _KEY_KINDS:
        kinds = " or ".join(sorted(reading.kinds))
        return f"the key names {path}, which is {kinds} in {uri}; a member is a text, a whole number or a boolean"
    return None

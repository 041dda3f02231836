"""The columns of a table: the fields of a schema, as `gateway schemas sql` reads them. Pure.

A value that may be of several types is JSON text. A column never changes its type: a field that does continues in
a second column, whose name ends with a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.archive.layout import SYSTEM
from gateway.schemas.shape import branch_fields, merged, span_of, usual_types

Kind = Literal["json", "text", "integer", "number", "boolean", "time", "date", "list", "struct"]

_UNFIT = re.compile(r"[ ,;{}()\n\t=\0]")
"""What the name of a column in Delta must not hold (its protocol, "Column Mapping")."""
_BIGINT = range(-(2**63), 2**63)
_DEEPEST = 12
"""Levels of structures in a column; deeper ones are JSON text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of a column, or of a part of it."""

    kind: Kind
    members: Mapping[str, Shape] = field(default_factory=dict)
    item: Shape | None = None

    @property
    def is_plain(self) -> bool:
        """Whether Arrow's reader of JSON can make it: it knows no dates, and makes no JSON text."""
        parts = [*self.members.values(), *([self.item] if self.item is not None else [])]
        return self.kind not in ("json", "date") and all(part.is_plain for part in parts)

    def takes(self, other: Shape) -> bool:
        """Whether a column of this type can become one that holds the other too, by new members alone."""
        if self.kind != other.kind:
            return False
        if self.item is not None and other.item is not None:
            return self.item == other.item
        return all(name not in self.members or self.members[name].takes(part) for name, part in other.members.items())


JSON = Shape("json")


def columns_of(document: Any) -> dict[str, Shape]:
    """The columns of a schema, without those of the table itself. `document` is dereferenced."""
    return _members(merged(document), frozenset(name.casefold() for name in SYSTEM), _DEEPEST)


def grown(before: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> dict[str, tuple[str, Shape]]:
    """For each column of the table, the field that it is of, and its type: `before` is the table's columns, and
    `wanted` those of its newest schema. What the table has stays; a column that a later one follows is of no field
    (empty) any more."""
    columns: dict[str, tuple[str, Shape]] = {name: (name, shape) for name, shape in before.items()}
    for name, shape in wanted.items():
        column, number = name, 2
        while (column in before and not before[column].takes(shape)) or (column != name and column in wanted):
            if column in before and (column == name or column not in wanted):
                columns[column] = ("", before[column])
            column, number = f"{name}_{number}", number + 1
        columns[column] = (name, _both(before[column], shape) if column in before else shape)
    return columns


def _both(before: Shape, wanted: Shape) -> Shape:
    if before.kind != "struct":
        return before
    members = dict(before.members)
    for name, part in wanted.members.items():
        members[name] = _both(members[name], part) if name in members else part
    return Shape("struct", members)


def _members(node: Any, taken: frozenset[str], depth: int) -> dict[str, Shape]:
    if not isinstance(node, dict):
        return {}
    found: dict[str, Shape] = {}
    names = set(taken)
    for name, part in (node.get("properties", {}) | branch_fields(node)).items():
        # Names that differ in capitals alone are the same name to most readers.
        if name and not _UNFIT.search(name) and name.casefold() not in names:
            names.add(name.casefold())
            found[name] = _shape(part, depth)
    return found


def _shape(schema: Any, depth: int) -> Shape:
    kinds = usual_types(schema)
    if kinds == {"integer", "number"}:
        return Shape("number")
    if len(kinds) != 1 or depth == 0:
        return JSON
    kind = next(iter(kinds))
    if kind == "object":
        members = _members(schema, frozenset(), depth - 1)
        return Shape("struct", members) if members else JSON
    if kind == "array":
        items = schema.get("items")
        item = _shape(items, depth - 1) if isinstance(items, dict) and "prefixItems" not in schema else JSON
        # The elements of a list of texts cannot be marked as JSON.
        return JSON if item == JSON else Shape("list", item=item)
    if kind == "integer":
        fits = all(bound is None or bound in _BIGINT for bound in span_of(schema))
        return Shape("integer") if fits else JSON
    if kind == "string":
        formats: dict[str, Kind] = {"date-time": "time", "date": "date"}
        return Shape(formats.get(str(schema.get("format")), "text"))
    return Shape("boolean" if kind == "boolean" else "number")

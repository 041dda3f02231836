"""Gives a value of CEL its type in SQL, from the schema of the events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from gateway.filters.values import INT_MAX, INT_MIN
from gateway.schemas.shape import branch_fields, merged, span_of, types_of

NUMBERS = frozenset({"int", "double", "number"})
"""Kinds of expressions that SQL compares as numbers; `number` is either of the other two."""
SCALARS = NUMBERS | {"bool", "string"}
"""Kinds of expressions that have one value."""


@dataclass(frozen=True, slots=True)
class Type:
    """What is known of a value. `number` is what JSON may write as a whole number or not, so that CEL sees an int in
    one event and a double in another; `none` is a member that SQL cannot be asked for, and `reason` says why."""

    kind: str
    low: int = INT_MIN
    high: int = INT_MAX
    fields: Mapping[str, Type] = field(default_factory=dict)
    element: Type | None = None
    reason: str = ""
    nullable: bool = False
    """Whether it may be null in JSON, which SQL does not tell from missing. Where null is an error as missing is, that
    is the same."""

    @property
    def sql(self) -> exp.DataType:
        """The column that holds it."""
        if self.kind == "list" and self.element is not None:
            return exp.DataType(this=exp.DType.ARRAY, expressions=[self.element.sql], nested=True)
        return exp.DataType(this=_COLUMNS[self.kind])


_COLUMNS = {
    "bool": exp.DType.BOOLEAN, "int": exp.DType.BIGINT, "double": exp.DType.DOUBLE, "number": exp.DType.DOUBLE,
    "string": exp.DType.TEXT,
}  # fmt: skip
BOOL, INT, DOUBLE, STRING = Type("bool"), Type("int"), Type("double"), Type("string")


@dataclass(frozen=True, slots=True)
class Variable:
    """What a name in an expression means: the columns of a row; or, where it is no object, the one `column`; or the
    members of the JSON in the column `json`, which is NULL where there is none."""

    type: Type
    column: str | None = None
    json: str | None = None


@dataclass(frozen=True, slots=True)
class Translated:
    """An expression of SQL, and what is known of its value."""

    sql: exp.Expression
    type: Type


def type_of(schema: Any) -> Type:
    """What the values of a dereferenced schema are."""
    return _type_of(merged(schema))


def common_type(types: list[Type]) -> Type:
    """What is known of a value that is one of these: of events of several schemas."""
    first = types[0]
    if len(types) == 1:
        return first
    if any(each.nullable for each in types):
        return replace(common_type([replace(each, nullable=False) for each in types]), nullable=True)
    kinds = {each.kind for each in types}
    if len(kinds) > 1:
        if kinds <= {"int", "number"}:
            return Type("number")
        return next((each for each in types if each.kind == "none"), Type("none", reason="is of several types"))
    if first.kind == "object":
        names = dict.fromkeys(name for each in types for name in each.fields)
        fields = {name: common_type([each.fields[name] for each in types if name in each.fields]) for name in names}
        return Type("object", fields=fields)
    if first.kind == "list":
        return Type("list", element=common_type([each.element for each in types if each.element is not None]))
    return replace(first, low=min(each.low for each in types), high=max(each.high for each in types))


def _type_of(schema: Any) -> Type:
    kinds = types_of(schema)
    if kinds is None:
        return Type("none", reason="may be of any type by its schema")
    if "null" in kinds and len(kinds) > 1:
        return replace(_type_of_kinds(schema, kinds - {"null"}), nullable=True)
    return _type_of_kinds(schema, kinds)


def _type_of_kinds(schema: Any, kinds: frozenset[str]) -> Type:
    if kinds == {"integer"}:
        low, high = span_of(schema)
        if min(low or 0, 0) < INT_MIN or max(high or 0, 0) > INT_MAX:
            return Type("none", reason="may have more than 64 bits by its schema")
        return Type("int", INT_MIN if low is None else low, INT_MAX if high is None else high)
    if kinds == {"object"}:
        members = {**schema.get("properties", {}), **branch_fields(schema)}
        if not members:
            return Type("none", reason="is an object whose fields its schema does not name")
        return Type("object", fields={name: _type_of(part) for name, part in members.items()})
    if kinds == {"array"}:
        items = schema.get("items")
        element = _type_of(items) if isinstance(items, dict) and "prefixItems" not in schema else None
        if element is None or element.kind not in SCALARS:
            return Type("none", reason="is a list of something that is no text, number or truth by its schema")
        return Type("list", element=element)
    if kinds <= {"integer", "number"}:
        return Type("number")
    if len(kinds) > 1:
        return Type("none", reason="may be of several types by its schema")
    kind = {"string": "string", "boolean": "bool"}.get(next(iter(kinds)))
    return Type("none", reason="is always null by its schema") if kind is None else Type(kind)

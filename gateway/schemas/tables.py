"""`gateway schemas sql`: makes the table for the events of a schema. Pure; sqlglot writes each dialect.

Fields that the schema names become columns. Objects become the dialect's structures, and objects with any names become
maps. PostgreSQL has no nameless structures that nest, so that objects become JSONB there. A value of several types is
JSON, as text where the dialect has no such type. A column is NOT NULL if the field is required and cannot be null.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.postgres import Postgres
from sqlglot.dialects.spark import Spark

from gateway.errors import GatewayError
from gateway.schemas.flink import Flink
from gateway.schemas.shape import BRANCHES, Node, branch_fields, merged, span_of, types_of, usual_types

BIGINT = range(-(2**63), 2**63)
DECIMAL_DIGITS = 38
"""Of the largest whole number that every dialect has."""
LARGEST_NAME = 63
"""Bytes of a name in PostgreSQL, which cuts off what is longer."""
MOST_COLUMNS = 1600
"""Of a table in PostgreSQL."""
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Those that each table of PostgreSQL has of its own (its documentation, "System Columns")."""

_Kind = exp.DType


@dataclass(frozen=True, slots=True)
class _Flavour:
    """The differences of the dialects beyond their words. `json` is the type of a value that can be anything. `vast`
    is the type of integers with more digits than DECIMAL has elsewhere."""

    dialect: type[Dialect]
    nests: bool = True
    json: _Kind = _Kind.TEXT
    vast: _Kind = _Kind.TEXT
    case_counts: bool = False
    longest_name: int | None = None
    most_columns: int | None = None
    taken: frozenset[str] = frozenset()
    texts: bool = False
    """A string in an event stays one, whatever its format."""


_FLAVOURS = {
    "postgres": _Flavour(Postgres, False, _Kind.JSONB, _Kind.DECIMAL, True, LARGEST_NAME, MOST_COLUMNS, SYSTEM_COLUMNS),
    "duckdb": _Flavour(DuckDB, json=_Kind.JSON, vast=_Kind.JSON),
    "spark": _Flavour(Spark),
    "flink": _Flavour(Flink, case_counts=True),
}
DIALECTS = tuple(_FLAVOURS)
_EVENTS = _Flavour(Flink, case_counts=True, texts=True)


class NoTable(GatewayError):
    """The schema cannot be a table in this dialect; says why."""


def create_table(document: Node, dialect: str, table: str) -> str:
    """The statement, with a semicolon. `document` is dereferenced. Raises NoTable."""
    flavour = _FLAVOURS[dialect]
    fields = _fields(merged(document))
    if not fields:
        raise NoTable("the schema names no fields")
    _check_names([table, *fields], flavour, "")
    if flavour.most_columns is not None and len(fields) > flavour.most_columns:
        raise NoTable(f"the schema names {len(fields)} fields, and a table has {flavour.most_columns} columns at most")
    if taken := [name for name in fields if name in flavour.taken]:
        raise NoTable(f"{' and '.join(map(repr, taken))} cannot be a column: each table has one of that name already")
    columns = [
        exp.ColumnDef(
            this=_name(name),
            kind=_type(part, flavour, f"/{name}"),
            constraints=[exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())] if required else [],
        )
        for name, (part, required) in fields.items()
    ]
    create = exp.Create(kind="TABLE", this=exp.Schema(this=exp.Table(this=_name(table)), expressions=columns))
    return create.sql(dialect=flavour.dialect, pretty=True, identify=True) + ";"


def event_columns(document: Node) -> dict[str, exp.DataType]:
    """The columns of a table in Flink that reads the events themselves: each may be missing, and what is a text is one.
    `document` is dereferenced. Raises NoTable."""
    fields = _fields(merged(document))
    _check_names(list(fields), _EVENTS, "")
    return {name: _type(part, _EVENTS, f"/{name}") for name, (part, _) in fields.items()}


def table_name(title: str) -> str:
    """The name of the table where none is given: wiki_change for wiki/change."""
    return re.sub(r"\W+", "_", title, flags=re.ASCII)


def _fields(node: Node) -> dict[str, tuple[Any, bool]]:
    """The fields of an object, and whether each is always there. Those that only a branch names (`then`, `oneOf` …)
    come last, and may be missing."""
    fields: dict[str, tuple[Any, bool]] = {}
    required = node.get("required", [])
    for name, part in node.get("properties", {}).items():
        kinds = types_of(part)
        fields[name] = (part, name in required and kinds is not None and "null" not in kinds)
    return fields | {name: (part, False) for name, part in branch_fields(node).items()}


def _type(schema: Any, flavour: _Flavour, path: str) -> exp.DataType:
    kinds = usual_types(schema)
    if len(kinds) == 1:
        kind = next(iter(kinds))
        if kind == "object":
            return _object(schema, flavour, path)
        if kind == "array":
            return _array(schema, flavour, path)
        return _integer(schema, flavour) if kind == "integer" else _scalar(kind, schema, flavour)
    if kinds == {"integer", "number"}:
        return exp.DataType(this=_Kind.DOUBLE)
    return exp.DataType(this=flavour.json)


def _scalar(kind: str, schema: Node, flavour: _Flavour) -> exp.DataType:
    if kind == "string" and flavour.texts:
        return exp.DataType(this=_Kind.TEXT)
    if kind == "string":
        formats = {"date-time": _Kind.TIMESTAMPTZ, "date": _Kind.DATE, "uuid": _Kind.UUID}
        return exp.DataType(this=formats.get(str(schema.get("format")), _Kind.TEXT))
    return exp.DataType(this=_Kind.BOOLEAN if kind == "boolean" else _Kind.DOUBLE)


def _integer(schema: Node, flavour: _Flavour) -> exp.DataType:
    """The type that holds what the schema's bounds allow; where it has none, the usual one."""
    low, high = span_of(schema)
    extremes = [bound for bound in (low, high) if bound is not None]
    if all(bound in BIGINT for bound in extremes):
        return exp.DataType(this=_Kind.BIGINT)
    if any(abs(bound) >= 10**DECIMAL_DIGITS for bound in extremes):
        return exp.DataType(this=flavour.vast)
    digits = [exp.DataTypeParam(this=exp.Literal.number(number)) for number in (DECIMAL_DIGITS, 0)]
    return exp.DataType(this=_Kind.DECIMAL, expressions=digits)


def _object(schema: Node, flavour: _Flavour, path: str) -> exp.DataType:
    if not flavour.nests:
        return exp.DataType(this=flavour.json)
    fields = _fields(schema)
    if fields:
        _check_names(list(fields), flavour, path)
        members = [
            exp.ColumnDef(this=_name(name), kind=_type(part, flavour, f"{path}/{name}"))
            for name, (part, _) in fields.items()
        ]
        return exp.DataType(this=_Kind.STRUCT, expressions=members, nested=True)
    values = _values(schema)
    kinds = {_type(part, flavour, f"{path}/*") for part in values}
    if len(kinds) == 1:
        return exp.DataType(this=_Kind.MAP, expressions=[exp.DataType(this=_Kind.TEXT), *kinds], nested=True)
    return exp.DataType(this=flavour.json)


def _values(schema: Node) -> list[Any]:
    """The schemas of an object's values where it names no fields; none where a value may be anything."""
    rest = schema.get("additionalProperties", True)
    if rest is True and not any(keyword in schema for keyword in BRANCHES):
        rest = schema.get("unevaluatedProperties", True)
    parts = [*schema.get("patternProperties", {}).values(), *([] if rest is False else [rest])]
    return parts if all(isinstance(part, dict) and part for part in parts) else []


def _array(schema: Node, flavour: _Flavour, path: str) -> exp.DataType:
    items = schema.get("items")
    if not isinstance(items, dict) or "prefixItems" in schema:
        return exp.DataType(this=flavour.json)
    element = _type(items, flavour, f"{path}/[]")
    if not flavour.nests and element.this in (flavour.json, _Kind.ARRAY):
        return exp.DataType(this=flavour.json)
    return exp.DataType(this=_Kind.ARRAY, expressions=[element], nested=True)


def _name(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _check_names(names: list[str], flavour: _Flavour, path: str) -> None:
    where = f" (in {path})" if path else ""
    for name in names:
        if not name or "\0" in name:
            raise NoTable(f"{name!r}{where} cannot be a name in SQL")
        if flavour.longest_name is not None and len(name.encode()) > flavour.longest_name:
            raise NoTable(f"{name!r}{where} is longer than {flavour.longest_name} bytes")
    fields = names if path else names[1:]
    if not flavour.case_counts:
        twice = [name for name, count in Counter(name.casefold() for name in fields).items() if count > 1]
        if twice:
            same = " and ".join(name for name in fields if name.casefold() == twice[0])
            raise NoTable(f"{same}{where} would be the same name, since capitals do not count there")

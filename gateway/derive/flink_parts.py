"""Parts of a script for Flink: columns, keys, figures. Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from gateway.catalog.derivation import Expression
from gateway.derive.aggregate import Figure
from gateway.derive.flink_tables import fails, quoted
from gateway.derive.sql_types import DOUBLE, INT, Translated, Type
from gateway.errors import InvalidExpression
from gateway.filters.values import INT_MAX, INT_MIN
from gateway.schemas.flink import Flink

_SMALL = 2**40
"""Whole numbers up to here are added up as they are: there would have to be eight million of them in one window."""


@dataclass(frozen=True, slots=True)
class Column:
    """A member of a row: its name, and what it is made of."""

    name: str
    value: Translated

    @property
    def sql(self) -> str:
        """As it stands behind SELECT."""
        return f"{written(self.value)} AS {quoted(self.name)}"


def written(value: Translated) -> str:
    """The expression in Flink's SQL."""
    return value.sql.sql(dialect=Flink)


class Placed:
    """Says of an expression that SQL cannot have where it stands."""

    def __init__(self, expression: Expression, what: str) -> None:
        self._expression = expression
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InvalidExpression):
            raise fails(self._expression.line, f"{self._what}: {error}") from error


def plain(name: str) -> str:
    """The name of a member, of that of its column."""
    return name.removeprefix("$by_")


def rename(value: Translated, renamed: Callable[[str], str]) -> None:
    """Give the columns that an expression reads other names."""
    for column in value.sql.find_all(exp.Column):
        column.this.set("this", renamed(column.name))


def aggregate(figure: Figure, argument: Translated | None) -> Translated:
    """A figure of a window in SQL. Raises Unsayable."""
    what, line = f"{figure.name} of select", figure.expression.line
    if argument is None:
        return Translated(exp.Count(this=exp.Star()), INT)
    kind, value = argument.type.kind, argument.sql
    if figure.function == "count":
        if kind != "bool":
            raise fails(line, f"{what}: count() counts what is true")
        one = exp.Case(ifs=[exp.If(this=value, true=exp.Literal.number("1"))])
        return Translated(exp.Count(this=one), INT)
    if figure.function in {"min", "max"}:
        if kind not in {"int", "number", "double", "string"}:
            raise fails(line, f"{what}: {figure.function}() in SQL is of numbers and texts")
        return finite(Translated((exp.Min if figure.function == "min" else exp.Max)(this=value), argument.type))
    if kind != "int":
        raise fails(
            line, f"{what}: a sum of doubles depends on their order in SQL; {figure.function}() takes whole numbers"
        )
    if figure.function == "sum":
        return Translated(_whole_sum(argument), INT)
    mean = exp.Div(this=exp.Cast(this=_sum(argument), to=DOUBLE.sql), expression=exp.Count(this=value.copy()))
    return Translated(exp.Paren(this=mean), DOUBLE)


def finite(value: Translated) -> Translated:
    """JSON has no other numbers: what is none is left out."""
    if value.type.kind != "double":
        return value
    reach = exp.Literal.number(f"{sys.float_info.max!r}")
    fits = exp.LTE(this=exp.Abs(this=value.sql), expression=reach)
    return Translated(exp.Paren(this=exp.Case(ifs=[exp.If(this=fits, true=value.sql.copy())])), value.type)


def _sum(argument: Translated) -> exp.Expression:
    """The sum: as a decimal where it may have more than 64 bits."""
    value = argument.sql.copy()
    return exp.Sum(this=value if _is_small(argument) else exp.Cast(this=value, to=exp.DataType.build("DECIMAL(19, 0)")))


def _whole_sum(argument: Translated) -> exp.Expression:
    """The sum, and none where it leaves 64 bits."""
    total = _sum(argument)
    if _is_small(argument):
        return total
    fits = exp.Between(this=total, low=exp.Literal.number(str(INT_MIN)), high=exp.Literal.number(str(INT_MAX)))
    return exp.Case(ifs=[exp.If(this=fits, true=exp.Cast(this=total.copy(), to=INT.sql))])


def _is_small(value: Translated) -> bool:
    return value.type.low >= -_SMALL and value.type.high <= _SMALL


def over_window(value: Translated) -> str:
    """The same over the window `w` of each row."""
    tree = exp.Paren(this=value.sql.copy())
    for found in list(tree.find_all(exp.AggFunc)):
        found.replace(exp.Window(this=found.copy(), alias=exp.Identifier(this="w", quoted=True)))
    return str(tree.this.sql(dialect=Flink))


def identity_part(key: Column) -> str:
    """A part of a key as the text that ids are made of."""
    shown = _as_text(quoted(key.name), key.value.type)
    sign = ":" if key.value.type.kind == "string" else "="
    return f"CAST(CHAR_LENGTH({shown}) AS STRING) || '{sign}' || {shown}"


def _as_text(value: str, known: Type) -> str:
    """A part of a key, which is NULL where there is none."""
    if known.kind == "string":
        return value
    if known.kind == "bool":
        return f"CASE WHEN {value} THEN 'true' WHEN NOT ({value}) THEN 'false' END"
    return f"CAST({value} AS STRING)"


def digested(digest: str, source: str, conditions: Sequence[str]) -> str:
    """The rows, each with the digest that its id is made of."""
    where = f"\n  WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"(\n  SELECT *, MD5({digest}) AS `$digest`\n  FROM {source}{where}\n)"


def record_key(keys: list[Column], values: list[str] | None = None) -> str:
    """The key of a record, as the intake makes it: of the columns of these names, or of these values."""
    shown = values or [quoted(key.name) for key in keys]
    if len(keys) == 1:
        return _as_text(shown[0], keys[0].value.type)
    parts = [
        f"JSON_STRING({value})" if key.value.type.kind == "string" else _as_text(value, key.value.type)
        for key, value in zip(keys, shown, strict=True)
    ]
    return "'[' || " + " || ',' || ".join(parts) + " || ']'"


def milliseconds(time: str) -> str:
    """Since the epoch, as a text."""
    return f"CAST(EXTRACT(EPOCH FROM {time}) * 1000 + EXTRACT(MILLISECOND FROM {time}) AS STRING)"


UUID = " || '-' || ".join(
    f"SUBSTRING(`$digest`, {start}, {length})" for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
)
"""An id, of its digest."""

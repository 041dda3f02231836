"""Functions of CEL in SQL, and small parts of expressions. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from gateway.derive.sql_types import BOOL, DOUBLE, INT, NUMBERS, STRING, Translated, Type


def cast(expression: exp.Expression, to: Type) -> exp.Expression:
    """The value in a column of that type."""
    return exp.Cast(this=expression, to=to.sql)


def number(written: str) -> exp.Expression:
    """A number as it is written."""
    literal = exp.Literal(this=written.removeprefix("-"), is_string=False)
    return exp.Neg(this=literal) if written.startswith("-") else literal


def bare(expression: exp.Expression) -> exp.Expression:
    """A constant without the type that arithmetic needs it to have."""
    if isinstance(expression, exp.Cast) and isinstance(expression.this, exp.Literal | exp.Neg):
        return expression.this
    return expression


def not_null(expression: exp.Expression) -> exp.Expression:
    """Whether there is a value."""
    return exp.Paren(this=exp.Not(this=exp.Is(this=expression.copy(), expression=exp.Null())))


def negated(truth: exp.Expression) -> exp.Expression:
    """The opposite."""
    return exp.Not(this=exp.Paren(this=truth.copy()))


def case(*pairs: exp.Expression) -> exp.Expression:
    """The value behind the first condition that is true; NULL where none is."""
    ifs = [exp.If(this=condition, true=value) for condition, value in zip(pairs[::2], pairs[1::2], strict=True)]
    return exp.Paren(this=exp.Case(ifs=ifs))


def named(known: Type) -> str:
    """The type for a person to read."""
    return {"bool": "a truth", "int": "an int", "double": "a double", "number": "a number", "string": "a text",
            "list": "a list"}.get(known.kind, "an object")  # fmt: skip


def _size(value: Translated) -> Translated | None:
    small = Type("int", 0, 2**31 - 1)
    if value.type.kind == "string":
        return Translated(cast(exp.Length(this=value.sql), INT), small)
    return Translated(cast(exp.ArraySize(this=value.sql), INT), small) if value.type.kind == "list" else None


def _starts_with(value: Translated, beginning: Translated) -> Translated | None:
    return _part(exp.Left, value, beginning)


def _ends_with(value: Translated, ending: Translated) -> Translated | None:
    return _part(exp.Right, value, ending)


def _part(side: type[exp.Expression], value: Translated, sought: Translated) -> Translated | None:
    if value.type.kind != "string" or sought.type.kind != "string":
        return None
    text = sought.sql
    length: exp.Expression = exp.Length(this=text.copy())
    if isinstance(text, exp.Literal):
        length = exp.Literal.number(len(text.this))
    return Translated(exp.Paren(this=exp.EQ(this=side(this=value.sql, expression=length), expression=text)), BOOL)


def _contains(value: Translated, sought: Translated) -> Translated | None:
    if value.type.kind != "string" or sought.type.kind != "string":
        return None
    place = exp.StrPosition(this=value.sql, substr=sought.sql)
    return Translated(exp.Paren(this=exp.GT(this=place, expression=exp.Literal.number("0"))), BOOL)


def _double(value: Translated) -> Translated | None:
    if value.type.kind == "int":
        return Translated(cast(bare(value.sql), DOUBLE), DOUBLE)
    return Translated(value.sql, DOUBLE) if value.type.kind in NUMBERS else None


def _int(value: Translated) -> Translated | None:
    return _not_nullable(value) if value.type.kind == "int" else None


def _string(value: Translated) -> Translated | None:
    if value.type.kind == "int":
        return Translated(cast(value.sql, STRING), STRING)
    if value.type.kind == "bool":
        true, false = exp.Literal.string("true"), exp.Literal.string("false")
        return Translated(case(value.sql, true, negated(value.sql), false), STRING)
    return _not_nullable(value) if value.type.kind == "string" else None


def _bool(value: Translated) -> Translated | None:
    return _not_nullable(value) if value.type.kind == "bool" else None


def _not_nullable(value: Translated) -> Translated:
    """What a conversion gives, which fails of null."""
    return Translated(value.sql, replace(value.type, nullable=False))


FUNCTIONS: dict[str, Callable[..., Translated | None]] = {
    "size": _size, "startsWith": _starts_with, "endsWith": _ends_with, "contains": _contains, "double": _double,
    "int": _int, "string": _string, "bool": _bool,
}  # fmt: skip
"""Not among them are matches() (RE2 is not what Java has), times, bytes, and what reads numbers from texts."""

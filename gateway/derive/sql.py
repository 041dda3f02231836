"""CEL into SQL, as far as both say the same. Pure; sqlglot writes the dialect.

*CEL's error is SQL's NULL*: `false && error` is false, `true || error` is true, `!error` is an error, and what is not
true does not match. Three-valued logic says the same of NULL. A member that is missing is an error in the one and NULL
in the other. So a member that may be null by its schema is refused, with its place in the text, as is everything else
in which the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from gateway.derive.sql_functions import FUNCTIONS, bare, case, cast, named, negated, not_null, number
from gateway.derive.sql_types import (
    BOOL,
    DOUBLE,
    INT,
    NUMBERS,
    SCALARS,
    STRING,
    Translated,
    Type,
    Variable,
    common_type,
)
from gateway.errors import InvalidExpression
from gateway.filters.lexer import refusal
from gateway.filters.syntax import parse
from gateway.filters.tree import Call, Constant, Has, ListOf, Loop, Name, Node, Select, start
from gateway.filters.values import INT_MAX, INT_MIN, UInt

DEPTH = 32
"""As deep as a filter may be."""
EXACT = 2**53
"""Up to here a double holds each whole number."""
UNWRITABLE = frozenset("\0\n\r\x85\u2028\u2029")
"""What no script has within a statement: it is read line by line, by whatever a program takes for the end of one."""


def translate(text: str, variables: Mapping[str, Variable]) -> Translated:
    """What the expression is in SQL. Raises InvalidExpression with the place of what SQL does not say the same."""
    return translate_tree(text, parse(text, DEPTH), variables)


def translate_tree(text: str, root: Node, variables: Mapping[str, Variable], shown: bool = False) -> Translated:
    """The same of a part of the text that is parsed already; `shown`: null would be a value, and not as if there were
    none."""
    translated = _Translator(text, variables).translate(root)
    if shown and translated.type.nullable:
        raise refusal(text, start(root), "this may be null by its schema, and SQL does not tell null from missing")
    return translated


_COMPARISONS: dict[str, type[exp.Expression]] = {
    "==": exp.EQ, "!=": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE,
}  # fmt: skip
_ARITHMETIC: dict[str, type[exp.Expression]] = {
    "+": exp.Add, "-": exp.Sub, "*": exp.Mul, "/": exp.IntDiv, "%": exp.Mod,
}  # fmt: skip


class _Translator:
    def __init__(self, text: str, variables: Mapping[str, Variable]) -> None:
        self._text = text
        self._variables = variables

    def translate(self, node: Node) -> Translated:
        match node:
            case Constant(value=value):
                return self._constant(node, value)
            case Select() | Name() | Call(function="[]"):
                return self._member(node)
            case Has(operand=operand, field=name):
                return self._has(node, operand, name)
            case Call(function=function, arguments=arguments):
                return self._call(node, function, arguments)
            case ListOf():
                raise self._refused(node, "a list stands in SQL only behind 'in'")
            case Loop(kind=kind):
                raise self._refused(node, f"{kind}() has no counterpart in SQL", start(node))
        raise self._refused(node, "a map has no counterpart in SQL")

    def _constant(self, node: Constant, value: Any) -> Translated:
        match value:
            case bool():
                return Translated(exp.Boolean(this=value), BOOL)
            case UInt():
                raise self._refused(node, "SQL has no uint")
            case int():
                return Translated(cast(number(str(value)), INT), Type("int", value, value))
            case float() if math.isfinite(value):
                # With an exponent it is a double; without one it were a decimal number.
                written = repr(value)
                return Translated(number(written if "e" in written else f"{written}e0"), DOUBLE)
            case str() if UNWRITABLE.isdisjoint(value):
                return Translated(exp.Literal.string(value), STRING)
            case None:
                raise self._refused(node, "SQL does not tell null from missing")
        raise self._refused(node, "this constant has no counterpart in SQL")

    def _member(self, node: Node) -> Translated:
        """A member that SQL can be asked for, with a value that can be used."""
        found = self._path(node)
        if found.type.kind == "none":
            raise self._refused(node, f"this {found.type.reason}", start(node))
        if found.type.kind == "list" and isinstance(found.sql, exp.TryCast):
            raise self._refused(node, "a list of what is looked up has no counterpart in SQL", start(node))
        if found.type.kind == "object":
            raise self._refused(node, "an object as a whole has no counterpart in SQL", start(node))
        return found

    def _path(self, node: Node) -> Translated:
        names: list[str] = []
        at = node
        while True:
            match at:
                case (
                    Select(operand=operand, field=name)
                    | Call(function="[]", arguments=(operand, Constant(value=str() as name)))
                ):
                    names.append(name)
                    at = operand
                case Name(name=name) if name.lstrip(".") in self._variables:
                    return self._resolve(node, self._variables[name.lstrip(".")], names[::-1])
                case Name(name=name):
                    known = ", ".join(self._variables)
                    raise self._refused(node, f"'{name}' has no counterpart in SQL: it sees {known}", start(node))
                case _:
                    raise self._refused(node, "this has no counterpart in SQL", start(node))

    def _resolve(self, node: Node, variable: Variable, names: list[str]) -> Translated:
        known = variable.type
        for depth, name in enumerate(names, 1):
            if known.kind == "none":
                raise self._refused(node, f"{'.'.join(names[: depth - 1])} {known.reason}", start(node))
            if not UNWRITABLE.isdisjoint(name):
                raise self._refused(node, "a name with a line break has no counterpart in SQL", start(node))
            if name not in known.fields:
                raise self._refused(node, f"no schema has {'.'.join(names[:depth])}", start(node))
            known = known.fields[name]
        if variable.json is not None:
            return Translated(_json_member(variable.json, names, known), known)
        if variable.column is not None:
            names = [variable.column]
        if not names:
            return Translated(exp.Null(), known)
        column: exp.Expression = exp.Column(this=exp.Identifier(this=names[0], quoted=True))
        for name in names[1:]:
            column = exp.Dot(this=column, expression=exp.Identifier(this=name, quoted=True))
        return Translated(column, known)

    def _has(self, node: Has, operand: Node, name: str) -> Translated:
        parent = self._path(operand)
        member = self._path(Select(node.position, operand, name))
        self._check_null(node, member)
        there = not_null(member.sql)
        if not isinstance(parent.sql, exp.Null):
            # Of an object that is missing itself, has() is an error.
            there = case(not_null(parent.sql), there)
        return Translated(there, BOOL)

    def _call(self, node: Call, function: str, arguments: tuple[Node, ...]) -> Translated:
        if function in {"&&", "||"}:
            sides = [self._truth(each) for each in arguments]
            joined = sides[0]
            for side in sides[1:]:
                joined = (exp.And if function == "&&" else exp.Or)(this=joined, expression=side)
            return Translated(exp.Paren(this=joined), BOOL)
        if function == "!_":
            return Translated(exp.Paren(this=negated(self._truth(arguments[0]))), BOOL)
        if function == "?:":
            return self._choice(node, *arguments)
        if function == "in":
            return self._contained(node, *arguments)
        if function == "dyn":
            return self.translate(arguments[0])
        if function in _COMPARISONS:
            return self._compared(node, *arguments)
        if function in _ARITHMETIC or function == "-_":
            return self._calculated(node, [self.translate(each) for each in arguments])
        called = FUNCTIONS.get(function)
        result = None if called is None else called(*[self.translate(each) for each in arguments])
        if result is None:
            raise self._refused(node, f"{function}() has no counterpart in SQL that always gives the same")
        return result

    def _check_null(self, node: Node, value: Translated) -> None:
        if value.type.nullable:
            raise self._refused(
                node, "this may be null by its schema, and SQL does not tell null from missing", start(node)
            )

    def _truth(self, node: Node) -> exp.Expression:
        found = self.translate(node)
        if found.type.kind != "bool":
            raise self._refused(node, f"this is {named(found.type)}, and neither true nor false", start(node))
        return found.sql

    def _choice(self, node: Node, condition: Node, one: Node, other: Node) -> Translated:
        truth, left, right = self._truth(condition), self.translate(one), self.translate(other)
        if left.type.kind != right.type.kind or left.type.kind not in SCALARS:
            reason = (
                f"in SQL both values of '? :' are of one type, and these are {named(left.type)} and {named(right.type)}"
            )
            raise self._refused(node, reason)
        # Where the condition fails, so does the whole: an ELSE would stand for that too.
        return Translated(case(truth, left.sql, negated(truth), right.sql), common_type([left.type, right.type]))

    def _contained(self, node: Node, value: Node, holder: Node) -> Translated:
        sought = self.translate(value)
        self._check_null(value, sought)
        if isinstance(holder, ListOf):
            elements = [self.translate(each) for each in holder.elements]
            if not elements or not all(isinstance(each, Constant) for each in holder.elements):
                raise self._refused(holder, "behind 'in' SQL takes a list of constants, with one at the least")
            for element, place in zip(elements, holder.elements, strict=True):
                self._check_comparable(place, sought.type, element.type)
            listed = exp.In(this=bare(sought.sql), expressions=[bare(each.sql) for each in elements])
            return Translated(exp.Paren(this=listed), BOOL)
        held = self.translate(holder)
        if held.type.kind != "list" or held.type.element is None or held.type.element.kind != sought.type.kind:
            raise self._refused(node, f"'in' has no counterpart in SQL for {named(sought.type)} and {named(held.type)}")
        return Translated(exp.ArrayContains(this=held.sql, expression=sought.sql), BOOL)

    def _compared(self, node: Call, one: Node, other: Node) -> Translated:
        left, right = self.translate(one), self.translate(other)
        if node.function in {"==", "!="}:
            self._check_null(one, left)
            self._check_null(other, right)
        self._check_comparable(node, left.type, right.type)
        compared = _COMPARISONS[node.function](this=bare(left.sql), expression=bare(right.sql))
        return Translated(exp.Paren(this=compared), BOOL)

    def _check_comparable(self, node: Node, left: Type, right: Type) -> None:
        kinds = {left.kind, right.kind}
        if not kinds <= NUMBERS and (len(kinds) > 1 or left.kind not in SCALARS):
            raise self._refused(node, f"SQL does not compare {named(left)} with {named(right)}")
        whole = [each for each in (left, right) if each.kind == "int"]
        if len(whole) == 1 and (whole[0].low < -EXACT or whole[0].high > EXACT):
            reason = (
                "SQL compares whole numbers with others as doubles, and this one has no bounds of 53 bits by its schema"
            )
            raise self._refused(node, reason)

    def _calculated(self, node: Call, values: list[Translated]) -> Translated:
        kinds = {each.type.kind for each in values}
        sign = node.function
        if "number" in kinds:
            raise self._refused(node, "a number that may be whole in one event and not in another: write double(…)")
        if kinds == {"string"} and sign == "+":
            return Translated(exp.Paren(this=exp.DPipe(this=values[0].sql, expression=values[1].sql)), STRING)
        if kinds == {"double"} and sign in {"+", "-", "*", "-_"}:
            return Translated(_signed(sign, [each.sql for each in values]), DOUBLE)
        if kinds == {"int"}:
            return self._whole(node, values)
        between = " and ".join(named(each.type) for each in values)
        raise self._refused(node, f"'{sign.removesuffix('_')}' has no counterpart in SQL for {between}")

    def _whole(self, node: Call, values: list[Translated]) -> Translated:
        """Of whole numbers. What leaves 64 bits is an error in CEL, and another number in SQL: so it is NULL where the
        bounds of the schemas do not say that it cannot happen."""
        sign, operands = node.function, [each.sql for each in values]
        if sign in {"/", "%"}:
            divisor = values[1].type
            if divisor.low == divisor.high == 0:
                raise self._refused(node, "this divides by zero")
            if divisor.low <= 0 <= divisor.high:
                operands[1] = exp.Nullif(this=operands[1], expression=exp.Literal.number("0"))
        low, high = _span(sign, [(each.type.low, each.type.high) for each in values])
        result = _signed(sign, operands)
        if low < INT_MIN or high > INT_MAX:
            fits = _fits(sign, [each.copy() for each in operands])
            if fits is None:
                reason = "this may leave 64 bits: give its members minimum and maximum in their schema"
                raise self._refused(node, reason)
            result = case(fits, result)
        return Translated(result, Type("int", max(low, INT_MIN), min(high, INT_MAX)))

    def _refused(self, node: Node, reason: str, position: int | None = None) -> InvalidExpression:
        return refusal(self._text, node.position if position is None else position, reason)


def _json_member(column: str, names: list[str], known: Type) -> exp.Expression:
    """A member of the JSON in a column."""
    whole = exp.Column(this=exp.Identifier(this=column, quoted=True))
    if not names:
        return whole
    escaped = (name.replace("\\", "\\\\").replace("'", "\\'") for name in names)
    path = exp.Literal.string("$" + "".join(f"['{name}']" for name in escaped))
    if known.kind == "object":
        # Not of use but for whether it is there.
        return exp.Anonymous(this="JSON_QUERY", expressions=[whole, path])
    found = exp.Anonymous(this="JSON_VALUE", expressions=[whole, path])
    return found if known.kind == "string" else exp.TryCast(this=found, to=known.sql)


def _signed(sign: str, operands: list[exp.Expression]) -> exp.Expression:
    if sign == "-_":
        return exp.Paren(this=exp.Neg(this=operands[0]))
    return exp.Paren(this=_ARITHMETIC[sign](this=operands[0], expression=operands[1]))


def _span(sign: str, spans: list[tuple[int, int]]) -> tuple[int, int]:
    """The least and the greatest that can come of it."""
    (low, high), *rest = spans
    if sign == "-_":
        return -high, -low
    least, most = rest[0]
    match sign:
        case "+":
            return low + least, high + most
        case "-":
            return low - most, high - least
        case "*":
            corners = [one * other for one in (low, high) for other in (least, most)]
            return min(corners), max(corners)
        case "/":
            # By 1 or more, or by -1 or less: nothing is larger than what is divided.
            reach = max(abs(low), abs(high))
            return (
                low if least > 0 and low < 0 else -reach if least <= 0 else 0,
                reach if least <= 0 else max(high, 0),
            )
    reach = max(abs(least), abs(most)) - 1
    return -reach, reach


def _fits(sign: str, operands: list[exp.Expression]) -> exp.Expression | None:
    """Whether a sum or difference is of 64 bits, asked without making it."""
    if sign not in {"+", "-"}:
        return None
    left, right = operands
    top, bottom, zero = cast(exp.Literal.number(str(INT_MAX)), INT), _lowest(), exp.Literal.number("0")
    upper: exp.Expression
    lower: exp.Expression
    rising: exp.Expression
    falling: exp.Expression
    if sign == "+":
        upper, lower = exp.Sub(this=top, expression=right), exp.Sub(this=bottom, expression=right.copy())
        rising, falling = exp.GTE(this=right.copy(), expression=zero), exp.LT(this=right.copy(), expression=zero.copy())
    else:
        upper, lower = exp.Add(this=top, expression=right), exp.Add(this=bottom, expression=right.copy())
        rising, falling = exp.LT(this=right.copy(), expression=zero), exp.GTE(this=right.copy(), expression=zero.copy())
    return exp.Or(
        this=exp.Paren(this=exp.And(this=rising, expression=exp.LTE(this=left, expression=upper))),
        expression=exp.Paren(this=exp.And(this=falling, expression=exp.GTE(this=left.copy(), expression=lower))),
    )


def _lowest() -> exp.Expression:
    """-2^63, whose digits alone are no number of 64 bits."""
    almost = cast(exp.Literal.number(str(INT_MIN + 1)), INT)
    return exp.Paren(this=exp.Sub(this=almost, expression=exp.Literal.number("1")))

"""Infers the type of an expression from the schemas of its variables, and whether it always has a value. Pure.

An expression that can never work is a mistake: a member that no schema has, a text compared with a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gateway.catalog.document import did_you_mean
from gateway.filters.check import Kind, base, function_kind, misfit, operator_kind, shown, type_constant
from gateway.filters.lexer import refusal, shorten
from gateway.filters.tree import Call, Constant, Has, ListOf, Loop, MapOf, Name, Node, Select, dotted
from gateway.filters.values import UInt
from gateway.schemas.reading import ANYTHING, Reading, Readings

BOOLEAN = Reading(kinds=frozenset({"boolean"}))
INTEGER = Reading(kinds=frozenset({"integer"}))
NUMBER = Reading(kinds=frozenset({"number"}))
TEXT = Reading(kinds=frozenset({"string"}))
TIME = Reading(kinds=frozenset({"string"}), formats=frozenset({frozenset({"date-time"})}))
_NULL = Reading(kinds=frozenset({"null"}))
_LIST = Reading(kinds=frozenset({"array"}))
_MAP = Reading(kinds=frozenset({"object"}))

_CEL: dict[frozenset[str], Kind] = {
    BOOLEAN.kinds or frozenset(): "bool",
    INTEGER.kinds or frozenset(): "int",
    TEXT.kinds or frozenset(): "string",
    _NULL.kinds or frozenset(): "null",
    _LIST.kinds or frozenset(): ("list", "dyn"),
    _MAP.kinds or frozenset(): ("map", "string", "dyn"),
}
_READINGS: dict[str, Reading] = {
    "bool": BOOLEAN, "int": INTEGER, "uint": INTEGER, "double": NUMBER, "string": TEXT, "null": _NULL,
    "list": _LIST, "map": _MAP, "timestamp": TIME, "duration": TEXT,
}  # fmt: skip
_CONSTANTS: dict[type, tuple[Reading, Kind]] = {
    bool: (BOOLEAN, "bool"), int: (INTEGER, "int"), UInt: (INTEGER, "uint"), float: (NUMBER, "double"),
    str: (TEXT, "string"), bytes: (ANYTHING, "bytes"), type(None): (_NULL, "null"),
}  # fmt: skip
_ARITHMETIC = frozenset({"+", "-", "*"})
_NEVER_FAIL = frozenset({"==", "!=", "&&", "||", "!_", "-_", "size", "contains", "startsWith", "endsWith", "string"})
"""What gives a value wherever its arguments are of the types that it takes."""
_COMPARED = frozenset({"<", "<=", ">", ">=", "+", "-", "*"})
"""The same; of whole numbers, but for those that are too large."""


class Given(NamedTuple):
    """What an expression gives: a value as JSON has it, its type in CEL, and whether there always is one."""

    reading: Reading
    kind: Kind
    always: bool


def cel_kind(reading: Reading) -> Kind:
    """The type that CEL has for values of JSON, where it is one."""
    return _CEL.get(reading.kinds, "dyn") if reading.kinds is not None else "dyn"


def given(reading: Reading, always: bool) -> Given:
    """A value that is as a schema says."""
    return Given(reading, cel_kind(reading), always)


RECORD: Mapping[str, Given] = {
    "topic": given(TEXT, True),
    "partition": given(INTEGER, True),
    "offset": given(INTEGER, True),
    "timestamp": given(INTEGER, True),
    "key": given(replace(TEXT, kinds=frozenset({"string", "null"})), True),
}
"""What expressions see of a record."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Infers what an expression gives. `scope` is what each name means; with `allow_unknown`, a member that no schema
    has may be anything."""

    text: str
    readings: Readings
    allow_unknown: bool = False

    def of(self, node: Node, scope: Mapping[str, Given]) -> Given:
        """Raises InvalidExpression with the place of what cannot be right, and TooLarge."""
        if type_constant(node, scope) is not None:
            return Given(ANYTHING, "type", True)
        match node:
            case Constant(value=value):
                reading, kind = _CONSTANTS[type(value)]
                return Given(reading, kind, True)
            case Name(name=name):
                return scope[name.lstrip(".")]
            case Select(operand=operand, field=field):
                return self._member(node, operand, field, scope)
            case Has(operand=operand, field=field):
                self._member(node, operand, field, scope)
                return Given(BOOLEAN, "bool", self.of(operand, scope).always)
            case ListOf(elements=elements):
                found = [self.of(each, scope) for each in elements]
                inside = self.readings.either([each.reading for each in found]) if found else ANYTHING
                return Given(replace(_LIST, elements=inside), ("list", "dyn"), all(each.always for each in found))
            case MapOf(entries=entries):
                return self._map(entries, scope)
            case Loop():
                return self._loop(node, scope)
            case Call():
                return self._call(node, [self.of(each, scope) for each in node.arguments])
        raise AssertionError(node)

    def _member(self, node: Node, operand: Node, field: str, scope: Mapping[str, Given]) -> Given:
        holder = self.of(operand, scope)
        if not holder.reading.admits("object") or base(holder.kind) not in {"dyn", "map"}:
            raise refusal(self.text, node.position, f"{dotted(operand) or 'it'} is {_told(holder)}, and has no members")
        reading = holder.reading
        found = self.readings.field(reading, field)
        known = bool(reading.fields or reading.patterns) or reading.rest is not True
        if found is False or (found is True and known):
            if self.allow_unknown:
                return Given(ANYTHING, "dyn", False)
            hint = did_you_mean(field, reading.fields)
            where = dotted(operand) or "it"
            raise refusal(self.text, node.position, f"no schema has {shorten(field)} in {where.lstrip('.')}{hint}")
        if found is True:
            return Given(ANYTHING, "dyn", False)
        only_object = reading.kinds == frozenset({"object"})
        return given(found, holder.always and only_object and field in reading.always and not found.anything)

    def _map(self, entries: tuple[tuple[Node, Node], ...], scope: Mapping[str, Given]) -> Given:
        fields: dict[str, Reading] = {}
        always = True
        for key, value in entries:
            self.of(key, scope)
            found = self.of(value, scope)
            always = always and found.always and isinstance(key, Constant)
            if isinstance(key, Constant) and isinstance(key.value, str):
                fields[key.value] = found.reading
        return Given(replace(_MAP, fields=fields, always=frozenset(fields)), ("map", "string", "dyn"), always)

    def _loop(self, node: Loop, scope: Mapping[str, Given]) -> Given:
        over = self.of(node.over, scope)
        if base(over.kind) not in {"dyn", "list", "map"}:
            raise refusal(self.text, node.position, f"{node.kind}() cannot be applied to {_told(over)}")
        elements = over.reading.elements
        is_list = over.reading.kinds == frozenset({"array"}) and isinstance(elements, Reading)
        element = (
            given(elements, over.always) if is_list and isinstance(elements, Reading) else Given(ANYTHING, "dyn", False)
        )
        within = {**scope, node.variable: element}
        body = self.of(node.body, within)
        kept = body if node.keep is None else self.of(node.keep, within)
        always = over.always and body.always and kept.always
        if node.kind == "map":
            return Given(replace(_LIST, elements=body.reading), ("list", "dyn"), always)
        if node.kind == "filter":
            return Given(replace(_LIST, elements=element.reading), ("list", "dyn"), always)
        return Given(BOOLEAN, "bool", always)

    def _call(self, node: Call, arguments: list[Given]) -> Given:
        name = node.function
        kinds = [each.kind for each in arguments]
        is_function = name[0].isalpha() and name != "in"
        kind = function_kind(name, kinds) if is_function else operator_kind(name, kinds)
        if kind is None:
            reason = f"{name}() cannot be applied to {shown(*kinds)}" if is_function else misfit(name, kinds)
            raise refusal(self.text, node.position, reason)
        always = all(each.always for each in arguments) and self._never_fails(name, kinds)
        if name == "?:":
            return Given(self.readings.either([each.reading for each in arguments[1:]]), kind, always)
        if name == "[]":
            return self._element(node, arguments, kind)
        numbers = [each.reading.kinds for each in arguments]
        if name in _ARITHMETIC and all(each is not None and each <= {"integer", "number"} for each in numbers):
            whole = all(each == INTEGER.kinds for each in numbers)
            return Given(INTEGER if whole else NUMBER, kind, always)
        return Given(_READINGS.get(base(kind), ANYTHING), kind, always)

    def _never_fails(self, name: str, kinds: list[Kind]) -> bool:
        return name == "?:" or (name in _NEVER_FAIL | _COMPARED and (name in {"==", "!="} or "dyn" not in kinds))

    def _element(self, node: Call, arguments: list[Given], kind: Kind) -> Given:
        holder, key = arguments[0], node.arguments[1]
        if isinstance(key, Constant) and isinstance(key.value, str) and holder.reading.admits("object"):
            found = self.readings.field(holder.reading, key.value)
            if isinstance(found, Reading):
                return given(found, holder.always and key.value in holder.reading.always)
        elements = holder.reading.elements
        if isinstance(elements, Reading) and holder.reading.kinds == frozenset({"array"}):
            return given(elements, False)
        return Given(_READINGS.get(base(kind), ANYTHING), kind, False)


def _told(one: Given) -> str:
    kinds = one.reading.kinds
    return f"of type {' or '.join(sorted(kinds))}" if kinds else shown(one.kind)


def schema_of(reading: Reading) -> dict[str, Any]:
    """A JSONSchema for what is read so."""
    schema: dict[str, Any] = {}
    if reading.kinds is not None:
        kinds = sorted(reading.kinds)
        schema["type"] = kinds[0] if len(kinds) == 1 else kinds
    formats = {name for names in reading.formats for name in names}
    if len(formats) == 1 and len(reading.formats) == 1 and reading.admits("string"):
        schema["format"] = formats.pop()
    if reading.kinds is not None and "object" in reading.kinds and reading.fields:
        schema["properties"] = {name: schema_of(one) for name, one in reading.fields.items()}
        if reading.always:
            schema["required"] = sorted(reading.always)
    if reading.kinds is not None and "array" in reading.kinds and isinstance(reading.elements, Reading):
        schema["items"] = schema_of(reading.elements)
    return schema

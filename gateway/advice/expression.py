"""Finds what an expression asks of events that their schemas exclude. Pure.

Each part of the expression is read as what it may give: a `Reading`, as that of a schema. Where nothing is known, it
may be anything, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.advice.advice import MOST_ADVICE, Advice, kinds_of, never, unknown_member
from gateway.filters.check import type_constant
from gateway.filters.functions import TIME_PARTS
from gateway.filters.lexer import place, shorten
from gateway.filters.tree import Call, Constant, Has, ListOf, Loop, MapOf, Name, Node, Select, start
from gateway.filters.values import UInt
from gateway.schemas.reading import ANYTHING, Reading, Readings

_LONGEST_CONSTANT = 40


def _of(*kinds: str) -> Reading:
    return Reading(kinds=frozenset(kinds))


TEXT, BOOLEAN, NUMBER, INTEGER, NULL, LIST, OBJECT = (
    _of(kind) for kind in ("string", "boolean", "number", "integer", "null", "array", "object")
)
_CONSTANTS: dict[type, Reading] = {
    bool: BOOLEAN, int: INTEGER, UInt: INTEGER, float: NUMBER, str: TEXT, bytes: ANYTHING, type(None): NULL,
}  # fmt: skip
_VARIABLES = {
    "topic": TEXT, "partition": INTEGER, "offset": INTEGER, "timestamp": INTEGER, "key": _of("string", "null"),
}  # fmt: skip
_EQUALITIES = frozenset({"==", "!="})
_ORDERS = frozenset({"<", "<=", ">", ">="})
_ORDERED = ("string", "integer", "number", "boolean", "timestamp", "duration")
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "-_"})
_JOINED = frozenset({"string", "integer", "number", "array"})
_SUBTRACTED = _of("number", "timestamp", "duration")
_ADDED = _of("number", "timestamp", "duration", "string", "array")
_TAKES = {
    "contains": TEXT, "startsWith": TEXT, "endsWith": TEXT, "matches": TEXT, "size": _of("string", "array", "object"),
    **dict.fromkeys(TIME_PARTS, _of("timestamp", "duration")),
}  # fmt: skip
"""What the first argument of a function may be, where it may not be anything."""
_GIVES = {
    "size": INTEGER, "contains": BOOLEAN, "startsWith": BOOLEAN, "endsWith": BOOLEAN, "matches": BOOLEAN,
    "int": INTEGER, "uint": INTEGER, "double": NUMBER, "string": TEXT, "bool": BOOLEAN,
    "timestamp": _of("timestamp"), "duration": _of("duration"), **dict.fromkeys(TIME_PARTS, INTEGER),
}  # fmt: skip


def advise_on_filter(text: str, root: Node, event: Reading, readings: Readings) -> list[Advice]:
    """The mistakes in an expression that is valid, as they stand in its text. Raises TooLarge."""
    reader = _Reader(text, event, readings)
    reader.truth(root, {"event": event, **_VARIABLES})
    return sorted(dict.fromkeys(reader.found), key=lambda advice: (advice.line, advice.column))


class _Reader:
    def __init__(self, text: str, event: Reading, readings: Readings) -> None:
        self._text = text
        self._event = event
        self._readings = readings
        self.found: list[Advice] = []

    def truth(self, node: Node, scope: Mapping[str, Reading]) -> None:
        """A part that has to be true or false."""
        self._check(node, self.read(node, scope), BOOLEAN, "a condition takes true or false")

    def read(self, node: Node, scope: Mapping[str, Reading]) -> Reading:
        """What a part may give."""
        self._readings.step()
        if type_constant(node, scope) is not None:
            return ANYTHING
        match node:
            case Constant(value=value):
                return _CONSTANTS[type(value)]
            case Name(name=name):
                return scope.get(name) or ({"event": self._event, **_VARIABLES}).get(name.lstrip("."), ANYTHING)
            case Select(operand=operand, field=field):
                return self._member(operand, field, self._name_at(node), scope)
            case Has(operand=operand, field=field):
                self._member(operand, field, self._name_at(node), scope)
                return BOOLEAN
            case ListOf(elements=elements):
                found = [self.read(each, scope) for each in elements]
                return replace(LIST, elements=self._readings.either(found) if found else True)
            case MapOf(entries=entries):
                for key, value in entries:
                    self.read(key, scope)
                    self.read(value, scope)
                return OBJECT
            case Loop():
                return self._loop(node, scope)
            case Call():
                return self._call(node, scope)
        return ANYTHING

    def _name_at(self, node: Select | Has) -> int:
        """Where the name of the member stands; the node is placed at the dot, or at `has`."""
        begin = start(node.operand) if isinstance(node, Has) else node.position
        at = self._text.find(node.field, begin)
        if isinstance(node, Has):
            # It is the last of the names within the brackets.
            end = self._text.find(")", begin)
            at = self._text.rfind(node.field, begin, end if end > 0 else None)
        return at if at >= 0 else node.position

    def _member(self, operand: Node, name: str, position: int, scope: Mapping[str, Reading]) -> Reading:
        holder = self.read(operand, scope)
        return self._field(holder, name, _written(operand), position)

    def _field(self, holder: Reading, name: str, where: str, position: int) -> Reading:
        if not holder.admits("object"):
            self._tell(position, f"{shorten(where)} is {kinds_of(holder)}, and has no member {shorten(name)!r}")
            return ANYTHING
        found = self._readings.field(holder, name)
        if isinstance(found, Reading):
            return ANYTHING if found.anything or found.kinds == frozenset() else found
        if holder.is_closed:
            self._tell(position, unknown_member(name, holder, where, self._event))
        return ANYTHING

    def _loop(self, node: Loop, scope: Mapping[str, Reading]) -> Reading:
        over = self.read(node.over, scope)
        if not over.admits("array", "object"):
            self._tell(start(node.over), f"{_written(node.over)} is {kinds_of(over)}, and {node.kind}() takes a list")
        element = ANYTHING
        if over.kinds == LIST.kinds and isinstance(over.elements, Reading) and not over.positions:
            element = over.elements
        elif over.kinds == OBJECT.kinds:
            element = TEXT
        within = {**scope, node.variable: element}
        if node.keep is not None:
            self.truth(node.keep, within)
        if node.kind == "map":
            return replace(LIST, elements=self.read(node.body, within))
        self.truth(node.body, within)
        return over if node.kind == "filter" else BOOLEAN

    def _call(self, node: Call, scope: Mapping[str, Reading]) -> Reading:
        name, arguments = node.function, node.arguments
        if name in {"&&", "||", "!_"}:
            for each in arguments:
                self.truth(each, scope)
            return BOOLEAN
        if name == "?:":
            self.truth(arguments[0], scope)
            return self._readings.either([self.read(each, scope) for each in arguments[1:]])
        if name == "[]":
            return self._element(node, scope)
        found = [self.read(each, scope) for each in arguments]
        if name in _EQUALITIES or name in _ORDERS:
            self._compare(node, found)
            return BOOLEAN
        if name == "in":
            self._within(node, found)
            return BOOLEAN
        if name in _ARITHMETIC:
            return self._arithmetic(node, found)
        if found and name in _TAKES:
            self._check(arguments[0], found[0], _TAKES[name], f"{name}() takes {kinds_of(_TAKES[name])}")
        return _GIVES.get(name, ANYTHING)

    def _element(self, node: Call, scope: Mapping[str, Reading]) -> Reading:
        holder, key = self.read(node.arguments[0], scope), node.arguments[1]
        if isinstance(key, Constant) and isinstance(key.value, str):
            return self._field(holder, key.value, _written(node.arguments[0]), key.position)
        self.read(key, scope)
        known = holder.kinds == LIST.kinds and isinstance(holder.elements, Reading) and not holder.positions
        return holder.elements if known and isinstance(holder.elements, Reading) else ANYTHING

    def _compare(self, node: Call, found: list[Reading]) -> None:
        left, right = found
        first, second = node.arguments
        if comparable(left, right) and not (node.function in _ORDERS and self._unordered(left, right)):
            if node.function in _EQUALITIES:
                for reading, other, constant in ((left, first, second), (right, second, first)):
                    self._be_one_of(reading, other, constant)
            return
        hint = ""
        for reading, beside, other, against in ((left, second, first, right), (right, first, second, left)):
            if isinstance(beside, Constant):
                hint = hint or _meant(reading, beside, other)
            elif reading.kinds == TEXT.kinds and against.kinds == _of("timestamp").kinds:
                hint = f"; did you mean timestamp({shorten(_written(other))})?"
        sides = f"{_told(first, left)}, and {_told(second, right)}"
        if isinstance(second, Constant) and second.value is None:
            sides = f"{_told(first, left)}, and never null"
        self._tell(start(node), f"'{node.function}' compares what is never alike: {sides}{hint}")

    def _be_one_of(self, reading: Reading, node: Node, constant: Node) -> None:
        """Tell of a text that a member with a list of texts never has."""
        texts = None if reading.anything or reading.kinds is None else reading.texts
        if not texts or not isinstance(constant, Constant) or not isinstance(constant.value, str):
            return
        if constant.value not in texts:
            self._tell(constant.position, never(_written(node), _literal(constant.value), constant.value, texts))

    def _unordered(self, left: Reading, right: Reading) -> bool:
        return not all(side.admits(*_ORDERED) for side in (left, right))

    def _within(self, node: Call, found: list[Reading]) -> None:
        value, over = found
        if not over.admits("array", "object"):
            written = shorten(_written(node.arguments[1]))
            sought = shorten(_written(node.arguments[0]))
            hint = f"; did you mean {written}.contains({sought})?" if TEXT.kinds == over.kinds else ""
            self._tell(start(node.arguments[1]), f"{written} is {kinds_of(over)}, and 'in' takes a list{hint}")
            return
        if isinstance(node.arguments[1], ListOf):
            for each in node.arguments[1].elements:
                element = self.read(each, {}) if isinstance(each, Constant) else ANYTHING
                if isinstance(each, Constant) and not comparable(value, element):
                    hint = _meant(value, each, node.arguments[0])
                    sides = f"{_told(node.arguments[0], value)}, and {_told(each, element)}"
                    self._tell(each.position, f"'in' compares what is never alike: {sides}{hint}")
                else:
                    self._be_one_of(value, node.arguments[0], each)
        elif over.kinds == LIST.kinds and isinstance(over.elements, Reading):
            if comparable(value, over.elements):
                self._be_one_of(over.elements, node.arguments[1], node.arguments[0])
                return
            sides = f"{_told(node.arguments[0], value)}, and the elements are {kinds_of(over.elements)}"
            self._tell(start(node), f"'in' compares what is never alike: {sides}")

    def _arithmetic(self, node: Call, found: list[Reading]) -> Reading:
        takes = _ADDED if node.function == "+" else _SUBTRACTED
        for argument, each in zip(node.arguments, found, strict=True):
            self._check(argument, each, takes, f"'{node.function.removesuffix('_')}' takes {kinds_of(takes)}")
        numbers = frozenset({"integer", "number"})
        if node.function == "+" and all(each.kinds and each.kinds <= _JOINED for each in found):
            left, right = found
            if not comparable(left, right):
                first, second = node.arguments
                self._tell(start(node), f"'+' joins what is alike: {_told(first, left)}, and {_told(second, right)}")
        return NUMBER if all(each.kinds is not None and each.kinds <= numbers for each in found) else ANYTHING

    def _check(self, node: Node, found: Reading, takes: Reading, what: str) -> None:
        if not comparable(found, takes):
            self._tell(start(node), f"{_told(node, found)}, and {what}")

    def _tell(self, position: int, detail: str) -> None:
        if len(self.found) < MOST_ADVICE:
            self.found.append(Advice("filter", *place(self._text, position), detail))


def comparable(one: Reading, other: Reading) -> bool:
    """Whether values of the two may be of the same type; whole numbers are numbers."""
    if one.kinds is None or other.kinds is None or one.anything or other.anything:
        return True
    return not _families(one.kinds).isdisjoint(_families(other.kinds))


def _families(kinds: frozenset[str]) -> frozenset[str]:
    return frozenset("number" if kind == "integer" else kind for kind in kinds)


def _written(node: Node) -> str:
    """A part of the expression as it is written, as far as it is short and plain."""
    match node:
        case Name(name=name):
            return name.lstrip(".")
        case Select(operand=operand, field=field):
            return f"{_written(operand)}.{field}"
        case Call(function="[]", arguments=(operand, Constant(value=str() as key))):
            return f'{_written(operand)}["{key}"]'
        case Constant(value=value) if value is None or isinstance(value, (bool, int, float, str)):
            return _literal(value)
    return "it"


def _literal(value: Any) -> str:
    if isinstance(value, str):
        shown = value if len(value) <= _LONGEST_CONSTANT else value[: _LONGEST_CONSTANT - 1] + "…"
        return f'"{shown}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _told(node: Node, reading: Reading) -> str:
    return f"{shorten(_written(node))} is {kinds_of(reading)}"


def _meant(reading: Reading, constant: Constant, other: Node) -> str:
    """What a constant should have been, to be like the other side."""
    value, name = constant.value, shorten(_written(other))
    if isinstance(value, str) and reading.admits("boolean") and value.lower() in ("true", "false"):
        return f"; did you mean {value.lower()} without quotes?"
    if isinstance(value, str) and reading.admits("integer", "number") and _is_number(value):
        return f"; did you mean {shorten(value.strip())} without quotes?"
    if value is None:
        return f"; has({name}) tells whether it is there" if isinstance(other, Select) else ""
    if reading.admits("string") and reading.kinds is not None:
        return f'; did you mean "{_literal(value)}" in quotes?'
    if reading.kinds == LIST.kinds:
        return f"; did you mean {_literal(value)} in {name}?"
    if reading.kinds == BOOLEAN.kinds and value in (0, 1):
        return f"; did you mean {'true' if value else 'false'}?"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return len(text) <= _LONGEST_CONSTANT

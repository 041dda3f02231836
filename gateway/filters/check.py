"""Checks the types of an expression before it is evaluated. It refuses what cannot be right; `dyn` may be any type."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gateway.filters.functions import DURATION_PARTS, FUNCTIONS, TIME_PARTS
from gateway.filters.lexer import LONGEST_QUOTE, refusal, shorten
from gateway.filters.syntax import MACROS, RELATIONS
from gateway.filters.times import named_zone, zone_names
from gateway.filters.tree import Call, Constant, Has, ListOf, Loop, MapOf, Name, Node, Select, dotted, start
from gateway.filters.values import TYPE_NAMES, Type, UInt

Kind = str | tuple[Any, ...]
"""`dyn`, the name of a type, or `("list", element)` and `("map", key, value)`."""
Scope = Mapping[str, Any]

VARIABLES: dict[str, Kind] = {
    "event": "dyn", "topic": "string", "partition": "int", "offset": "int", "timestamp": "int", "key": "dyn",
}  # fmt: skip
_CONSTANTS: dict[type, Kind] = {
    bool: "bool", int: "int", UInt: "uint", float: "double", str: "string", bytes: "bytes", type(None): "null",
}  # fmt: skip
_NUMBERS = {"int", "uint", "double"}
_SAME = {
    "+": {*_NUMBERS, "string", "bytes", "list", "duration"},
    "-": {*_NUMBERS, "duration"},
    "*": _NUMBERS,
    "/": _NUMBERS,
    "%": {"int", "uint"},
}
_MIXED: dict[tuple[str, str, str], Kind] = {
    ("+", "timestamp", "duration"): "timestamp",
    ("+", "duration", "timestamp"): "timestamp",
    ("-", "timestamp", "duration"): "timestamp",
    ("-", "timestamp", "timestamp"): "duration",
}
_ORDERED = {*_NUMBERS, "string", "bytes", "bool", "timestamp", "duration"}
_TAKES: dict[str, tuple[set[str], Kind]] = {
    "size": ({"string", "bytes", "list", "map"}, "int"),
    "contains": ({"string"}, "bool"),
    "startsWith": ({"string"}, "bool"),
    "endsWith": ({"string"}, "bool"),
    "matches": ({"string"}, "bool"),
    "int": ({*_NUMBERS, "string", "timestamp"}, "int"),
    "uint": ({*_NUMBERS, "string"}, "uint"),
    "double": ({*_NUMBERS, "string"}, "double"),
    "string": ({*_NUMBERS, "string", "bool", "bytes", "timestamp", "duration"}, "string"),
    "bool": ({"bool", "string"}, "bool"),
    "bytes": ({"bytes", "string"}, "bytes"),
    "timestamp": ({"timestamp", "string", "int"}, "timestamp"),
    "duration": ({"duration", "string"}, "duration"),
}
"""The types of the first argument, and those of the result."""
_CALLABLE = (*FUNCTIONS, "has", *dict.fromkeys(name for name, _ in MACROS))
KEYWORDS_ELSEWHERE = {
    "none": "null",
    "nil": "null",
    "undefined": "null",
    "null": "null",
    "true": "true",
    "false": "false",
}
"""As other languages write constants."""
MOST_ZONES = 8
"""Time zones in one filter: each that was not used before is read from a file."""


def check(text: str, root: Node) -> Kind:
    """The type of the expression's value. Raises InvalidExpression."""
    return _Checker(text).kind(root, VARIABLES)


def type_constant(node: Node, scope: Scope) -> Type | None:
    """The type that a name means (`int`, `google.protobuf.Duration`), where it is no variable."""
    name = dotted(node)
    if name is None or name.split(".")[0] in scope:
        return None
    return TYPE_NAMES.get(name.lstrip("."))


def base(kind: Kind) -> str:
    """The name of the type."""
    return kind if isinstance(kind, str) else str(kind[0])


def shown(*kinds: Kind) -> str:
    """The types for a person to read."""
    return shorten(" and ".join(map(_written, kinds)))


def _written(kind: Kind) -> str:
    return kind if isinstance(kind, str) else f"{kind[0]}({', '.join(map(_written, kind[1:]))})"


def _fits(a: Kind, b: Kind) -> bool:
    """Whether values of the two can be of the same type."""
    if "dyn" in (a, b):
        return True
    if isinstance(a, tuple) and isinstance(b, tuple):
        return bool(a[0] == b[0]) and all(map(_fits, a[1:], b[1:]))
    times = {"timestamp", "duration"}
    return a == b or (a == "null" and base(b) in times) or (b == "null" and base(a) in times)


def _comparable(a: Kind, b: Kind) -> bool:
    return _fits(a, b) or {base(a), base(b)} <= _NUMBERS


def _common(kinds: list[Kind]) -> Kind:
    found = kinds[0] if kinds else "dyn"
    return found if all(kind == found for kind in kinds) else "dyn"


_IGNORING_CASE = '.matches("(?i)…"), which ignores case'
_OTHER_NAMES = {
    "len": "'size'", "length": "'size'", "count": "'size'", "includes": "'contains'", "indexof": "'contains'",
    **dict.fromkeys(("lower", "lowercase", "tolower", "tolowercase", "lowerascii"), _IGNORING_CASE),
    **dict.fromkeys(("upper", "uppercase", "toupper", "touppercase", "upperascii"), _IGNORING_CASE),
    "now": "the parameter since, as in since=5m",
}  # fmt: skip
"""Functions of other languages."""


class _Checker:
    def __init__(self, text: str) -> None:
        self._text = text
        self._zones: set[str] = set()
        self._compared: set[int] = set()
        """The names with which something is compared: without quotes they are mostly texts."""

    def kind(self, node: Node, scope: Scope) -> Kind:
        if type_constant(node, scope) is not None:
            return "type"
        match node:
            case Constant(value=value):
                return _CONSTANTS[type(value)]
            case Name(name=name):
                return self._name(node, name, scope)
            case Select(operand=operand) | Has(operand=operand):
                of = self.kind(operand, scope)
                if base(of) not in {"dyn", "map"}:
                    raise refusal(self._text, node.position, f"{shown(of)} has no fields")
                if isinstance(node, Has):
                    return "bool"
                return of[2] if isinstance(of, tuple) else "dyn"
            case ListOf(elements=elements):
                return ("list", _common([self.kind(each, scope) for each in elements]))
            case MapOf(entries=entries):
                return self._map(entries, scope)
            case Loop():
                return self._loop(node, scope)
            case Call(arguments=arguments):
                self._note_compared(node)
                return self._call(node, [self.kind(each, scope) for each in arguments])
        raise AssertionError(node)

    def _note_compared(self, node: Call) -> None:
        if node.function in RELATIONS:
            right = node.arguments[1]
            if isinstance(right, ListOf):
                against: tuple[Node, ...] = right.elements
            else:
                against = () if node.function == "in" else (right,)
            self._compared.update(id(each) for each in against if isinstance(each, Name))

    def _name(self, node: Node, name: str, scope: Scope) -> Kind:
        if name.startswith("."):
            name, scope = name[1:], VARIABLES
        if name in scope:
            found: Kind = scope[name]
            return found
        close = get_close_matches(name[:LONGEST_QUOTE], list(scope), 1, 0.7)
        if meant := KEYWORDS_ELSEWHERE.get(name.lower()):
            hint = f"did you mean '{meant}'?"
        elif close:
            hint = f"did you mean '{close[0]}'?"
        elif id(node) in self._compared:
            hint = f'did you mean "{shorten(name)}" in quotes?'
        else:
            member = f"event.{shorten(name)}"
            hint = f"did you mean '{member}'? (an expression sees {', '.join(scope)}; texts stand in quotes)"
        raise refusal(self._text, node.position, f"there is no variable '{shorten(name)}': {hint}")

    def _map(self, entries: tuple[tuple[Node, Node], ...], scope: Scope) -> Kind:
        keys = [self.kind(key, scope) for key, _ in entries]
        for (key, _), kind in zip(entries, keys, strict=True):
            if kind not in {"dyn", "int", "uint", "bool", "string"}:
                raise refusal(self._text, start(key), f"{shown(kind)} cannot be the key of a map")
        return ("map", _common(keys), _common([self.kind(value, scope) for _, value in entries]))

    def _loop(self, node: Loop, scope: Scope) -> Kind:
        over = self.kind(node.over, scope)
        if base(over) not in {"dyn", "list", "map"}:
            raise refusal(self._text, node.position, f"{node.kind}() cannot be applied to {shown(over)}")
        element: Kind = over[1] if isinstance(over, tuple) else "dyn"
        within = {**scope, node.variable: element}
        if node.keep is not None:
            self._tell_truth(node, node.keep, self.kind(node.keep, within))
        body = self.kind(node.body, within)
        if node.kind == "map":
            return ("list", body)
        self._tell_truth(node, node.body, body)
        return ("list", element) if node.kind == "filter" else "bool"

    def _tell_truth(self, node: Loop, tested: Node, kind: Kind) -> None:
        if kind not in {"bool", "dyn"}:
            reason = f"{node.kind}() asks for true or false, and this gives {shown(kind)}"
            raise refusal(self._text, start(tested), reason)

    def _call(self, node: Call, kinds: list[Kind]) -> Kind:
        function = node.function
        if function[0].isalpha() and function != "in":
            return self._function(node, kinds)
        result = operator_kind(function, kinds)
        if result is None:
            raise refusal(self._text, node.position, misfit(function, kinds))
        return result

    def _function(self, node: Call, kinds: list[Kind]) -> Kind:
        name = node.function
        known = FUNCTIONS.get(name)
        if known is None:
            close = get_close_matches(name[:LONGEST_QUOTE], _CALLABLE, 1)
            meant = _OTHER_NAMES.get(name.lower()) or (f"'{close[0]}'" if close else "")
            hint = f"; did you mean {meant}?" if meant else ""
            raise refusal(self._text, node.position, f"there is no function '{shorten(name)}'{hint}")
        if known.member is not None and known.member != node.member:
            right = f"text.{name}(…)" if known.member else f"{name}(…)"
            raise refusal(self._text, node.position, f"{name}() is written {right}")
        if len(kinds) not in known.arity:
            raise refusal(self._text, node.position, f"{name}() does not take {len(kinds) - node.member} arguments")
        result = function_kind(name, kinds)
        if result is None:
            raise refusal(self._text, node.position, f"{name}() cannot be applied to {shown(*kinds)}")
        if name in TIME_PARTS and len(kinds) == 2:
            self._check_zone(node.arguments[1])
        return result

    def _check_zone(self, node: Node) -> None:
        if not (isinstance(node, Constant) and isinstance(node.value, str)):
            return
        if named_zone(node.value) is None:
            close = get_close_matches(node.value[:LONGEST_QUOTE], zone_names(), 1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            if not zone_names():
                hint = ": this gateway has none by name, since tzdata is not installed"
            raise refusal(self._text, node.position, f"there is no time zone '{shorten(node.value)}'{hint}")
        self._zones.add(node.value)
        if len(self._zones) > MOST_ZONES:
            raise refusal(self._text, node.position, f"the expression has more than {MOST_ZONES} time zones")


def misfit(function: str, kinds: list[Kind]) -> str:
    """Why an operator gives nothing for these."""
    if function == "?:":
        return f"the condition of '? :' and its two values do not fit: {shown(*kinds)}"
    sign = "[ ]" if function == "[]" else f"'{function.removesuffix('_')}'"
    return f"{sign} cannot be applied to {shown(*kinds)}"


def function_kind(name: str, kinds: list[Kind]) -> Kind | None:
    """The result of a function for arguments of these types; None if it does not accept them."""
    first = base(kinds[0])
    if name in {"dyn", "type"}:
        return name
    texts = all(kind in {"string", "dyn"} for kind in kinds[1:])
    if name in _TAKES:
        takes, gives = _TAKES[name]
        return gives if texts and (first == "dyn" or first in takes) else None
    of_duration = name in DURATION_PARTS and first == "duration" and len(kinds) == 1
    return "int" if of_duration or (first in {"dyn", "timestamp"} and texts) else None


def operator_kind(function: str, kinds: list[Kind]) -> Kind | None:
    """The same of an operator."""
    match function, kinds:
        case (("&&" | "||" | "!_"), _):
            return "bool" if all(kind in {"bool", "dyn"} for kind in kinds) else None
        case (("==" | "!="), [left, right]):
            return "bool" if _comparable(left, right) else None
        case (("<" | "<=" | ">" | ">="), [left, right]):
            known = {base(kind) for kind in kinds} - {"dyn"}
            return "bool" if known <= _ORDERED and (len(known) < 2 or known <= _NUMBERS) else None
        case "in", [left, right]:
            holds = right == "dyn" or (base(right) in {"list", "map"} and _comparable(left, right[1]))
            return "bool" if holds else None
        case "[]", [of, key]:
            return _element(of, key)
        case "?:", [condition, left, right]:
            if condition not in {"bool", "dyn"} or not _fits(left, right):
                return None
            return left if left == right else "dyn"
        case "-_", [value]:
            return value if value in {"int", "double", "dyn"} else None
        case _, [left, right]:
            return _arithmetic(function, left, right)
    return None


def _element(of: Kind, key: Kind) -> Kind | None:
    if of == "dyn":
        return "dyn"
    if base(of) == "list":
        return of[1] if base(key) in {*_NUMBERS, "dyn"} else None
    return of[2] if base(of) == "map" and _comparable(of[1], key) else None


def _arithmetic(function: str, left: Kind, right: Kind) -> Kind | None:
    if left == "dyn" and right == "dyn":
        return "dyn"
    if "dyn" in (left, right):
        known = left if right == "dyn" else right
        mixed = any(sign == function and known in pair for sign, *pair in _MIXED)
        return "dyn" if mixed else known if base(known) in _SAME[function] else None
    if base(left) in _SAME[function] and _fits(left, right):
        return left if left == right else ("list", "dyn")
    return _MIXED.get((function, base(left), base(right)))

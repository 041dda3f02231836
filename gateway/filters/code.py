"""Compiles a tree into a Python function, by way of Python's own tree (`ast`).

The names in the function come from this file alone. Constants and names of the expression stand beside it and are
referred to. So no text of a user is ever read as Python.

Where only the truth of an expression counts, no value is made. `truth(node, True)` is code for "it is true", and
`truth(node, False)` for "it is false". Neither holds of an expression that fails. With these two, `&&` and `||` are
Python's `and` and `or`, and in both an error on one side is absorbed as CEL requires.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from gateway.filters import functions, operators, values
from gateway.filters.check import VARIABLES, type_constant
from gateway.filters.lexer import refusal
from gateway.filters.pattern import MOST_PATTERNS, UnsuitablePattern, compile_pattern
from gateway.filters.times import named_zone
from gateway.filters.tree import Call, Constant, Has, ListOf, Loop, MapOf, Name, Node, Select, children, event_path

Compiled = Callable[..., Any]
Scope = dict[str, str]
"""The variables of CEL, and their names in Python; of those that are not a macro's, it is empty."""

_METER = "m"
_COMPARE = {
    "==": "equal", "!=": "unequal", "<": "less", "<=": "less_or_equal", ">": "greater", ">=": "greater_or_equal",
}  # fmt: skip
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDER: dict[str, type[ast.cmpop]] = {"<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE}
_ARITHMETIC = {"-": "subtract", "*": "multiply", "/": "divide", "%": "remainder"}
_EXACT = 2**53
"""Below it, int and double compare the same in CEL and in Python."""
_LONGEST_PATH = 3
"""Names that are looked up in code of their own."""
_NAMES = {
    values: "MISSING plain deep select has index contained failed "
    "equal unequal less less_or_equal greater greater_or_equal",
    operators: "add subtract multiply divide remainder minus negation logic make_list make_map some every quantified "
    "exactly_one mapped",
    functions: "matched",
}
_GLOBALS: dict[str, Any] = {
    **{name: getattr(module, name) for module, names in _NAMES.items() for name in names.split()},
    **{f"f_{name}": function.call for name, function in functions.FUNCTIONS.items()},
    "dict": dict, "str": str, "int": int, "float": float, "bool": bool,
    "__builtins__": {},
}  # fmt: skip


def compile_truth(text: str, root: Node) -> Compiled:
    """A function of the variables and a meter: whether the expression is true. Raises InvalidExpression."""
    writer = _Writer(text)
    return writer.function(writer.truth(root, True, dict.fromkeys(VARIABLES, "")))


def compile_falsehood(text: str, root: Node) -> Compiled:
    """The same: whether the expression is false."""
    writer = _Writer(text)
    return writer.function(writer.truth(root, False, dict.fromkeys(VARIABLES, "")))


def compile_value(text: str, root: Node) -> Compiled:
    """The same: the expression's value, or its error."""
    writer = _Writer(text)
    return writer.function(writer.value(root, dict.fromkeys(VARIABLES, "")))


def nodes(node: Node) -> int:
    """How many nodes are evaluated at the most, the bodies of loops left out: their turns pay for themselves."""
    below = (node.over,) if isinstance(node, Loop) else children(node)
    return 1 + sum(map(nodes, below))


# Python's tree. Every node has the same place: nobody reads it.

_LOAD, _STORE = ast.Load(), ast.Store()


def _name(name: str) -> ast.expr:
    return ast.Name(name, _LOAD, lineno=1, col_offset=0)


def _literal(value: bool | int | None) -> ast.expr:
    return ast.Constant(value, lineno=1, col_offset=0)


def _invoke(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(_name(function), list(arguments), [], lineno=1, col_offset=0)


def _attribute(value: ast.expr, name: str) -> ast.expr:
    return ast.Attribute(value, name, _LOAD, lineno=1, col_offset=0)


def _compare(left: ast.expr, sign: ast.cmpop, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [sign], [right], lineno=1, col_offset=0)


def _both(*sides: ast.expr) -> ast.expr:
    return ast.BoolOp(ast.And(), list(sides), lineno=1, col_offset=0)


def _either(*sides: ast.expr) -> ast.expr:
    return ast.BoolOp(ast.Or(), list(sides), lineno=1, col_offset=0)


def _not(value: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), value, lineno=1, col_offset=0)


def _choice(condition: ast.expr, first: ast.expr, second: ast.expr) -> ast.expr:
    return ast.IfExp(condition, first, second, lineno=1, col_offset=0)


def _held(name: str, value: ast.expr) -> ast.expr:
    """`(name := value)`"""
    return ast.NamedExpr(ast.Name(name, _STORE, lineno=1, col_offset=0), value, lineno=1, col_offset=0)


def _lambda(names: tuple[str, ...], body: ast.expr) -> ast.expr:
    given = [ast.arg(name, lineno=1, col_offset=0) for name in names]
    arguments = ast.arguments([], given, None, [], [], None, [])
    return ast.Lambda(arguments, body, lineno=1, col_offset=0)


def _tuple(*parts: ast.expr) -> ast.expr:
    return ast.Tuple(list(parts), _LOAD, lineno=1, col_offset=0)


def _list(parts: list[ast.expr]) -> ast.expr:
    return ast.List(parts, _LOAD, lineno=1, col_offset=0)


def _is(value: ast.expr, other: ast.expr) -> ast.expr:
    return _compare(value, ast.Is(), other)


def _is_of(value: ast.expr, kind: str) -> ast.expr:
    return _is(_attribute(value, "__class__"), _name(kind))


class _Writer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._constants: dict[str, Any] = {}
        self._count = 0
        self._patterns = 0

    def function(self, body: ast.expr) -> Compiled:
        source = ast.Expression(_lambda((*VARIABLES, _METER), body))
        compiled: Compiled = eval(compile(source, "<filter>", "eval"), {**_GLOBALS, **self._constants})
        return compiled

    def _constant(self, value: Any) -> ast.expr:
        if value is None or value is True or value is False:
            return _literal(value)
        self._count += 1
        self._constants[f"k{self._count}"] = value
        return _name(f"k{self._count}")

    def _fresh(self) -> str:
        self._count += 1
        return f"t{self._count}"

    def _metered(self, function: str, *arguments: ast.expr) -> ast.expr:
        return _invoke(function, _name(_METER), *arguments)

    # Values

    def value(self, node: Node, scope: Scope) -> ast.expr:
        known = type_constant(node, scope)
        if known is not None:
            return self._constant(known)
        path = _path(node, scope)
        if path:
            return _invoke("plain", self._raw(path))
        match node:
            case Constant(value=value):
                return self._constant(value)
            case Name(name=name):
                return _name((not name.startswith(".") and scope.get(name)) or name.lstrip("."))
            case Select(operand=operand, field=field):
                return _invoke("select", self.value(operand, scope), self._constant(field))
            case Has(operand=operand, field=field):
                return _invoke("has", self.value(operand, scope), self._constant(field))
            case ListOf(elements=elements):
                if all(isinstance(each, Constant) for each in elements):
                    # Nobody changes a list.
                    return self._constant([each.value for each in elements if isinstance(each, Constant)])
                return _invoke("make_list", _list([self.value(each, scope) for each in elements]))
            case MapOf(entries=entries):
                pairs = [_tuple(self.value(key, scope), self.value(value, scope)) for key, value in entries]
                return _invoke("make_map", _list(pairs))
            case Loop():
                return self._loop(node, scope)
            case Call():
                return self._call(node, scope)
        raise AssertionError(node)

    def _call(self, node: Call, scope: Scope) -> ast.expr:
        function, arguments = node.function, node.arguments
        if function in {"&&", "||"}:
            sides = _tuple(*(_lambda((), self.value(side, scope)) for side in arguments))
            return _invoke("logic", sides, _literal(function == "||"))
        if function == "matches" and isinstance(arguments[1], Constant):
            return self._metered("matched", self.value(arguments[0], scope), self._pattern(arguments[1]))
        given = [self.value(each, scope) for each in arguments]
        if function in _COMPARE:
            return self._metered(_COMPARE[function], *given)
        if function in _ARITHMETIC:
            return _invoke(_ARITHMETIC[function], *given)
        match function:
            case "+":
                return self._metered("add", *given)
            case "in":
                return self._metered("contained", *given)
            case "[]":
                return self._metered("index", *given)
            case "!_":
                return _invoke("negation", *given)
            case "-_":
                return _invoke("minus", *given)
            case "?:":
                name = self._fresh()
                otherwise = _choice(_is(_name(name), _literal(False)), given[2], _invoke("failed", _name(name)))
                return _choice(_is(_held(name, given[0]), _literal(True)), given[1], otherwise)
        if function in functions.TIME_PARTS and len(arguments) == 2 and isinstance(arguments[1], Constant):
            given[1] = self._constant(named_zone(arguments[1].value))
        return self._metered(f"f_{function}", *given)

    def _pattern(self, node: Constant) -> ast.expr:
        self._patterns += 1
        if self._patterns > MOST_PATTERNS:
            raise refusal(
                self._text, node.position, f"the expression has more than {MOST_PATTERNS} regular expressions"
            )
        try:
            return self._constant(compile_pattern(node.value))
        except UnsuitablePattern as error:
            raise refusal(self._text, node.position, str(error)) from None

    def _loop(self, node: Loop, scope: Scope) -> ast.expr:
        over, name = self.value(node.over, scope), self._fresh()
        within = {**scope, node.variable: name}
        body = _lambda((name,), self.value(node.body, within))
        steps = 2 + nodes(node.body) + (0 if node.keep is None else nodes(node.keep))
        match node.kind:
            case "all" | "exists":
                return self._metered("quantified", _literal(steps), over, body, _literal(node.kind == "exists"))
            case "exists_one":
                return self._metered("exactly_one", _literal(steps), over, body)
            case "filter":
                return self._metered("mapped", _literal(steps), over, _literal(None), body)
        keep = _literal(None) if node.keep is None else _lambda((name,), self.value(node.keep, within))
        return self._metered("mapped", _literal(steps), over, body, keep)

    # Truth

    def truth(self, node: Node, wanted: bool, scope: Scope) -> ast.expr:
        match node:
            case Constant(value=value):
                return _literal(value is wanted)
            case Call(function="&&" | "||" as function, arguments=sides):
                join = _both if (function == "&&") == wanted else _either
                return join(*(self.truth(side, wanted, scope) for side in sides))
            case Call(function="!_", arguments=(operand,)):
                return self.truth(operand, not wanted, scope)
            case Call(function="?:", arguments=(condition, first, second)):
                name = self._fresh()
                return _choice(
                    _is(_held(name, self.value(condition, scope)), _literal(True)),
                    self.truth(first, wanted, scope),
                    _both(_is(_name(name), _literal(False)), self.truth(second, wanted, scope)),
                )
            case Loop(kind="all" | "exists" as kind):
                name = self._fresh()
                body = _lambda((name,), self.truth(node.body, wanted, {**scope, node.variable: name}))
                helper = "some" if (kind == "exists") == wanted else "every"
                return self._metered(helper, _literal(2 + nodes(node.body)), self.value(node.over, scope), body)
        return self._quick(node, wanted, scope) or _is(self.value(node, scope), _literal(wanted))

    def _raw(self, path: tuple[str, ...]) -> ast.expr:
        """The member of the event as the JSON parser made it."""
        if len(path) > _LONGEST_PATH:
            return _invoke("deep", _name("event"), self._constant(path))
        code = self._member(_name("event"), path[0])
        for name in path[1:]:
            held = self._fresh()
            code = _choice(_is_of(_held(held, code), "dict"), self._member(_name(held), name), _name("MISSING"))
        return code

    def _member(self, holder: ast.expr, name: str) -> ast.expr:
        given = [self._constant(name), _name("MISSING")]
        return ast.Call(_attribute(holder, "get"), given, [], lineno=1, col_offset=0)

    def _quick(self, node: Node, wanted: bool, scope: Scope) -> ast.expr | None:
        """Code without a call for the commonest of tests: of a member of the event against constants."""
        path = _path(node, scope)
        if path:
            return _is(self._raw(path), _literal(wanted))
        match node:
            case Has(operand=operand, field=field):
                return self._has(operand, field, wanted, scope)
            case Call(function=function, arguments=(member, Constant(value=value))) if path := _path(member, scope):
                return self._against(path, function, value, wanted)
            case Call(function=function, arguments=(Constant(value=value), member)) if function in _COMPARE:
                path = _path(member, scope)
                return self._against(path, _MIRRORED[function], value, wanted) if path else None
            case Call(function="in", arguments=(member, ListOf(elements=elements))):
                path = _path(member, scope)
                values = [each.value for each in elements if isinstance(each, Constant) and _is_plain(each.value)]
                return self._among(path, values, wanted) if path and values and len(values) == len(elements) else None
        return None

    def _has(self, operand: Node, field: str, wanted: bool, scope: Scope) -> ast.expr | None:
        path = _path(operand, scope)
        if not path and not _is_event(operand, scope):
            return None
        name = self._fresh()
        holder = _held(name, self._raw(path) if path else _name("event"))
        sign = ast.In() if wanted else ast.NotIn()
        return _both(_is_of(holder, "dict"), _compare(self._constant(field), sign, _name(name)))

    def _among(self, path: tuple[str, ...], values: list[Any], wanted: bool) -> ast.expr:
        name = self._fresh()
        there = _compare(_held(name, self._raw(path)), ast.IsNot(), _name("MISSING"))
        kinds = ["str"] if any(type(value) is str for value in values) else []
        kinds += ["int", "float"] if any(type(value) is int for value in values) else []
        tests = [_is_of(_name(name), kind) for kind in kinds]
        alike = _either(*tests) if len(tests) > 1 else tests[0]
        found = _both(alike, _compare(_name(name), ast.In(), self._constant(frozenset(values))))
        return _both(there, found if wanted else _not(found))

    def _against(self, path: tuple[str, ...], function: str, value: Any, wanted: bool) -> ast.expr | None:
        kind = type(value)
        name = self._fresh()
        if function in {"==", "!="} and (value is None or kind is bool or kind is str or _is_exact(value)):
            member, constant = _held(name, self._raw(path)), self._constant(value)
            same = ast.Is if value is None or kind is bool else ast.Eq
            alike = _compare(member, same(), constant)
            if _is_exact(value):
                # To Python, true is equal to 1.
                alike = _both(alike, _not(_is_of(_name(name), "bool")))
            if (function == "==") == wanted:
                return alike
            return _both(_not(alike), _compare(_name(name), ast.IsNot(), _name("MISSING")))
        if function in _ORDER and (kind is int or kind is float) and -_EXACT < value < _EXACT:
            member, constant = _held(name, self._raw(path)), self._constant(value)
            number = _either(_is_of(member, "int"), _is_of(_name(name), "float"))
            tested = _compare(_name(name), _ORDER[function](), constant)
            return _both(number, tested if wanted else _not(tested))
        if kind is str and function in {"startsWith", "endsWith"}:
            member, constant = _held(name, self._raw(path)), self._constant(value)
            method = _attribute(_name(name), "startswith" if function == "startsWith" else "endswith")
            tested = ast.Call(method, [constant], [], lineno=1, col_offset=0)
            return _both(_is_of(member, "str"), tested if wanted else _not(tested))
        return None


def _is_exact(value: Any) -> bool:
    return type(value) is int and -_EXACT < value < _EXACT


def _is_plain(value: Any) -> bool:
    """Whether it is found in a set of Python as CEL finds it in a list."""
    return type(value) is str or _is_exact(value)


def _path(node: Node, scope: Scope) -> tuple[str, ...]:
    return event_path(node, hidden=bool(scope.get("event")))


def _is_event(node: Node, scope: Scope) -> bool:
    return isinstance(node, Name) and (node.name == ".event" or (node.name == "event" and not scope.get("event")))

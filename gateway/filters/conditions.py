"""What has to hold of an event for a filter to match, as far as a look at a member or two can tell.

CEL stays the judge: it is not asked about an event for which a condition fails, and such an event does not match. To
most filters most events are such. A look takes a tenth of the time that an evaluation takes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, TypeGuard

from gateway.filters.index import EXACT_INTEGERS, Path, path_of, value_at
from gateway.filters.syntax import Call, Constant, Node

Condition = Callable[[dict[str, Any]], bool]
"""False only of an event for which the expression is not true."""

_TEXT: dict[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
_LITERAL_END = re.compile(r"(?:\A|[^\\A-Za-z0-9])([A-Za-z0-9]+)\$?\Z")
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


def conditions(root: Node) -> tuple[Condition, ...]:
    """What holds of every event for which the expression is true; each of these conditions does."""
    match root:
        case Call(function="_&&_", arguments=(left, right)):
            return conditions(left) + conditions(right)
        case Call(function=name, arguments=(member, Constant(value=str() as text))) if name in _TEXT:
            return _on_path(member, lambda path: _text_condition(path, _TEXT[name], text))
        case Call(function="matches", arguments=(member, Constant(value=str() as pattern))):
            ending = _ending(pattern)
            return _on_path(member, lambda path: _text_condition(path, operator.contains, ending)) if ending else ()
        case Call(function=name, arguments=(member, Constant(value=bound))) if name in _ORDER:
            return _bounded(member, _ORDER[name], bound)
        case Call(function=name, arguments=(Constant(value=bound), member)) if name in _ORDER:
            return _bounded(member, _ORDER[_MIRRORED[name]], bound)
    return ()


def _bounded(member: Node, compare: Callable[[Any, Any], bool], bound: object) -> tuple[Condition, ...]:
    return _on_path(member, lambda path: _order_condition(path, compare, bound)) if _is_comparable(bound) else ()


def _on_path(member: Node, make: Callable[[Path], Condition]) -> tuple[Condition, ...]:
    path = path_of(member)
    return (make(path),) if path else ()


def _text_condition(path: Path, compare: Callable[[str, str], bool], text: str) -> Condition:
    def possible(event: dict[str, Any]) -> bool:
        value = value_at(event, path)
        if type(value) is not str:
            return False  # CEL has no such function of anything else: the evaluation fails
        # Of other texts CEL may see something else than Python does, where they are not Unicode.
        return not value.isascii() or compare(value, text)

    return possible


def _order_condition(path: Path, compare: Callable[[Any, Any], bool], bound: float) -> Condition:
    def possible(event: dict[str, Any]) -> bool:
        value = value_at(event, path)
        if type(value) is not int and type(value) is not float:
            return False  # nor does it compare anything else with a number
        return not _is_comparable(value) or compare(value, bound)

    return possible


def _ending(pattern: str) -> str:
    """The letters and digits with which everything ends that the regular expression finds; empty where it has other
    ways to end, or what it ends with may mean something else. The library compiles a pattern at each evaluation, which
    makes these the dearest of all."""
    if any(sign in pattern for sign in ("|", "(?", "\\Q")):
        return ""
    found = _LITERAL_END.search(pattern)
    return found[1] if found else ""


def _is_comparable(value: object) -> TypeGuard[float]:
    """Whether it is a number that is the same to CEL and to Python, whatever it is compared with."""
    return (type(value) is int or type(value) is float) and -EXACT_INTEGERS < value < EXACT_INTEGERS

"""The expressions of a declaration: CEL, as in filters, for a value or for a condition. Pure.

An expression that fails gives an `Error`, which is a value like any other: nothing is raised while events are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.catalog.derivation import Expression
from gateway.errors import InvalidExpression
from gateway.filters.check import Kind, base, check
from gateway.filters.code import compile_truth, compile_value
from gateway.filters.compile import DEEPEST, STEPS
from gateway.filters.functions import FUNCTIONS
from gateway.filters.lexer import refusal, shorten
from gateway.filters.syntax import parse
from gateway.filters.tree import Call, Has, ListOf, Loop, MapOf, Name, Node, Select, children, event_path, start, walk
from gateway.filters.values import Duration, Error, Map, OutOfSteps, Timestamp, Type, UInt
from gateway.model.record import Record
from gateway.times import iso_time

LONGEST = 4_096
"""Bytes of one expression, as of a filter."""

Value = Callable[[dict[str, Any], Record], Any]
"""What an expression gives for an event and the record that it came in: a JSON value, or an `Error`."""
Condition = Callable[[dict[str, Any], Record], bool]
"""Whether an expression is true; one that fails is not."""

EVENT = ("event",)
"""Names by which an expression of an event knows it."""
ROW = ("row",)
"""Names by which `having` knows the row that it judges."""
TOO_MANY_STEPS = Error("it takes too many steps")
"""The value of an expression that needs more than `filter_max_steps`."""
_INFINITE = Error("a number that JSON has not")
_PLAIN = frozenset({str, int, bool, type(None)})
_SAME = frozenset({str, bool})
"""What JSON and CEL have in the same way."""
_VARIABLES = ("topic", "partition", "offset", "timestamp", "key")


def read(expression: Expression, names: tuple[str, ...] = EVENT) -> Node:
    """The tree of an expression that sees `names`. With one name, that is the event of the compiled function; with
    several, as beside a lookup, the event has a member of each name. Raises InvalidExpression."""
    text = expression.text
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise refusal(text, error.start, "a lone surrogate is no character") from None
    if length > LONGEST:
        raise InvalidExpression(f"the expression has {length} bytes, and {LONGEST} are allowed")
    root = parse(text, DEEPEST)
    return root if names == EVENT else _renamed(text, root, names, frozenset())


def kind_of(expression: Expression, root: Node) -> Kind:
    """The type of its value, as far as it is known without a schema. Raises InvalidExpression."""
    return check(expression.text, root)


def value(expression: Expression, names: tuple[str, ...] = EVENT) -> Value:
    """The function for an expression's value. Raises InvalidExpression."""
    root = read(expression, names)
    return value_of(expression, root, as_json)


def value_of(expression: Expression, root: Node, told: Callable[[Any], Any]) -> Value:
    """The same of a tree that was read, or of a part of one; `told` makes of a value of CEL what is given."""
    check(expression.text, root)
    compiled = compile_value(expression.text, root)
    steps = STEPS
    if _sees_record(root):

        def evaluate(event: dict[str, Any], record: Record) -> Any:
            key = None if record.key is None else record.key.decode("utf-8", "replace")
            try:
                found = compiled(event, record.topic, record.partition, record.offset, record.timestamp, key, [steps])
            except OutOfSteps:
                return TOO_MANY_STEPS
            return found if found.__class__ in _PLAIN else told(found)

    else:

        def evaluate(event: dict[str, Any], record: Record) -> Any:
            try:
                found = compiled(event, "", 0, 0, 0, None, [steps])
            except OutOfSteps:
                return TOO_MANY_STEPS
            return found if found.__class__ in _PLAIN else told(found)

    path = event_path(root)
    return _member(path, evaluate) if path else evaluate


def _member(path: tuple[str, ...], evaluate: Value) -> Value:
    """A member of the event, as most expressions are. What is no text or truth, CEL judges."""

    def member(event: dict[str, Any], record: Record) -> Any:
        found: Any = event
        for name in path:
            if found.__class__ is not dict:
                return evaluate(event, record)
            found = found.get(name)
        return found if found.__class__ in _SAME else evaluate(event, record)

    return member


def condition(expression: Expression | None, names: tuple[str, ...] = EVENT) -> Condition | None:
    """The function for whether an expression is true; None for one that is not there. Raises InvalidExpression."""
    if expression is None:
        return None
    root = read(expression, names)
    kind = base(check(expression.text, root))
    if kind not in {"bool", "dyn"}:
        reason = f"a condition has to be true or false, and this expression gives {shorten(kind)}"
        raise refusal(expression.text, start(root), reason)
    compiled = compile_truth(expression.text, root)
    sees_record, steps = _sees_record(root), STEPS

    def holds(event: dict[str, Any], record: Record) -> bool:
        try:
            if not sees_record:
                return bool(compiled(event, "", 0, 0, 0, None, [steps]))
            key = None if record.key is None else record.key.decode("utf-8", "replace")
            return bool(compiled(event, record.topic, record.partition, record.offset, record.timestamp, key, [steps]))
        except OutOfSteps:
            return False

    return holds


def members_read(expression: Expression, names: frozenset[str]) -> frozenset[str] | None:
    """The members of the variables of these names that an expression reads; None where it sees one of them whole."""
    found: set[str] = set()
    waiting: list[Node] = [parse(expression.text, DEEPEST)]
    while waiting:
        node = waiting.pop()
        match node:
            case Select(operand=Name(name=name), field=field) | Has(operand=Name(name=name), field=field):
                if name.lstrip(".") in names:
                    found.add(field)
            case Name(name=name) if name.lstrip(".") in names:
                return None
            case _:
                waiting += children(node)
    return frozenset(found)


def as_json(value: Any) -> Any:
    """A value of CEL as JSON has it, or an Error: times and durations are texts, as CEL's `string()` writes them."""
    kind = value.__class__
    if kind in _PLAIN or kind is Error:
        return value
    if kind is dict:
        return value if _is_finite(value) else _INFINITE
    if kind is float:
        return value if math.isfinite(value) else _INFINITE
    if kind is UInt:
        return int(value)
    if kind is list:
        return _each(value)
    if kind is Map:
        entries: Mapping[Any, tuple[Any, Any]] = value.entries
        if not all(isinstance(key, str) for key in entries):
            return Error("a map whose keys are no texts")
        found = _each(one for _, one in entries.values())
        return found if found.__class__ is Error else dict(zip(entries, found, strict=True))
    if kind is Timestamp and not int(value) % 1_000_000:
        return iso_time(int(value) // 1_000_000)
    if kind is Timestamp or kind is Duration:
        return FUNCTIONS["string"].call([STEPS], value)
    return Error(f"{value.name if kind is Type else 'bytes'} is no value of JSON")


def _is_finite(value: dict[str, Any]) -> bool:
    """Whether an object of an event has no infinite number, which is how one beyond the doubles is read."""
    waiting: list[Any] = [value]
    while waiting:
        holder = waiting.pop()
        for each in holder.values() if holder.__class__ is dict else holder:
            kind = each.__class__
            if kind is dict or kind is list:
                waiting.append(each)
            elif kind is float and not math.isfinite(each):
                return False
    return True


def _each(values: Iterable[Any]) -> Any:
    found = [as_json(one) for one in values]
    return next((one for one in found if one.__class__ is Error), found)


def _sees_record(root: Node) -> bool:
    return any(isinstance(node, Name) and node.name.lstrip(".") in _VARIABLES for node in walk(root))


def _renamed(text: str, node: Node, names: tuple[str, ...], hidden: frozenset[str]) -> Node:
    """The tree in which each of the names is the event, or a member of it."""

    def below(child: Node, within: frozenset[str] = hidden) -> Node:
        return _renamed(text, child, names, within)

    match node:
        case Name(position=position, name=name) if name not in hidden:
            if name.lstrip(".") in names:
                event = Name(position, ".event")
                return event if len(names) == 1 else Select(position, event, name.lstrip("."))
            if name.lstrip(".") == "event" or len(names) == 1:
                raise refusal(text, position, f"this expression sees {', '.join(names)}, and no {shorten(name)}")
        case Select(position=position, operand=operand, field=field):
            return Select(position, below(operand), field)
        case Has(position=position, operand=operand, field=field):
            return Has(position, below(operand), field)
        case Call(position=position, function=function, arguments=arguments, member=member):
            return Call(position, function, tuple(map(below, arguments)), member)
        case ListOf(position=position, elements=elements):
            return ListOf(position, tuple(map(below, elements)))
        case MapOf(position=position, entries=entries):
            return MapOf(position, tuple((below(key), below(one)) for key, one in entries))
        case Loop(position=position, kind=kind, over=over, variable=variable, body=body, keep=keep):
            within = hidden | {variable}
            kept = None if keep is None else below(keep, within)
            return Loop(position, kind, below(over), variable, below(body, within), kept)
    return node

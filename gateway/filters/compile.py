"""Filters: CEL expressions (github.com/google/cel-spec) that say of a record whether it is wanted.

Google's C++ implementation parses, checks and evaluates. This file bounds what it is given: an expression comes from
anyone, and is evaluated for every event.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from weakref import WeakValueDictionary

from cel_expr_python import cel

from gateway.errors import InvalidExpression
from gateway.filters.complaint import complaint, is_about_depth, place, shorten
from gateway.filters.conditions import conditions
from gateway.filters.cost import estimate, field_of
from gateway.filters.index import clauses, holds
from gateway.filters.pattern import pattern_cost
from gateway.filters.subject import EVERYTHING, Reads, Size, Subject, environment
from gateway.filters.syntax import (
    Call,
    Comprehension,
    Constant,
    Identifier,
    Node,
    Select,
    children,
    height,
    read_tree,
    walk,
)
from gateway.filters.tokens import Token, canonical_text, tokens, too_deep

DEEPEST_IN_LIBRARY = 32
"""The C++ parser refuses deeper expressions; `filter_max_depth` has no effect above it."""

LARGE_EVENT_FACTOR = 10
"""An expression is accepted for its cost over values of nominal size. Over a larger event it may cost so many times the
bound; beyond, the event does not match. (`map` and `filter` are quadratic in time and memory: a list of 10,000 elements
would take four seconds and a gigabyte; `event == event` in a loop likewise.)"""

CHECKED_FROM = 1_000.0
"""Units from which even an expression without loops is weighed against large events."""


@dataclass(frozen=True, slots=True)
class FilterBounds:
    """What an expression may be: `length` in bytes of UTF-8 (the setting `filter_max_length`), `depth` in brackets and
    nodes within each other (`filter_max_depth`), `cost` in units of about 0.1 µs an event (`filter_max_cost`)."""

    length: int = 4_096
    depth: int = DEEPEST_IN_LIBRARY
    cost: int = 50_000


_BEYOND_MEASURE = 1e9


class Filter:
    """A compiled expression. `text` is canonical: filters with the same text have the same meaning."""

    __slots__ = ("__weakref__", "_boolean", "_conditions", "_evaluate", "_reads", "_weight", "clauses", "cost", "text")

    def __init__(self, text: str, expression: Any, root: Node, bounds: FilterBounds) -> None:
        self.text = text
        self.cost = estimate(root)
        self.clauses = clauses(root)
        """What holds of every event that matches."""
        self._conditions = conditions(root)
        self._evaluate = expression.eval
        self._boolean = expression.return_type() == cel.Type.BOOL
        self._reads = _shared(_reads(root))
        weighed = self.cost >= CHECKED_FROM or any(isinstance(node, Comprehension) for node in walk(root))
        self._weight = _Weight(root, LARGE_EVENT_FACTOR * bounds.cost) if weighed else None

    def matches(self, subject: Subject) -> bool:
        """True only where the expression is true; an expression that fails on this record does not match it."""
        for clause in self.clauses:
            if not holds(subject.event, clause):
                return False
        for possible in self._conditions:
            if not possible(subject.event):
                return False
        if self._weight is not None and not self._weight.allows(subject.size(self._reads)):
            return False
        try:
            result = self._evaluate(subject.activation(self._reads))
            # The type comes first where it can be any: reading a null out of the library (0.1.3) drops a reference to
            # None that it does not own, which ends the process after some thousand times.
            if not self._boolean and result.type() != cel.Type.BOOL:
                return False
            return result.value() is True
        except Exception:
            # Whatever the library raises (the iteration budget is a RuntimeError) is a failed evaluation: no match.
            return False

    def __repr__(self) -> str:
        return f"Filter({self.text!r})"


class _Weight:
    """Weighs an expression against the events that it is asked about."""

    __slots__ = ("_allowed", "_ceiling", "_root")

    def __init__(self, root: Node, ceiling: float) -> None:
        self._root = root
        self._ceiling = ceiling
        self._allowed: dict[Size, bool] = {}

    def allows(self, size: Size) -> bool:
        """Whether the expression can be afforded over values of this size."""
        known = self._allowed.get(size)
        if known is None:
            # Sizes are powers of two, so that there are few of them.
            known = self._allowed[size] = estimate(self._root, field_of(*size)) <= self._ceiling
        return known


_COMPILED: WeakValueDictionary[tuple[str, FilterBounds], Filter] = WeakValueDictionary()
"""A compiled expression takes some 8 KB, and a thousand clients may ask for the same."""


def compile_filter(text: str, bounds: FilterBounds = FilterBounds()) -> Filter:
    """The filter that the text describes, or `InvalidExpression` with the place in the user's text. While anybody has a
    filter, it is the same for all who ask for it."""
    compiled = _COMPILED.get((text, bounds))
    if compiled is None:
        compiled = _COMPILED[text, bounds] = _compile(text, bounds)
    return compiled


def _compile(text: str, bounds: FilterBounds) -> Filter:
    found = _within_length(text, bounds)
    if not found:
        raise InvalidExpression("the expression is empty")
    # Before the parser sees them: brackets are what its recursion follows.
    depth = min(bounds.depth, DEEPEST_IN_LIBRARY)
    bracket = too_deep(found, depth)
    if bracket is not None:
        raise InvalidExpression(_deep(depth), *place(text, bracket.position))
    try:
        expression = environment().compile(text)
    except Exception as error:
        message = str(error)
        if is_about_depth(message):
            raise InvalidExpression(_deep(depth)) from None
        raise InvalidExpression(*complaint(message, text)) from None
    root = read_tree(expression.serialize())
    if height(root) > depth:
        raise InvalidExpression(_deep(depth), *_first_place(text, root))
    _check_type(expression, text, root)
    _check_patterns(text, root, bounds)
    compiled = Filter(canonical_text(found), expression, root, bounds)
    if compiled.cost > bounds.cost:
        raise InvalidExpression(_costly(compiled.cost, bounds), *_first_place(text, root))
    return compiled


def _within_length(text: str, bounds: FilterBounds) -> list[Token]:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidExpression("a lone surrogate is no character", *place(text, error.start)) from None
    if length > bounds.length:
        raise InvalidExpression(
            f"the expression has {length} bytes, and {bounds.length} are allowed (filter_max_length)"
        )
    return tokens(text)


def _deep(depth: int) -> str:
    return f"the expression is nested more than {depth} deep (filter_max_depth)"


def _costly(cost: float, bounds: FilterBounds) -> str:
    shown = f"{cost:,.0f}" if cost < _BEYOND_MEASURE else "too many"
    return (
        f"the expression could cost {shown} units an event, and {bounds.cost:,} are allowed (filter_max_cost): loops "
        "within loops, long literals, and regular expressions that are large or put together from pieces cost most"
    )


def _first_place(text: str, root: Node) -> tuple[int, int]:
    found = tokens(text)
    return place(text, found[0].position if found else root.position)


def _check_type(expression: Any, text: str, root: Node) -> None:
    kind = expression.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        name = str(kind.name()).lower()
        raise InvalidExpression(
            f"a filter has to be true or false, and this expression gives {shorten(name)}", *_first_place(text, root)
        )


def _check_patterns(text: str, root: Node, bounds: FilterBounds) -> None:
    """Refuses what RE2 refuses, and what costs too much even to try."""
    for node in walk(root):
        if not (isinstance(node, Call) and node.function == "matches" and len(node.arguments) == 2):
            continue
        pattern = node.arguments[1]
        if not (isinstance(pattern, Constant) and isinstance(pattern.value, str)):
            continue
        cost = pattern_cost(pattern.value)
        if cost > bounds.cost:
            raise InvalidExpression(_costly(cost, bounds), *place(text, pattern.position))
        reason = _refused_by_library(pattern.value)
        if reason:
            raise InvalidExpression(reason, *place(text, pattern.position))


@cache
def _probe() -> Any:
    return environment().compile("topic.matches(key)")


def _refused_by_library(pattern: str) -> str | None:
    result = _probe().eval(environment().Activation({"topic": "", "key": pattern}))
    if result.type() == cel.Type.BOOL:
        return None
    said = str(result.value()).partition("invalid regular expression: ")[2]
    return f"the regular expression is invalid: {shorten(said)}" if said else "the regular expression is invalid"


@lru_cache(maxsize=1024)
def _shared(reads: Reads) -> Reads:
    """The same object for equal ones: thousands of filters read the same fields."""
    return reads


def _reads(root: Node) -> Reads:
    """What the tree reads. `event` used in any way but `event.name`, `event["name"]` and `has` is read as a whole."""
    variables: set[str] = set()
    members: set[str] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        match node:
            case Select(operand=Identifier(name="event"), field=name):
                variables.add("event")
                members.add(name)
            case Call(function="_[_]", arguments=(Identifier(name="event"), Constant(value=str() as name))):
                variables.add("event")
                members.add(name)
            case Identifier(name=name) if name.lstrip(".") == "event":
                return EVERYTHING
            case Identifier(name=name):
                variables.add(name.lstrip("."))
            case _:
                waiting.extend(children(node))
    return Reads(frozenset(variables & EVERYTHING.variables), frozenset(members))

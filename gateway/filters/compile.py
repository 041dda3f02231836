"""Filters: CEL expressions (github.com/google/cel-spec) that say whether a client wants a record.

Anyone may send an expression, and it is evaluated for every event. Its size is bounded before it is compiled, and its
work is metered during evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakValueDictionary

from gateway.errors import InvalidExpression
from gateway.filters.check import base, check
from gateway.filters.code import Compiled, compile_truth, nodes
from gateway.filters.index import clauses
from gateway.filters.lexer import canonical_text, refusal, shorten, tokens
from gateway.filters.subject import Subject
from gateway.filters.syntax import parse
from gateway.filters.tree import Node, start
from gateway.filters.values import Meter, OutOfSteps
from gateway.model.setting import integer

DEEPEST = 32
"""`filter_max_depth` has no effect above it: the code that is made is nested as the expression is."""
STEPS = 5_000
"""About a millisecond at worst. The filters of the guides take less than a hundred on an event. A search without
regard to case for some words in a comment of a thousand characters takes some hundreds."""


@dataclass(frozen=True)
class FilterBounds:
    """The bounds of an expression: its length, how deep brackets and nodes are nested, and its steps on an event."""

    filter_max_length: int = integer(4096, "bytes", "longest filter expression", 1, 1 << 20)
    filter_max_depth: int = integer(DEEPEST, "levels", "deepest nesting of a filter expression", 1, DEEPEST)
    filter_max_steps: int = integer(
        STEPS,
        "steps",
        "steps that a filter may take on an event; if it needs more, the event does not match. A step takes "
        "0.1 to 0.25 µs",
        10,
        1 << 40,
    )


class Filter:
    """A compiled expression. `text` is canonical: filters with the same text have the same meaning."""

    __slots__ = ("__weakref__", "_truth", "base_steps", "clauses", "root", "steps", "text")

    def __init__(self, text: str, root: Node, truth: Compiled, steps: int) -> None:
        self.text = text
        self.root = root
        self.steps = steps
        """The most steps of an evaluation."""
        self.clauses = clauses(root)
        """The conditions that every matching event satisfies."""
        self._truth = truth
        self.base_steps = 1 + nodes(root) // 2
        """The least steps of an evaluation, whatever the event."""

    def judge(self, subject: Subject, meter: Meter) -> bool:
        """Whether the expression is true, paid for from the meter. Raises OutOfSteps."""
        meter[0] -= self.base_steps
        if meter[0] < 0:
            raise OutOfSteps
        matches: bool = self._truth(
            subject.event, subject.topic, subject.partition, subject.offset, subject.timestamp, subject.key, meter
        )
        return matches

    def matches(self, subject: Subject) -> bool:
        """True only where the expression is true; an expression that fails on this record, or takes too many steps,
        does not match it."""
        try:
            return self.judge(subject, [self.steps])
        except OutOfSteps:
            return False

    def __repr__(self) -> str:
        return f"Filter({self.text!r})"


_COMPILED: WeakValueDictionary[tuple[str, FilterBounds], Filter] = WeakValueDictionary()
"""A thousand clients may ask for the same."""


def compile_filter(text: str, bounds: FilterBounds = FilterBounds()) -> Filter:
    """The filter that the text describes, or `InvalidExpression` with the place in the user's text. While anybody has a
    filter, it is the same for all who ask for it."""
    compiled = _COMPILED.get((text, bounds))
    if compiled is None:
        compiled = _COMPILED[text, bounds] = _compile(text, bounds)
    return compiled


def _compile(text: str, bounds: FilterBounds) -> Filter:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise refusal(text, error.start, "a lone surrogate is not a character") from None
    if length > bounds.filter_max_length:
        raise InvalidExpression(
            f"the expression has {length} bytes, and {bounds.filter_max_length} are allowed (filter_max_length)"
        )
    root = parse(text, min(bounds.filter_max_depth, DEEPEST))
    kind = base(check(text, root))
    if kind not in {"bool", "dyn"}:
        reason = f"a filter has to be true or false, and this expression gives {shorten(kind)}"
        raise refusal(text, start(root), reason)
    return Filter(canonical_text(tokens(text)), root, compile_truth(text, root), bounds.filter_max_steps)

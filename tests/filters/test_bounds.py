"""Whatever the settings allow, no text reaches the interpreter's recursion or the limits of its compiler."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields

import pytest

from gateway.errors import InvalidExpression
from gateway.filters.compile import DEEPEST, FilterBounds, compile_filter
from gateway.filters.lexer import MOST_TOKENS
from gateway.filters.subject import Subject
from gateway.settings.table import Settings

LARGEST = FilterBounds(1 << 20, 1_000, 10**9)
"""More than the settings allow of depth, and all that they allow of length."""
DEEP = (
    ("(", "true", ")"), ("!(", "true", ")"), ("[", "1", "]"), ("{1:", "1", "}"), ("true ? true : (", "true", ")"),
    ("true && (", "true", ")"), ("event.a.all(x,", "true", ")"), ("dyn(", "true", ")"), ("event.a[", "1", "]"),
    ("-(", "1", ")"), ("event.a.map(x, x,", "1", ")"), ("1 in [", "1", "]"), ("has(event.a) || (", "true", ")"),
)  # fmt: skip
WIDE = (
    ("true", " && true"), ("true", " || event.a"), ("1", "+1"), ("event", ".a"), ("event", "[0]"),
    ("true", "?true:true"),
    ("event.a in [1", ",1"), ("event.a", " == event.a"), ("", "!"), ("", "-"),
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("opening", "middle", "closing"), DEEP)
def test_nesting_ends_in_a_refusal_or_a_filter(opening: str, middle: str, closing: str) -> None:
    for times in (*range(1, DEEPEST + 2), 1_000, MOST_TOKENS):
        with suppress(InvalidExpression):
            text = opening * times + middle + closing * times
            for whole in (text, f"{text} == event.b", f"[{text}].all(y, {text} == y)"):
                with suppress(InvalidExpression):
                    compile_filter(whole, LARGEST).matches(Subject({"a": [1], "b": 1}, "t", 0, 0, 0, None))


@pytest.mark.long
@pytest.mark.parametrize(("first", "more"), WIDE)
def test_width_ends_in_a_refusal_or_a_filter(first: str, more: str) -> None:
    for times in (10, MOST_TOKENS // 4, MOST_TOKENS // 2 - 1, MOST_TOKENS, 100_000):
        for end in ("", "]", "true"):
            with suppress(InvalidExpression):
                compile_filter(first + more * times + end, LARGEST).matches(Subject({}, "t", 0, 0, 0, None))


def test_the_settings_allow_no_more_than_was_tried() -> None:
    highest = {each.name: each.metadata["maximum"] for each in fields(Settings) if each.name.startswith("filter_max_")}
    assert highest["filter_max_depth"] == DEEPEST
    assert highest["filter_max_length"] == LARGEST.filter_max_length

"""The conditions of a filter refute no event that it matches, and most that it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.filters.compile import compile_filter
from gateway.filters.conditions import conditions
from gateway.filters.subject import Subject, environment
from gateway.filters.syntax import read_tree
from tests.effort import examples
from tests.filters.expressions import composed, judged

EVENT = {
    "title": "Ada",
    "foreign": "\u00c4da",
    "length": {"new": 5, "old": 2.5},
    "bot": True,
    "names": ["Ada"],
    "none": None,
}


def subject(event: dict[str, Any]) -> Subject:
    return Subject(event, "topic", 0, 0, 0, None)


def possible(text: str, event: dict[str, Any]) -> list[bool]:
    """What each condition of the expression says of the event."""
    return [condition(event) for condition in conditions(read_tree(environment().compile(text).serialize()))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('event.title.contains("d")', [True]),
        ('event.title.contains("x")', [False]),
        ('event.title.startsWith("A")', [True]),
        ('event.title.startsWith("d")', [False]),
        ('event.title.endsWith("a")', [True]),
        ('event["title"].endsWith("A")', [False]),
        ("event.length.new > 4", [True]),
        ("event.length.new > 5", [False]),
        ("event.length.new >= 5", [True]),
        ("5 < event.length.new", [False]),
        ("5 <= event.length.new", [True]),
        ("event.length.old < 2.5", [False]),
        ("event.length.old <= 2.5", [True]),
        ("event.length.old < 3", [True]),
        ('has(event.length) && event.length.new > 5 && event.title.contains("d")', [False, True]),
        # An evaluation that would fail.
        ('event.bot.contains("d")', [False]),
        ('event.names.contains("Ada")', [False]),
        ('event.absent.contains("d")', [False]),
        ("event.bot > 0", [False]),
        ("event.title > 0", [False]),
        ("event.none > 0", [False]),
        # What CEL alone can tell.
        ('event.foreign.contains("x")', [True]),
        ("event.length.new > 9007199254740992", []),
        ('event.title > "A"', []),
        ('event.title.contains("x") || event.bot', []),
        ('!event.title.contains("x")', []),
        ('"Ada".contains(event.title)', []),
        ('topic.contains("x")', []),
        ('event.names.exists(event, event.contains("x"))', []),
        ('event.title.matches("x")', [False]),
        ('event.title.matches("^A.*a$")', [True]),
        ('event.title.matches("^A.*x$")', [False]),
        ('event.title.matches("[x]")', []),
        ('event.title.matches("x*")', []),
        ('event.title.matches("x|A")', []),
        ('event.title.matches("(?i)ADA")', []),
        (r'event.title.matches("\\x61")', []),
        (r'event.title.matches("A\\pLa")', []),
        (r'event.title.matches("A\\Q.x")', []),
    ],
)
def test_what_is_said_of_an_event(text: str, said: list[bool]) -> None:
    assert possible(text, EVENT) == said
    if not all(said):
        assert not compile_filter(text).matches(subject(EVENT))


TEXTS = st.text(st.sampled_from("ab\u00e4\ud800\ufffd"), max_size=3)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53), 2**63 - 1, 2**63, 2**64, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), st.lists(TEXTS, max_size=2))
EVENTS = st.dictionaries(
    st.sampled_from("xyz"), st.one_of(VALUES, st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=2)), max_size=3
)
PLACES = st.sampled_from(["event.x", "event.y.x", 'event["z"]'])
CONSTANTS = st.one_of(
    st.integers(-3, 3).map(str),
    st.sampled_from(["9007199254740991", "9007199254740992", "9223372036854775807", "2u", "1.5", "-0.0", "1e300"]),
)
PATTERNS = [
    "", "$", "a", "a$", "^a.*b$", "^ab", "a|b",
    "(a|b)b", "[ab]b", "[^a]b", r"\db", r"\x61b", r"\pLb", r"\Qa", r"\Qa\Eb",
    "(a)b", "(?i)B", "(?:a)b", "a*", "ab?", "b{1}", "b{1}a", r"\\b", ".b", "b.",
]  # fmt: skip
COMPARISONS = st.one_of(
    st.builds("{} {} {}".format, PLACES, st.sampled_from(["<", "<=", ">", ">="]), CONSTANTS),
    st.builds("{} {} {}".format, CONSTANTS, st.sampled_from(["<", "<=", ">", ">="]), PLACES),
    st.builds(
        '{}.{}("{}")'.format,
        PLACES,
        st.sampled_from(["contains", "startsWith", "endsWith"]),
        st.text(st.sampled_from("ab\u00e4\ufffd"), max_size=2),
    ),
    st.builds("{}.matches(r{})".format, PLACES, st.sampled_from([f'"{pattern}"' for pattern in PATTERNS])),
)
EXPRESSIONS = composed(COMPARISONS, max_leaves=4)


@settings(max_examples=examples(300))
@given(EXPRESSIONS, EVENTS)
def test_a_filter_matches_what_cel_says(text: str, event: dict[str, Any]) -> None:
    assert compile_filter(text).matches(subject(event)) is judged(text, event)


def test_cel_is_not_asked_about_what_a_condition_refutes() -> None:
    asked = compile_filter('event.title.contains("x") && event.length.new > 1')
    asked_about: list[object] = []

    def evaluate(activation: object) -> Any:
        asked_about.append(activation)
        raise ValueError

    evaluation, asked._evaluate = asked._evaluate, evaluate
    try:
        assert not asked.matches(subject(EVENT))
        assert not asked_about
        assert not asked.matches(subject({**EVENT, "title": "x"}))
        assert len(asked_about) == 1
    finally:
        asked._evaluate = evaluation

"""The index gives every filter that an event matches, and few others."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.filters.compile import compile_filter
from gateway.filters.index import Clause, FilterIndex, holds
from gateway.filters.subject import Subject
from tests.effort import examples
from tests.filters.expressions import composed

WIKI, TITLE, NUMBER, BOT = ("wiki",), ("title",), ("namespace",), ("bot",)


def clauses_of(text: str) -> tuple[Clause, ...]:
    return compile_filter(text).clauses


def one(path: tuple[str, ...], *values: str | int) -> Clause:
    return ((path, frozenset(values)),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('event.wiki == "a"', [one(WIKI, "a")]),
        ('"a" == event.wiki', [one(WIKI, "a")]),
        ('event["wiki"] == "a"', [one(WIKI, "a")]),
        ('event.meta["domain"] == "a"', [one(("meta", "domain"), "a")]),
        ('event.wiki in ["a", "b"]', [one(WIKI, "a", "b")]),
        ("event.wiki in []", [one(WIKI)]),
        ("event.namespace == -1", [one(NUMBER, -1)]),
        ("event.bot", [one(BOT, True)]),
        ("!event.bot", [one(BOT, False)]),
        ("event.bot == false", [one(BOT, False)]),
        ('event.wiki == "a" && !event.bot', [one(WIKI, "a"), one(BOT, False)]),
        ('event.wiki == "a" && event.length > 5', [one(WIKI, "a")]),
        ('event.wiki == "a" || event.wiki == "b"', [one(WIKI, "a", "b")]),
        ('event.wiki == "a" || event.title == "b"', [((WIKI, frozenset(["a"])), (TITLE, frozenset(["b"])))]),
        ('(event.wiki == "a" && event.bot) || event.title == "b"',
         [((WIKI, frozenset(["a"])), (TITLE, frozenset(["b"])))]),
        # Nothing that holds of every event that matches.
        ('event.wiki == "a" || event.length > 5', []),
        ('event.wiki != "a"', []),
        ('!(event.wiki == "a")', []),
        ("has(event.wiki)", []),
        ("!has(event.wiki)", []),
        ('has(event.wiki) == true && event.wiki.startsWith("a")', []),
        ('event.wiki == event.title', []),
        ('event.wiki in ["a", event.title]', []),
        ('event.names.exists(event, event.wiki == "a")', []),
        ('topic == "a"', []),
        ('event.list[0] == "a"', []),
        # Where CEL and Python may disagree on what is equal.
        ("event.length == 1.0", []),
        ("event.length == null", []),
        ("event.length == 9007199254740992", []),
        ('event.wiki == b"a"', []),
    ],
)  # fmt: skip
def test_what_holds_of_every_event_that_matches(text: str, expected: list[Clause]) -> None:
    assert list(clauses_of(text)) == expected


def candidates(index: FilterIndex[str], event: dict[str, Any]) -> list[str]:
    return sorted(index.candidates(event))


def index_of(*texts: str) -> FilterIndex[str]:
    index: FilterIndex[str] = FilterIndex()
    for text in texts:
        index.add(text, clauses_of(text))
    return index


def test_an_event_has_the_filters_of_its_values_as_candidates() -> None:
    texts = ['event.wiki == "a"', 'event.wiki == "b"', 'event.wiki == "a" || event.title == "t"', "event.length > 5"]
    index = index_of(*texts)
    assert candidates(index, {"wiki": "a", "title": "t"}) == sorted([texts[0], texts[2], texts[3]])
    assert candidates(index, {"wiki": "b"}) == sorted([texts[1], texts[3]])
    assert candidates(index, {"wiki": ["a"], "title": {"t": 1}}) == [texts[3]]
    assert candidates(index, {"wiki": 1.0}) == [texts[3]]


def test_what_is_removed_is_no_candidate_any_more() -> None:
    texts = ['event.wiki == "a"', 'event.wiki == "a" || event.title == "t"', "event.length > 5"]
    index = index_of(*texts)
    for number, text in enumerate(texts):
        index.remove(text)
        assert candidates(index, {"wiki": "a", "title": "t"}) == sorted(texts[number + 1 :])
    index.add(texts[0], clauses_of(texts[0]))
    assert candidates(index, {"wiki": "a"}) == [texts[0]]


def test_what_is_rare_among_the_filters_comes_first_and_booleans_last() -> None:
    texts = [f'!event.bot && event.type == "edit" && event.title == "t{number}"' for number in range(100)]
    index = index_of(*texts)
    event = {"bot": False, "type": "edit", "title": "elsewhere"}
    assert len(candidates(index, event)) <= 1
    assert texts[7] in candidates(index, {**event, "title": "t7"})


NEVER_AND_MORE = ("event.x in []", "event.x in [] || event.y == 1", "event.x == 1", "event.length > 5")


@pytest.mark.parametrize("added", list(permutations(NEVER_AND_MORE)))
def test_nothing_is_left_of_what_was_removed_in_any_order(added: tuple[str, ...]) -> None:
    for removed in permutations(NEVER_AND_MORE):
        index = index_of(*added)
        for number, text in enumerate(removed):
            index.remove(text)
            left = set(removed[number + 1 :]) - {NEVER_AND_MORE[0]}
            assert candidates(index, {"x": 1, "y": 1}) == sorted(left)
        assert (index._paths, index._always, index._clauses) == ({}, {}, {})


NAMES = ("a", "b", "c")
STRINGS = st.sampled_from(["", "x", "y", "\ufffd", "true"])
NUMBERS = st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1])
CONSTANTS = STRINGS | NUMBERS | st.booleans() | st.none() | st.sampled_from([0.0, 1.0, 9007199254740992.0, 2.0**63])
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)
SCALARS = CONSTANTS | st.sampled_from(["\ud800", "x\udfff", 2**63, 2**63 + 1, 2**64, -(2**63)])
EVENTS = st.dictionaries(
    st.sampled_from([*NAMES, "\ud800"]),
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from(NAMES), SCALARS, max_size=3),
)


def literal(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f'"{value}"' if isinstance(value, str) else repr(value)


def member(path: list[str]) -> str:
    return "event" + "".join(f".{name}" if len(path) == 1 else f'["{name}"]' for name in path)


LEAVES = st.one_of(
    st.builds("{} {} {}".format, PATHS.map(member), st.sampled_from(["==", "!="]), CONSTANTS.map(literal)),
    st.builds("{1} == {0}".format, PATHS.map(member), CONSTANTS.map(literal)),
    st.builds("{} in [{}]".format, PATHS.map(member), st.lists(CONSTANTS.map(literal), max_size=3).map(", ".join)),
    st.builds("{} > 0".format, PATHS.map(member)),
    st.builds("has({})".format, st.sampled_from(NAMES).map(lambda name: f"event.{name}")),
    PATHS.map(member),
)
EXPRESSIONS = composed(LEAVES, max_leaves=5)


@pytest.mark.long
@given(st.lists(EXPRESSIONS, min_size=1, max_size=6, unique=True), st.lists(EVENTS, min_size=1, max_size=6), st.data())
@settings(max_examples=examples(300), deadline=None)
def test_every_filter_that_matches_is_a_candidate(texts: list[str], events: list[dict[str, Any]], data: Any) -> None:
    index = index_of(*texts)
    for text in data.draw(st.lists(st.sampled_from(texts), unique=True)):
        index.remove(text)
        index.add(text, clauses_of(text))
    for event in events:
        found = list(index.candidates(event))
        assert len(found) == len(set(found))
        for text in texts:
            if compile_filter(text).matches(Subject(event, "t", 0, 0, 0, None)):
                assert text in found, (text, event)
                assert all(holds(event, clause) for clause in clauses_of(text))
    for text in data.draw(st.permutations(texts)):
        index.remove(text)
    assert (index._paths, index._always, index._clauses) == ({}, {}, {})

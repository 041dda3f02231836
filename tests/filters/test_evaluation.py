"""What filters match."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.filters.compile import Filter, compile_filter
from gateway.filters.subject import Subject
from gateway.model.event import parse_event
from tests.effort import examples

EDIT: dict[str, Any] = {
    "$schema": "/mediawiki/page/change/1.0.0",
    "meta": {"domain": "en.wikipedia.org", "partition": 0},
    "wiki": "enwiki",
    "bot": False,
    "namespace": 4,
    "length": {"old": 100, "new": 700},
    "title": "User:Änne",
    "comment": None,
    "tags": ["a", "b"],
    "score": 0.5,
    "whole": 2.0,
}


def subject(event: dict[str, Any] | None = None, key: bytes | None = None) -> Subject:
    return Subject(EDIT if event is None else event, "eqiad.edits", 2, 17, 1_690_617_099_000, key)


def matches(text: str, event: dict[str, Any] | None = None, key: bytes | None = None) -> bool:
    return compile_filter(text).matches(subject(event, key))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The examples of the contract.
        ('event.wiki == "enwiki" && !event.bot && event.namespace in [0, 4]', True),
        ('event.wiki == "enwiki" && !event.bot && event.namespace in [0, 1]', False),
        ('event.meta.domain.endsWith(".org") || event["$schema"].startsWith("/mediawiki/page")', True),
        ("has(event.length) && event.length.new - event.length.old > 500", True),
        ("has(event.length) && event.length.new - event.length.old > 600", False),
        ('event.title.matches("^User:")', True),
        ('event.title.matches("^Talk:")', False),
        # The other variables.
        ('topic == "eqiad.edits" && partition == 2 && offset == 17 && timestamp == 1690617099000', True),
        ("timestamp + 1 == 1690617099001 && topic.size() == 11", True),
        ("key == null", True),
        # A field that is not there, around && and ||.
        ("event.absent == 1", False),
        ("event.absent != 1", False),
        ("!(event.absent == 1)", False),
        ("event.absent == 1 || true", True),
        ("true || event.absent == 1", True),
        ('event.absent == 1 || event.wiki == "enwiki"', True),
        ("event.absent == 1 || event.bot", False),
        ("event.absent == 1 && true", False),
        ("!(event.absent == 1 && event.bot)", True),
        ("event.absent.deeper == 1", False),
        ("has(event.absent)", False),
        ("!has(event.absent) && has(event.comment)", True),
        ('"wiki" in event && !("absent" in event)', True),
        # A type that does not fit, and results that are no boolean.
        ("event.wiki + 1 == 2", False),
        ("event.wiki < 5", False),
        ("event.wiki", False),
        ("event.namespace", False),
        ("event.comment", False),
        ("event.tags", False),
        ("event.meta", False),
        ("event.score", False),
        ("event", False),
        ("event.bot", False),
        ("event.comment == null", True),
        # Numbers.
        ("event.namespace == 4.0 && event.namespace < 4.5 && event.score > 0", True),
        ("event.whole == 2", True),
        ("event.whole + 1.0 == 3.0", True),
        ("event.whole + 1 == 3", False),
        ("event.namespace + 1.0 == 5.0", False),
        ("type(event.whole) == double && type(event.namespace) == int", True),
        ("event.namespace / 0 == 1", False),
        # Lists, macros and text.
        ('event.tags.exists(tag, tag == "b") && event.tags.all(tag, tag < "c")', True),
        ('event.tags.filter(tag, tag == "b").size() == 1 && event.tags[0] == "a"', True),
        ('event.tags.map(tag, tag + "!") == ["a!", "b!"]', True),
        ("event.tags[2] == event.tags[2]", False),
        ('event.title.size() == 9 && event.title.contains("Ä")', True),
        ('event.title == "User:\\u00c4nne" && event.title == r"User:Änne"', True),
        ('event.title.matches(event["title"])', True),
        ("[1].all(event, event == 1)", True),
        (".event.namespace == 4", True),
        ('event == {"wiki": "enwiki"}', False),
    ],
)
def test_examples(text: str, expected: bool) -> None:
    assert matches(text) is expected


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ('key == "a"', b"a", True),
        ('key == "a"', None, False),
        ("key == null", b"", False),
        ('key == "\\ufffd"', b"\xff", True),
        ('key.startsWith("Ä")', "Änne".encode(), True),
    ],
)
def test_the_key_is_a_string_or_null(text: str, key: bytes | None, expected: bool) -> None:
    assert matches(text, key=key) is expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'{"n":9223372036854775807}', "event.n == 9223372036854775807 && type(event.n) == int"),
        (b'{"n":-9223372036854775808}', "event.n == -9223372036854775808 && type(event.n) == int"),
        (b'{"n":9223372036854775808}', "event.n == 9223372036854775808.0 && type(event.n) == double"),
        (b'{"n":18446744073709551615}', "event.n + 1.0 > 1.0 && type(event.n) == double"),
        (b'{"n":18446744073709551616}', "type(event.n) == double"),
        (b'{"n":-9223372036854775809}', "type(event.n) == double"),
        (b'{"n":1' + b"0" * 5000 + b"}", "type(event.n) == double && event.n > 1e308"),
        (b'{"n":[{"n":9223372036854775808}]}', "type(event.n[0].n) == double"),
        (b'{"n":9223372036854775808,"m":1}', "event.m == 1"),
        (b'{"n":9223372036854775808,"m":1}', 'event.m == 1 && size(event) == 2 && type(event["n"]) == double'),
        (b'{"n":1e400}', 'type(event.n) == double && event.n == double("inf")'),
        (b'{"n":1.0}', "type(event.n) == double"),
        (b'{"n":1e2}', "type(event.n) == double && event.n == 100"),
        (b'{"n":-0}', "type(event.n) == int && event.n == 0"),
        (b'{"n":true}', "type(event.n) == bool && event.n != 1"),
        (b'{"s":"\\ud800a","m":1}', "event.m == 1"),
        (b'{"s":"\\ud800a","m":1}', 'event.m == 1 && size(event.s) == 2 && event.s.endsWith("a")'),
        (b'{"s":"\\ud800a","m":1}', r'event.s.matches(r"^\x{fffd}a$") && bytes(event.s) == b"\xef\xbf\xbda"'),
        (b'{"s":"\\ud800a"}', 'event.s != "\\ufffda" && event.s == event.s'),
        (b'{"s":"a\\u0000b"}', 'event.s == "a\\u0000b" && size(event.s) == 3 && event.s.matches("a.b$")'),
        (b'{"\\ud800":1,"m":1}', "size(event) == 2 && event.m == 1"),
    ],
)
def test_numbers_and_strings_at_the_edges(value: bytes, text: str) -> None:
    assert compile_filter(text).matches(subject(parse_event(value)))


def test_an_int_too_large_for_a_double_is_infinite() -> None:
    assert matches("event.n > 1e308 && event.m < -1e308", {"n": 10**400, "m": -(10**400)})


def test_the_event_is_left_as_it_was() -> None:
    event = {"n": [2**63], "s": "\ud800"}
    assert matches("event == event", event)
    assert event == {"n": [2**63], "s": "\ud800"}
    assert type(event["n"][0]) is int


FIELDS = ("a", "b", "c")
VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0]) | st.sampled_from(["", "x"])
FLAT_EVENTS = st.dictionaries(st.sampled_from(FIELDS), VALUES)
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">=": operator.ge,
}
Verdict = bool | None
"""None: the evaluation fails."""
Expression = tuple[str, Any]


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else repr(value)


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return type(value).__name__
    return "number" if isinstance(value, (int, float)) else "string"


def _compare(event: dict[str, Any], name: str, sign: str, constant: object) -> Verdict:
    if name not in event:
        return None
    value = event[name]
    if _kind(value) != _kind(constant):
        return {"==": False, "!=": True}.get(sign)
    if value is None and sign not in {"==", "!="}:
        return None
    return bool(COMPARISONS[sign](value, constant))


def _and(left: Verdict, right: Verdict) -> Verdict:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _comparison(name: str, sign: str, constant: object) -> Expression:
    return f"event.{name} {sign} {_literal(constant)}", lambda event: _compare(event, name, sign, constant)


def _presence(name: str) -> Expression:
    return f"has(event.{name})", lambda event: name in event


def _field(name: str) -> Expression:
    def verdict(event: dict[str, Any]) -> Verdict:
        value = event.get(name)
        return value if isinstance(value, bool) else None

    return f"event.{name}", verdict


def _not(inner: Expression) -> Expression:
    def verdict(event: dict[str, Any]) -> Verdict:
        value: Verdict = inner[1](event)
        return None if value is None else not value

    return f"!({inner[0]})", verdict


def _both(pair: tuple[Expression, Expression]) -> Expression:
    left, right = pair
    return f"({left[0]}) && ({right[0]})", lambda event: _and(left[1](event), right[1](event))


def _either(pair: tuple[Expression, Expression]) -> Expression:
    left, right = pair

    def verdict(event: dict[str, Any]) -> Verdict:
        negated = [None if value is None else not value for value in (left[1](event), right[1](event))]
        both = _and(*negated)
        return None if both is None else not both

    return f"({left[0]}) || ({right[0]})", verdict


# Null has no order in CEL, and the checker says so at once: compared by == and != alone.
LEAVES = (
    st.builds(_comparison, st.sampled_from(FIELDS), st.sampled_from(["==", "!="]), VALUES)
    | st.builds(
        _comparison,
        st.sampled_from(FIELDS),
        st.sampled_from(["<", ">="]),
        VALUES.filter(lambda value: value is not None),
    )
    | st.builds(_presence, st.sampled_from(FIELDS))
    | st.builds(_field, st.sampled_from(FIELDS))
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(inner, inner).map(_both) | st.tuples(inner, inner).map(_either) | inner.map(_not),
    max_leaves=6,
)


@given(EXPRESSIONS, st.lists(FLAT_EVENTS, min_size=1, max_size=6))
@settings(max_examples=examples(150), deadline=None)
def test_filters_agree_with_a_reference(expression: Expression, events: list[dict[str, Any]]) -> None:
    text, verdict = expression
    compiled: Filter = compile_filter(text)
    for event in events:
        assert compiled.matches(subject(event)) is (verdict(event) is True), (text, event)

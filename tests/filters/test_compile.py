"""What compiles to a filter, and what is said of the rest."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidExpression
from gateway.filters.compile import Filter, FilterBounds, compile_filter
from gateway.filters.lexer import canonical_text, tokens
from gateway.filters.syntax import parse
from gateway.filters.tree import Node, children
from tests.effort import examples
from tests.speed import slowness


def error(text: str, bounds: FilterBounds | None = None) -> InvalidExpression:
    with pytest.raises(InvalidExpression) as caught:
        compile_filter(text, bounds or FilterBounds())
    said = str(caught.value)
    for leak in ("INVALID_ARGUMENT", "<input>", "ERROR", "\n", "NUM_FLOAT", "container"):
        assert leak not in said
    assert len(said) < 320
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "detail"),
    [
        ("", 1, 1, "empty"),
        (" \n // nothing", 1, 1, "empty"),
        ("event.x ==", 1, 11, "ends too early"),
        ("(true", 1, 6, "ends too early"),
        ("a b", 1, 3, "'b' is not expected"),
        ("event..a", 1, 7, "'.' is not expected"),
        ("true &&\n\n && false", 3, 2, "'&&' is not expected"),
        ("event.x = 2", 1, 9, "'=' is not understood here; did you mean '=='?"),
        ("event.x & event.y", 1, 9, "did you mean '&&'?"),
        ("event.x and event.y", 1, 9, "did you mean '&&'?"),
        ("not event.x", 1, 1, "'not' is not expected here; did you mean '!'?"),
        ("event.x && not event.y", 1, 12, "did you mean '!'?"),
        ("event.x <> event.y", 1, 9, "'<>' is not expected here; did you mean '!='?"),
        ("event.t.startswith('a')", 1, 9, "did you mean 'startsWith'?"),
        ("startsWith(event.t, 'a')", 1, 1, "is written text.startsWith(…)"),
        ("event.t.contains()", 1, 9, "does not take 0 arguments"),
        ("timestamp(0).getHours('/dev/ptmx') == 1", 1, 23, "no time zone '/dev/ptmx'"),
        ("timestamp(0).getHours('Europe/Berln') == 1", 1, 23, "did you mean 'Europe/Berlin'?"),
        ("{1.5: 1} == {}", 1, 2, "double cannot be the key of a map"),
        ("[{null: 1}] == []", 1, 3, "null cannot be the key of a map"),
        ("event.t.matches('a{500}{3}b{700}')", 1, 17, "repeats more than 1,000 times"),
        ("event.t.matches('" + "(){1000}" * 80 + "')", 1, 17, "repeats more than 1,000 times"),
        (" || ".join(f"event.t.matches('{n}')" for n in range(17)), 1, 407, "more than 16 regular expressions"),
        ("event.x == 'abc", 1, 12, "string is not closed"),
        ('"\\q" == event.x', 1, 1, "invalid escape"),
        ("true\u00a0|| false", 1, 5, "U+00A0"),
        ("1 + 'a' == 2", 1, 3, "'+' cannot be applied to int and string"),
        ("topic - 1 == 2", 1, 7, "'-' cannot be applied to string and int"),
        ("!topic", 1, 1, "'!' cannot be applied to string"),
        ("topic[0] == 'a'", 1, 6, "[ ] cannot be applied"),
        ("1 in 2", 1, 3, "'in' cannot be applied"),
        ("topic.startsWith(1)", 1, 7, "startsWith() cannot be applied"),
        ("evnt.x == 1", 1, 1, "did you mean 'event'?"),
        ("true && evnt.meta.x == 1", 1, 9, "no variable 'evnt'"),
        ("zzz", 1, 1, "an expression sees event, topic, partition, offset, timestamp, key"),
        ("event.frob('x')", 1, 7, "no function 'frob'"),
        ("'é😀' == foo", 1, 9, "no variable 'foo'"),
        ("event.x == 1 &&\n  foo", 2, 3, "no variable 'foo'"),
        ("has(event)", 1, 5, "has(event.name)"),
        ("99999999999999999999 == 1", 1, 1, "int"),
        ("if", 1, 1, "reserved"),
        # It can never be boolean.
        ("1", 1, 1, "gives int"),
        ("\n  topic + topic", 2, 3, "gives string"),
        ("event.x + 1.0", 1, 1, "true or false"),
        ("[event]", 1, 1, "gives list"),
        ("null", 1, 1, "gives null"),
        ("size(event)", 1, 1, "gives int"),
        # Constant regular expressions, wherever they are.
        ("event.t.matches('[')", 1, 17, "missing ]"),
        ("'é' == topic ||\n matches(topic, '(')", 2, 17, "missing )"),
        ("event.a.exists(x, x.matches('a**(?<'))", 1, 29, "regular expression is invalid"),
        ("has(event.a) ? event.t.matches('\\\\8') : true", 1, 32, "regular expression is invalid"),
        ("\ud800", 1, 1, "surrogate"),
        ("true\x00", 1, 5, "not understood"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, line: int, column: int, detail: str) -> None:
    found = error(text)
    assert detail in str(found)
    assert (found.line, found.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("true" + " " * 4093, "filter_max_length"),
        ("'" + "é" * 2047 + "' == topic", "filter_max_length"),
        ("(" * 2000, "filter_max_depth"),
        ("(" * 2000 + "true" + ")" * 2000, "filter_max_depth"),
        ("[" * 1000 + "]" * 1000, "filter_max_depth"),
        ("{1:" * 1000 + "1" + "}" * 1000, "filter_max_depth"),
        ("event" + ".a" * 2000, "filter_max_depth"),
        ("event" + "[0]" * 1000, "filter_max_depth"),
        ("+".join(["1"] * 1000) + " > 0", "filter_max_depth"),
        ("==".join(["true"] * 500), "filter_max_depth"),
        ("true ? true : " * 250 + "true", "filter_max_depth"),
        ("event" + ".map(x, x)" * 400, "filter_max_depth"),
        ("event.all(a, " * 100 + "true" + ")" * 100, "filter_max_depth"),
    ],
)  # fmt: skip
def test_what_exceeds_a_bound_names_the_setting(text: str, setting: str) -> None:
    started = time.process_time()
    assert setting in str(error(text))
    assert time.process_time() - started < 0.5 * slowness()


HOSTILE = [
    "@", "@ ", "@\n", "'", "\"\\", "`", "\"\"\"", "r\"\"\"'''", "b'''", "\"\"\"\\", "//", "1.", "?", "{", "}",
    "a.", "\\", "é", "a(", "in ", "\x00", "0x", "[1,", "!-", "event.all(x,", "x{",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_ends_soon(piece: str) -> None:
    started = time.process_time()
    error(piece * (4096 // len(piece.encode())))
    assert time.process_time() - started < 0.7 * slowness()


@given(st.text(alphabet="event.xmap()[]{}'\"\\ 1+-&|!?:,abrB/\n", max_size=40))
@settings(max_examples=examples(150), deadline=None)
def test_any_text_compiles_or_is_refused(text: str) -> None:
    refused: InvalidExpression | None = None
    compiled: Filter | None = None
    try:
        compiled = compile_filter(text)
    except InvalidExpression as caught:
        refused = caught
    if compiled is not None:
        assert same(compiled.text, text)
    if refused is not None:
        lines = text.split("\n")
        assert 1 <= refused.line <= len(lines)
        assert 1 <= refused.column <= len(lines[refused.line - 1]) + 1


def test_bounds_are_settings() -> None:
    assert "and 3 are allowed" in str(error("true", FilterBounds(filter_max_length=3)))
    assert "more than 2 deep" in str(error("event.a.b", FilterBounds(filter_max_depth=2)))
    assert compile_filter("event.a", FilterBounds(filter_max_depth=2)).text == "event.a"


# The canonical text.

PIECES = [
    "event", ".", "a", "(", ")", "[", "]", "&&", "||", "!", "==", "<", "<=", "-", "1", "1.5", "0x1F", "2u",
    "'a b'", "\"//\"", "r'\\'", "b'x'", "'''\n'''", "?", ":", ",", "in", "has", "size", "{", "}", "`a-b`",
]  # fmt: skip
SPACES = st.sampled_from(["", " ", "\t", "\n", "\r\n", "  ", " // a 'comment\n", "//\n"])

VALID = [
    "event.a==1&&!event.b||event.c in[1,2.5]",
    "event['a b'].c<=-1&&-(-1)==- -1",
    'has(event.a)?event["//"]:event.b.exists(x,x.size()>0x1F)',
    "1.5<event.a&&{'k':[1,2]}['k'][0]==1 ",
    "event.a=='it\\'s'||r'\\d'==event.b",
    "'''a\n\"b'''==event.x&&b'\\xff'!=bytes(event.y)",
    "timestamp>0&&topic.matches('^a  b$')",
    "event.a-1==event.b- -1",
    "dyn(1)==1u",
]


def same(first: str, second: str) -> bool:
    return shape(parse(first, 32)) == shape(parse(second, 32))


def shape(node: Node) -> object:
    """The tree without its positions."""
    own = {name: getattr(node, name) for name in type(node).__match_args__ if name != "position"}
    plain = {name: value for name, value in own.items() if isinstance(value, (str, int, float, bytes, type(None)))}
    return (type(node).__name__, repr(plain), tuple(shape(child) for child in children(node)))


@pytest.mark.parametrize("text", VALID)
def test_the_canonical_text_has_the_same_meaning(text: str) -> None:
    compiled = compile_filter(text)
    assert compile_filter(compiled.text).text == compiled.text
    assert same(compiled.text, text)


@given(st.sampled_from(VALID), st.data())
@settings(max_examples=examples(60), deadline=None)
def test_spaces_and_comments_do_not_count(text: str, data: st.DataObject) -> None:
    spaced = data.draw(SPACES)
    for token in tokens(text):
        spaced += token.text + data.draw(SPACES.filter(bool))
    assert compile_filter(spaced).text == compile_filter(text).text


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.lists(SPACES, min_size=12, max_size=12))
@settings(max_examples=examples(150), deadline=None)
def test_the_canonical_text_keeps_the_tokens(pieces: list[str], spaces: list[str]) -> None:
    text = "".join(piece + space for piece, space in zip(pieces, spaces, strict=False))
    try:
        found = tokens(text)
        parse(text, 32)
    except InvalidExpression:
        return  # No expression: what its text becomes does not matter.
    assert [token.text for token in tokens(canonical_text(found))] == [token.text for token in found]
    assert same(canonical_text(found), text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("event.a == 'x y'", "event.a == 'x  y'"),
        ("event.a == 'x//y'", "event.a == 'x'"),
        ("event.a == \"x\"", "event.a == \"X\""),
        ("event.a == 1", "event.a == 1.0"),
        ("event.a == 1", "event.a == 1u"),
        ("event.a && event.b", "event.b && event.a"),
        ("event.a == '''\n'''", "event.a == ''' '''"),
        ("event.a == r'\\n'", "event.a == '\\n'"),
    ],
)  # fmt: skip
def test_different_meanings_have_different_texts(first: str, second: str) -> None:
    assert compile_filter(first).text != compile_filter(second).text


def test_the_canonical_text_reads_well() -> None:
    text = compile_filter("event . wiki=='enwiki'&& ! event.bot // people\n && event.namespace in[0,4]").text
    assert text == "event.wiki == 'enwiki' && !event.bot && event.namespace in [0, 4]"


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ('event.wiki = "enwiki"', 12, "did you mean '=='?"),
        ('event.wiki === "enwiki"', 14, "did you mean '=='?"),
        ('event.title =~ "x"', 13, "did you mean '.matches(…)'?"),
        ("event.bot OR event.minor", 11, "did you mean '||'?"),
        ("event.user IS null", 12, "did you mean '=='?"),
        ('event.title LIKE "User%"', 13, 'did you mean .matches(), as in event.title.matches("^User")?'),
        ('event.title contains "User"', 13, "did you mean .contains(), as in"),
        ("event.wiki == enwiki", 15, 'did you mean "enwiki" in quotes?'),
        ("event.wiki in [enwiki, dewiki]", 16, 'did you mean "enwiki" in quotes?'),
        ('event.wiki in ("enwiki", "dewiki")', 24, "lists stand in square brackets"),
        ("event.title == Main Page", 21, "texts stand in quotes"),
        ("event.title == “Main”", 16, "did you mean a straight quote?"),
        ("wiki:enwiki", 5, "did you mean '=='?"),
        ('wiki == "enwiki"', 1, "did you mean 'event.wiki'?"),
        ('meta.domain == "x"', 1, "did you mean 'event.meta'?"),
        ('"x" in tags', 8, "did you mean 'event.tags'?"),
        ("!bot", 2, "did you mean 'event.bot'?"),
        ("event.bot == True", 14, "did you mean 'true'?"),
        ("event.user == None", 15, "did you mean 'null'?"),
        ('topik == "x"', 1, "did you mean 'topic'?"),
        ('event.wiki IN ["a"]', 12, "did you mean 'in', in small letters?"),
        ('event.wiki NOT IN ["a"]', 12, "did you mean !(… in …)?"),
        ("len(event.title) > 3", 1, "did you mean 'size'?"),
        ('event.title.toLowerCase() == "x"', 13, 'did you mean .matches("(?i)…"), which ignores case?'),
        ("event.timestamp > now()", 19, "did you mean the parameter since, as in since=5m?"),
    ],
)
def test_a_hint_for_what_other_languages_write(text: str, column: int, hint: str) -> None:
    with pytest.raises(InvalidExpression) as raised:
        compile_filter(text)
    assert raised.value.column == column
    assert hint in str(raised.value)

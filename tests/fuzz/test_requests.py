"""What comes in the address and the headers of a request."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.errors import InvalidExpression, InvalidFields, InvalidPosition, Problem
from gateway.filters.compile import FilterBounds, compile_filter
from gateway.filters.fields import compile_fields
from gateway.filters.subject import Subject
from gateway.limits.networks import Networks
from gateway.model.position import parse_position
from gateway.routes.negotiate import accepts_gzip, choose_format, prefers_json
from gateway.routes.parameters import PARAMETERS, RequestBounds, read_request
from gateway.routes.peer import sender
from gateway.times import parse_time
from tests.access.kit import NOW
from tests.effort import examples
from tests.fuzz.kit import JSON, Fuzzer, damaged, pieces

# Each process has figures of its own, which are shown at the end.
pytestmark = pytest.mark.alone

CATALOG = Catalog([Stream("news", ("news", "other")), Stream("edits", ("edits",), ("changes",))])

position = Fuzzer("Last-Event-ID", (InvalidPosition,))
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "topic": st.sampled_from(["news", "edits", ""]) | JSON,
        "partition": st.integers(-2, 2**65) | JSON,
        "offset": st.integers(-2, 2**65) | JSON,
        "timestamp": st.integers(-2, 2**65) | JSON,
        "seen": JSON,
        "more": JSON,
    },
)
GOOD_ENTRY = st.fixed_dictionaries(
    {
        "topic": st.sampled_from(["news", "edits"]),
        "partition": st.integers(0, 2**63 - 1),
        "offset": st.integers(-1, 99),
    },
    optional={"timestamp": st.integers(0, 2**63 - 1), "seen": st.integers(0, 9)},
)
GOOD_POSITIONS = st.lists(GOOD_ENTRY, min_size=1, max_size=6).map(lambda value: json.dumps(value).encode())
POSITIONS = (st.lists(ENTRY, max_size=6) | JSON).map(lambda value: json.dumps(value).encode())


@settings(max_examples=examples(100), deadline=None)
@given(GOOD_POSITIONS | damaged(GOOD_POSITIONS) | POSITIONS | st.binary(max_size=60))
@example(b"[" * 65536)
@example(b'[{"topic":"' + b"x" * 65000)
@example(b"[" + b",".join(b'{"topic":"t","partition":%d,"offset":1}' % number for number in range(1600)) + b"]")
@example(b'[{"topic":"t","partition":' + b"9" * 65000 + b"}]")
def test_position(text: bytes) -> None:
    parsed = position.attempt(lambda: parse_position(text))
    for place, requested in (parsed or {}).items():
        assert place.topic
        assert place.partition >= 0
        assert requested.offset is not None or requested.timestamp is not None
        assert (requested.offset or 0) >= 0
        assert (requested.timestamp or 0) >= 0


expression = Fuzzer("filter", (InvalidExpression,))
EVENT: dict[str, Any] = {
    "$schema": "/x/1.0.0",
    "meta": {"domain": "a.example", "id": "x"},
    "wiki": "enwiki",
    "bot": False,
    "tags": ["a", "b", 1, None, {"x": 1.5}],
    "length": {"old": 1, "new": 2**63 - 1},
    "text": "x" * 2000,
}
SUBJECT = Subject(EVENT, "news", 0, 1, NOW, b"key")
WORDS = (
    *(
        "event",
        "event.",
        'event["',
        '"]',
        "event.wiki",
        "event.tags",
        "event.text",
        "topic",
        "partition",
        "offset",
        "key",
    ),
    *("timestamp", "==", "!=", "<", ">=", "&&", "||", "!", "-", "+", "*", "/", "%", "?", ":", "in", "(", ")", "[", "]"),
    *(
        "{",
        "}",
        ",",
        ".",
        " ",
        '"',
        "'",
        '"""',
        "\\",
        "r'",
        "b'",
        "true",
        "false",
        "null",
        "1",
        "1u",
        "1.5e308",
        "0x1F",
    ),
    *(
        "9223372036854775807",
        "has(",
        "size(",
        "matches('",
        "(a+)+$",
        "[a-z]{1000}",
        "startsWith(",
        "all(x, ",
        "map(x, ",
    ),
    *("filter(x, ", "exists(x, ", "exists_one(x, ", "type(", "string(", "int(", "duration('1h')", "timestamp('"),
    *("//", "\n", "dyn(", "x", "_", "as", "google.protobuf.Any{", "event.tags.map(x, event.tags.map(y, x))"),
)
TERMS = st.sampled_from(
    [
        "event.wiki",
        "event.bot",
        "event.tags",
        "event.length.new",
        "event.nothing",
        '"enwiki"',
        "1",
        "1.0",
        "null",
        "true",
        "event.text",
        "size(event.text)",
        "topic",
        "key",
        "offset",
        "event",
        "event.meta",
        "[1, 2]",
        '{"a": 1}',
        "timestamp",
    ]
)
OPERATORS = ("==", "!=", "<", ">", "<=", ">=", "&&", "||", "+", "-", "*", "/", "%", "in")
GROWN = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
        st.tuples(inner, st.sampled_from(["all", "exists", "exists_one", "map", "filter"]), inner).map(
            lambda three: f"{three[0]}.{three[1]}(x, {three[2]})"
        ),
        inner.map(lambda text: f'{text}.matches("(a|b*)*c$")'),
        inner.map(lambda text: f"has({text})"),
    ),
    max_leaves=10,
)


@settings(max_examples=examples(150), deadline=None)
@given(GROWN | pieces(*WORDS) | damaged(GROWN.map(str.encode)).map(lambda text: text.decode("latin-1")))
@example("(" * 4096)
@example("!" * 4096)
@example("-" * 4096)
@example("event" + ".a" * 2000)
@example("event" + "[0]" * 1300)
@example(" || ".join(["event.bot"] * 300))
@example('event.text.matches("' + "(a*)*" * 500 + '")')
@example("'" + "\\" * 4000)
@example("event.tags.map(x, " * 20 + "x" + ")" * 20)
def test_filter(text: str) -> None:
    compiled = expression.attempt(lambda: compile_filter(text, FilterBounds()))
    if compiled is not None:
        assert expression.attempt(lambda: compiled.matches(SUBJECT)) in (True, False)


times = Fuzzer("since, until", (ValueError,))


@settings(max_examples=examples(150), deadline=None)
@given(
    pieces(
        "2026-01-31",
        "T",
        "12:00:00",
        "Z",
        "+",
        "-",
        " ",
        "01:00",
        ".",
        ",",
        "999",
        "10",
        "m",
        "h",
        "d",
        "ms",
        "W05",
        "٣",
    )
)
@example("9" * 1_000_000)
@example("0" * 500_000 + ".")
@example("00:00" * 200_000 + " ")
@example("0.0," * 200_000 + " 00")
@example("1" * 12 + "w")
def test_times(text: str) -> None:
    time = times.attempt(lambda: parse_time(text, NOW))
    assert time is None or 0 <= time < 253_402_300_800_000


fields = Fuzzer("fields", (InvalidFields,))


@settings(max_examples=examples(50), deadline=None)
@given(pieces("meta", "tags", "length", "wiki", "$schema", "x", ".", ",", " ", "é"))
@example("a," * 2048)
@example("a." * 2048)
@example(",".join(f"a.b{number}" for number in range(100)))
def test_fields(text: str) -> None:
    compiled = fields.attempt(lambda: compile_fields(text))
    if compiled is not None:
        cut = json.loads(compiled.cut(json.dumps(EVENT).encode(), EVENT))
        assert cut["meta"] == EVENT["meta"]
        assert set(cut) <= set(EVENT)


negotiation = Fuzzer("Accept, Accept-Encoding", (Problem,))


@settings(max_examples=examples(100), deadline=None)
@given(
    pieces(
        "text/event-stream", "application/json", "*/*", "*", "/", "gzip", "identity", ";", "q=", "q", "=", ",", "0", "1"
    )
    | pieces("0.", "5", "nan", "inf", "-1", "1e400", "1_0", ";q=", "application/x-ndjson", "text/html", "x-gzip", '"')
)
@example(",".join(["*/*;q=1"] * 100_000))
@example(";" * 500_000)
@example("a;q=" + "1" * 1_000_000)
@example("a;q=0." + "0" * 1_000_000 + "1")
def test_negotiation(header: str) -> None:
    negotiation.attempt(lambda: choose_format(header))
    assert negotiation.attempt(lambda: accepts_gzip(header)) in (True, False)
    assert negotiation.attempt(lambda: prefers_json(header)) in (True, False)


request = Fuzzer("address and headers", (Problem,))
NAMES = pieces("news", "edits", "changes", ",", "*", "?", "new", "%", "/", "..", most=8)
VALUES = pieces(
    "10m", "2026-01-01", "1", "true", "event.bot", "wiki", "[]", '[{"topic":"news","partition":0,"offset":1}]'
)
HEADERS = st.dictionaries(
    st.sampled_from(["accept", "accept-encoding", "last-event-id"]), VALUES | pieces("*/*", "gzip")
)


@pytest.mark.long
@settings(max_examples=examples(100), deadline=None)
@given(
    NAMES,
    st.lists(st.tuples(st.sampled_from(PARAMETERS) | pieces(*PARAMETERS, most=3), VALUES), max_size=4),
    st.binary(max_size=12),
    HEADERS,
)
@example("news", [("x" * 1_000_000, "")], b"", {})
@example("x" * 1_000_000, [], b"", {})
@example("*" * 500_000 + "a", [], b"", {})
@example("," * 500_000, [], b"", {})
@example("news", [("since", "1")] * 50_000, b"", {})
@example("news", [], b"&" * 500_000, {})
@example("news", [], b"%" * 500_000, {})
def test_request(names: str, query: list[tuple[str, str]], more: bytes, headers: dict[str, str]) -> None:
    written = "&".join(
        f"{quote_plus(key, errors='replace')}={quote_plus(value, errors='replace')}" for key, value in query
    )
    raw = b"&".join(part for part in (written.encode(), more) if part)

    def read() -> object:
        try:
            return read_request(names, raw, headers, CATALOG, RequestBounds(), NOW)
        except Problem as problem:
            _check_problem(problem)
            raise

    request.attempt(read)


def _check_problem(problem: Problem) -> None:
    assert problem.status in (400, 404, 406)
    # An answer repeats little of what was sent: the name of what is at fault, and the beginning of the rest.
    assert len(json.dumps(problem.document() | {"parameter": ""})) < 10_000


forwarded = Fuzzer("Forwarded, X-Forwarded-For", ())
TRUSTED = Networks(["127.0.0.0/8", "10.0.0.0/8"])
FORWARDED_WORDS = (
    "for",
    "=",
    ",",
    ";",
    " ",
    '"',
    "[",
    "]",
    ":",
    "10.0.0.1",
    "192.0.2.7",
    "2001:db8::1",
    "unknown",
    "\\",
    "by=x",
    "%0",
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(pieces(*FORWARDED_WORDS), max_size=3), st.sampled_from([b"forwarded", b"x-forwarded-for"]))
@example(["for=10.0.0.1," * 50_000], b"forwarded")
@example(["10.0.0.1," * 50_000], b"x-forwarded-for")
@example(['for="' + "\\" * 300_000], b"forwarded")
@example(["a" * 500_000], b"forwarded")
@example([" " * 500_000], b"forwarded")
@example([";" * 500_000], b"forwarded")
def test_forwarded(values: list[str], name: bytes) -> None:
    raw = [(name, value.encode(errors="replace")) for value in values]
    found = forwarded.attempt(lambda: sender({"client": ("127.0.0.1", 5), "headers": raw}, TRUSTED, name))
    assert found is not None
    # Of somebody who is not trusted, no header is believed.
    stranger = sender({"client": ("192.0.2.1", 5), "headers": raw}, TRUSTED, name)
    assert str(stranger.address) == "192.0.2.1"
    assert stranger.vouched == (not values)

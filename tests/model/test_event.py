"""What is an event, and what is not (RFC 8259)."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRecord
from gateway.model.event import (
    MAXIMUM_DEPTH,
    is_canary,
    nesting,
    one_line,
    parse_again,
    parse_event,
    parsed_size,
)
from gateway.model.glance import Sight, check_event
from tests.effort import examples

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
EVENTS = st.dictionaries(st.text(), JSON_VALUES, max_size=5)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "not JSON"),
        (b"1", "a number"),
        (b'"x"', "a string"),
        (b"null", "null"),
        (b"true", "a boolean"),
        (b"[{}]", "an array"),
        (b"{", "not JSON"),
        (b"{}{}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":+1}', "not JSON"),
        (b'{"a":1.}', "not JSON"),
        (b'{"a":.5}', "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":"\\x"}', "not JSON"),
        (b'{"a":"\\u12g4"}', "not JSON"),
        (b'{"a":1}\x0c', "not JSON"),
        (b'{"a":1}\x00', "not JSON"),
        ('{"a":1}\u00a0'.encode(), "not JSON"),
        ('{"a":\u0661}'.encode(), "not JSON"),
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a":"\xc0\x80"}', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not"),
    ],
)
def test_what_is_no_event(value: bytes | None, reason: str) -> None:
    for read in (parse_event, check_event):
        with pytest.raises(BadRecord, match=reason):
            read(value)


@pytest.mark.parametrize(
    ("value", "event"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a" :\n1 } ', {"a": 1}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
        (b'{"\\udc00x":"\\ud83d\\ude00"}', {"\udc00x": "\U0001f600"}),
        (b'{"a":1e400,"b":-1e400}', {"a": float("inf"), "b": float("-inf")}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":-0,"b":1.0,"c":1E2}', {"a": 0, "b": 1.0, "c": 100.0}),
        (b'{"":{"":[]}}', {"": {"": []}}),
        (b'{"a":"\x7f\xc2\x80"}', {"a": "\x7f\x80"}),
        (b'{"a":9223372036854775807,"b":-9223372036854775808}', {"a": 2**63 - 1, "b": -(2**63)}),
        (b'{"a":9223372036854775807,"b":"\\ud800"}', {"a": 2**63 - 1, "b": "\ud800"}),
    ],
)
def test_what_is_an_event(value: bytes, event: dict[str, Any]) -> None:
    parsed = parse_event(value)
    assert parsed == event
    assert check_event(value) == Sight(False, ())
    assert [type(member) for member in parsed.values()] == [type(member) for member in event.values()]


def test_numbers_of_any_length_take_linear_time() -> None:
    digits = b"9" * 500_000
    started = time.process_time()
    event = parse_event(b'{"whole":' + digits + b',"part":0.' + digits + b',"lone":"\\ud800"}')
    assert time.process_time() - started < 1
    assert event["whole"] == float("inf")
    assert event["part"] == 1.0


def test_beyond_64_bits_the_strict_path_gives_doubles() -> None:
    event = parse_event(b'{"a":9223372036854775808,"b":-9223372036854775809,"lone":"\\ud800"}')
    assert (event["a"], event["b"]) == (2.0**63, -(2.0**63))
    assert type(event["a"]) is type(event["b"]) is float


@pytest.mark.parametrize("rest", [b"", b',"lone":"\\ud800"'], ids=["fast path", "strict path"])
@pytest.mark.parametrize("pair", [(b'{"a":', b"}"), (b"[", b"]")])
def test_nesting_is_bounded_alike_on_both_paths(pair: tuple[bytes, bytes], rest: bytes) -> None:
    opening, closing = pair

    def nested(depth: int) -> bytes:
        inner = opening * (depth - 1) + b'"[[{{"' + closing * (depth - 1)
        return b'{"x":' + inner + b',"flat":[' + b",".join([b"[]"] * 300) + b"]" + rest + b"}"

    for read in (parse_event, check_event):
        read(nested(MAXIMUM_DEPTH))
        with pytest.raises(BadRecord, match=f"more than {MAXIMUM_DEPTH} deep"):
            read(nested(MAXIMUM_DEPTH + 1))


@pytest.mark.long
def test_hostile_nesting_ends_soon() -> None:
    started = time.process_time()
    for value in (b"[" * 1_000_000, b'{"a":' * 500_000, b'"\\' * 500_000 + b"[" * 1000, b'{"a":"' + b'\\"' * 500_000):
        for read in (parse_event, check_event):
            with pytest.raises(BadRecord):
                read(value)
    assert time.process_time() - started < 2


def reference_nesting(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(reference_nesting, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(reference_nesting, value), default=0)
    return 0


@given(JSON_VALUES)
@settings(max_examples=examples(80), deadline=None)
def test_nesting_agrees_with_a_reference(value: Any) -> None:
    assert nesting(orjson.dumps(value)) == reference_nesting(value)
    assert nesting(json.dumps(value, indent=1).encode()) == reference_nesting(value)


@given(EVENTS)
@settings(max_examples=examples(80), deadline=None)
def test_both_paths_agree(event: dict[str, Any]) -> None:
    value = orjson.dumps(event)
    fast = parse_event(value)
    strict = parse_event(value[:-1] + (b"," if event else b"") + b'"\\ud800":0}')
    assert strict.pop("\ud800") == 0
    assert fast == strict == event


@pytest.mark.parametrize(
    ("value", "canary"),
    [
        (b'{"meta":{"domain":"canary"}}', True),
        (b'{"meta":{"domain":"\\u0063anary"}}', True),
        (b'{"m\\u0065ta":{"stream":"s","domain":"canary","x":[{}]}}', True),
        (b'{"meta":{"domain":"canary"},"lone":"\\ud800"}', True),
        (b'{"meta":{"domain":"canary","domain":"other"}}', False),
        (b'{"meta":{"domain":"canary"},"meta":{}}', False),
        (b'{"meta":{"domain":"canary"},"meta":null}', False),
        (b'{"meta":{},"meta":{"domain":"canary"}}', True),
        (b'{"meta":{"domain":["canary"]}}', False),
        (b'{"meta":"canary"}', False),
        (b'{"meta":[{"domain":"canary"}]}', False),
        (b'{"meta":null}', False),
        (b'{"x":{"meta":{"domain":"canary"}}}', False),
        (b'{"domain":"canary"}', False),
    ],
)
def test_what_is_a_canary(value: bytes, canary: bool) -> None:
    assert is_canary(parse_event(value)) is canary
    assert check_event(value) == seen_by_parsing(value)


@pytest.mark.parametrize(
    ("meta", "name"),
    [
        (b'{"stream":"s","id":"i"}', ("s", "i")),
        (b'{"id":"i","stream":"s","domain":"canary","x":{}}', ("s", "i")),
        (b'{"stream":"s","id":"i","id":"j"}', ("s", "j")),
        (b'{"stream":"\\u0073","id":"\xc3\xa4"}', ("s", "ä")),
        (b'{"stream":"s","id":"\\ud800"}', ("s", "\ud800")),
        (b'{"stream":"s"}', None),
        (b'{"stream":"s","id":1}', None),
        (b'{"stream":["s"],"id":"i"}', None),
        (b'{"stream":null,"id":"i"}', None),
        (b'"s"', None),
        (b"null", None),
    ],
)
def test_the_names_by_which_an_event_is_known(meta: bytes, name: tuple[str, str] | None) -> None:
    assert check_event(b'{"meta":' + meta + b"}").names == (() if name is None else (name,))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b'{"specversion":"1.0","source":"/s","id":"i"}', ((None, '["/s", "i"]'),)),
        (b'{"id":"\\ud800","source":"\xc3\xa4","specversion":1}', ((None, '["\\u00e4", "\\ud800"]'),)),
        (b'{"specversion":"1.0","source":"/s","id":7}', ()),
        (b'{"source":"/s","id":"i"}', ()),
        (
            b'{"specversion":"1.0","source":"/s","id":"i","meta":{"stream":"s","id":"j"}}',
            (("s", "j"), (None, '["/s", "i"]')),
        ),
    ],
)
def test_the_names_of_a_cloudevent(value: bytes, names: tuple[tuple[str | None, str], ...]) -> None:
    assert check_event(value).names == names


def seen_by_parsing(value: bytes) -> Sight:
    """What `check_event` is to see."""
    event = parse_event(value)
    meta = event.get("meta")
    stream, given_id = (meta.get("stream"), meta.get("id")) if isinstance(meta, dict) else (None, None)
    if not isinstance(stream, str) or not isinstance(given_id, str):
        return Sight(is_canary(event), ())
    return Sight(is_canary(event), ((stream, given_id),))


def said_of(value: bytes, read: Callable[[bytes], Sight]) -> Sight | str:
    """What is seen of the event, or why the value is none."""
    try:
        return read(value)
    except BadRecord as error:
        return str(error)


PIECES = st.sampled_from([
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"0", b"-", b".", b"e", b"1e999", b"9" * 25,
    b"true", b"nul", b"NaN", b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\xc3", b"\xa4", b"\xed\xa0\x80", b"\xff",
    b"\xef\xbb\xbf",
    b'"stream":', b'"id":', b'"s"',
    b'"meta":', b'"domain":', b'"canary"', b'{"meta":{"domain":"canary"}}',
])  # fmt: skip


@given(
    st.one_of(EVENTS, st.fixed_dictionaries({"meta": EVENTS | st.just({"domain": "canary"}), "ä": JSON_VALUES})),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), PIECES), max_size=3),
)
@settings(max_examples=examples(400), deadline=None)
def test_looking_only_for_the_canary_says_the_same(
    event: dict[str, Any], ascii_only: bool, changes: list[tuple[int, int, bytes]]
) -> None:
    value = json.dumps(event, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    for at, cut, piece in changes:
        begin = at % (len(value) + 1)
        value = value[:begin] + piece + value[begin + cut :]
    assert said_of(value, check_event) == said_of(value, seen_by_parsing)


@given(st.lists(PIECES, max_size=12).map(b"".join))
@settings(max_examples=examples(400), deadline=None)
def test_it_says_the_same_of_anything(value: bytes) -> None:
    for text in (
        value,
        b'{"meta":' + value + b"}",
        b'{"meta":{"domain":' + value + b"}}",
        b'{"meta":{"id":"i","stream":' + value + b"}}",
        b'{"x":"' + value + b'"}',
    ):
        assert said_of(text, check_event) == said_of(text, seen_by_parsing)


@given(EVENTS, st.sampled_from([None, 1, "\t"]))
@settings(max_examples=examples(50), deadline=None)
def test_one_line_keeps_the_meaning(event: dict[str, Any], indent: int | str | None) -> None:
    value = json.dumps(event, indent=indent).replace("\n", "\r\n").encode()
    line = one_line(value)
    assert b"\n" not in line
    assert b"\r" not in line
    assert len(line) == len(value)
    assert parse_event(line) == event


def test_one_line_leaves_a_line_alone() -> None:
    value = b'{"a":"\\n"}'
    assert one_line(value) is value


@pytest.mark.parametrize("value", [b"{}", b'{"a":[1,{"b":null}]}', b'{"a":"\\ud800"}', b'{"a":1e999}'])
def test_an_event_is_read_again_as_it_was(value: bytes) -> None:
    assert parse_again(value) == parse_event(value)


def test_what_is_no_event_is_none_again() -> None:
    with pytest.raises(BadRecord, match="tombstone"):
        parse_again(None)


@pytest.mark.long
@pytest.mark.parametrize(
    "element",
    [
        b"[]",
        b"{}",
        b'{"a":1}',
        b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":0,"k":1}',
        b"12345",
        b"1.5",
        b'"ab"',
        b'"a"',
        b'""',
        b"null",
        b"[[[[1]]]]",
        b'{"a":{"b":[{"c":"d"}]}}',
        '"\U0001f600aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"'.encode(),
        b'"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"',
    ],
)
def test_a_parsed_event_takes_no_more_than_is_counted(element: bytes) -> None:
    many = 60_000 // len(element)
    values = (
        b'{"a":[' + b",".join([element] * many) + b"]}",
        b"{" + b",".join(b'"%d":%b' % (number, element) for number in range(many)) + b"}",
    )
    for value in values:
        tracemalloc.start()
        event = parse_event(value)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert event
        assert taken <= parsed_size(value) + 2000
        assert parsed_size(value) <= 120 * len(value)

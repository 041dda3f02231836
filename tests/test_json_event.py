"""What is an event, and what is not (RFC 8259)."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRecord
from gateway.json_event import MAXIMUM_DEPTH, nesting, one_line, parse_event
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
    with pytest.raises(BadRecord, match=reason):
        parse_event(value)


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

    parse_event(nested(MAXIMUM_DEPTH))
    with pytest.raises(BadRecord, match=f"more than {MAXIMUM_DEPTH} deep"):
        parse_event(nested(MAXIMUM_DEPTH + 1))


def test_hostile_nesting_ends_soon() -> None:
    started = time.process_time()
    for value in (b"[" * 1_000_000, b'{"a":' * 500_000, b'"\\' * 500_000 + b"[" * 1000, b'{"a":"' + b'\\"' * 500_000):
        with pytest.raises(BadRecord):
            parse_event(value)
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

"""Bodies are split without touching a byte, and what is wrong is told of the event that it is in."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.split import CHUNK_EVENTS, MAXIMUM_DEPTH, BadBody, Piece, TooManyEvents, read_one, split_slowly
from tests.kit.intake import split

MAXIMUM = 1000

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)
SPACE = st.text(" \t\r\n", max_size=3)
WRITERS: tuple[Any, ...] = (
    orjson.dumps,
    lambda value: json.dumps(value).encode(),
    lambda value: json.dumps(value, ensure_ascii=False, indent=1).encode(),
)


def pieces_of(body: bytes) -> list[Piece]:
    return [piece for chunk in split(body, MAXIMUM) for piece in chunk]


def faults(body: bytes) -> list[str | None]:
    return [piece.fault for piece in pieces_of(body)]


@given(st.lists(st.tuples(OBJECTS, st.sampled_from(WRITERS), SPACE, SPACE), min_size=1, max_size=5), SPACE)
def test_every_event_keeps_its_bytes(written: list[tuple[Any, Any, str, str]], space: str) -> None:
    texts = [write(value) for value, write, _, _ in written]
    parts = [
        before.encode() + text + after.encode() for text, (_, _, before, after) in zip(texts, written, strict=True)
    ]
    body = b"[" + b",".join(parts) + b"]" + space.encode()
    assert [piece.text for piece in pieces_of(body)] == texts
    assert [piece.event for piece in pieces_of(body)] == [json.loads(text) for text in texts]
    assert faults(body) == [None] * len(texts)


@given(OBJECTS, st.sampled_from(WRITERS), SPACE, SPACE)
def test_an_event_that_stands_alone(value: Any, write: Any, before: str, after: str) -> None:
    text = write(value)
    assert pieces_of(before.encode() + text + after.encode()) == [Piece(text, json.loads(text))]
    assert read_one(text) == Piece(text, json.loads(text))


@given(st.binary(max_size=60) | st.text('[]{}",:\\u0d8 1e9NaN\n', max_size=40).map(str.encode))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    try:
        pieces = pieces_of(body)
    except BadBody:
        return
    assert pieces
    for piece in pieces:
        assert piece.text in body
        if piece.fault is None:
            assert orjson.dumps(json.loads(piece.text)) == orjson.dumps(piece.event)


BAD: dict[str, tuple[bytes, str]] = {
    "NaN": (b'{"a":NaN}', "not JSON: NaN is not a number"),
    "infinity": (b'{"a":-Infinity}', "not JSON: -Infinity is not a number"),
    "a name twice": (b'{"b":{"a":1,"a":1}}', "the member 'a' appears twice in one object"),
    "a name twice, escaped": (b'{"a":1,"\\u0061":2}', "the member 'a' appears twice in one object"),
    "100,000 brackets": (b"[" * 100_000 + b"]" * 100_000, f"nested more than {MAXIMUM_DEPTH} deep"),
    "one level too many": (b"[" * 251 + b"]" * 251, f"nested more than {MAXIMUM_DEPTH} deep"),
    "invalid UTF-8": (b'{"a":"\xff"}', "not UTF-8: byte 6 of the event"),
    "an overlong form": (b'{"a":"\xc0\x80"}', "not UTF-8: byte 6 of the event"),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "not UTF-8: byte 6 of the event"),
    "a lone surrogate": (b'{"a":"\\ud800"}', "it has a lone surrogate, which is not a character"),
    "a lone surrogate as a name": (b'{"\\udc00":1}', "it has a lone surrogate, which is not a character"),
    "an integer": (b'{"a":18446744073709551616}', "it has an integer of more than 64 bits"),
    "a negative integer": (b'{"a":-9223372036854775809}', "it has an integer of more than 64 bits"),
    "a long integer": (b'{"a":' + b"9" * 200 + b"}", "it has an integer of more than 64 bits"),
    "a very long integer": (b'{"a":' + b"9" * 5000 + b"}", "it has an integer of more than 64 bits"),
    "a large number": (b'{"a":1e400}', "it has a number that is too large for a double"),
    "a long number": (b'{"a":1' + b"0" * 400 + b".5}", "it has a number that is too large for a double"),
    "a word": (b"hello", "not JSON: Expecting value at character 0"),
    "an open string in brackets": (b'{"a":}', "not JSON: Expecting value at character 5"),
    "a raw line break": (b'{"a":"\n"}', "not JSON: Invalid control character at character 6"),
    "two values": (b"{} {}", "not JSON: neither a comma nor the end of the array follows it"),
    "nothing": (b"", "not JSON: Expecting value at character 0"),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_a_fault_is_told_of_its_event_alone(text: bytes, told: str) -> None:
    good = b'{"good": 1.0}'
    pieces = pieces_of(b"[" + good + b", " + text + b"," + good + b"]")
    assert [piece.fault for piece in pieces] == [None, told, None]
    assert [piece.text for piece in pieces] == [good, text, good]


@pytest.mark.parametrize(("text", "told"), [BAD[name] for name in ("NaN", "invalid UTF-8", "an integer")])
def test_a_fault_of_an_event_that_stands_alone(text: bytes, told: str) -> None:
    assert faults(text) == [told]
    assert read_one(text) == Piece(text, pieces_of(text)[0].event, told)


def test_events_one_after_another_are_no_array() -> None:
    [piece] = pieces_of(b'{"a":1}\n{"b":2}')
    assert piece.fault is not None
    assert piece.fault.endswith("send several events as a JSON array")


@pytest.mark.parametrize("body", [b'{"a":[1.50,1E2,-0,1e-400,18446744073709551615]}', b'{"a":"\\ud83d\\ude00\\u00e9"}'])
def test_what_is_written_in_another_way_is_left_as_it_is(body: bytes) -> None:
    assert [(piece.text, piece.fault) for piece in pieces_of(body)] == [(body, None)]


@pytest.mark.parametrize("depth", [200, MAXIMUM_DEPTH])
def test_nesting_up_to_the_bound(depth: int) -> None:
    text = b'{"a":' * depth + b"1" + b"}" * depth
    assert faults(text) == [None]
    assert faults(b"[" + text + b"]") == [None]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b"[]", "the array is empty"),
        (b"[ ]", "the array is empty"),
        (b"\xef\xbb\xbf[{}]", "byte order mark"),
        ("[{}]".encode("utf-16"), "events are UTF-8"),
        (b"\xfe\xff\0{\0}", "events are UTF-8"),
        (b"[{}", "its array does not end"),
        (b'[{"a":1},{"a', "its array does not end"),
        (b"[{}]{}", "continues after the end of its array"),
    ],
)
def test_a_body_in_which_no_event_is_sure(body: bytes, told: str) -> None:
    with pytest.raises(BadBody, match=told):
        pieces_of(body)


@pytest.mark.parametrize("space", [b"", b" "])
def test_the_number_of_events_is_bounded(space: bytes) -> None:
    assert len(pieces_of(b"[" + b",".join([space + b"{}"] * MAXIMUM) + b"]")) == MAXIMUM
    with pytest.raises(TooManyEvents):
        pieces_of(b"[" + b",".join([space + b"{}"] * (MAXIMUM + 1)) + b"]")
    with pytest.raises(TooManyEvents):
        pieces_of(b"[" + b",".join([b"x"] * (MAXIMUM + 1)) + b"]")


@pytest.mark.parametrize("space", [b"", b" "])
def test_chunks_are_bounded(space: bytes) -> None:
    chunks = list(split_slowly(b"[" + b",".join([space + b'{"a":1}'] * 250) + b"]", MAXIMUM))
    assert [len(chunk) for chunk in chunks] == [CHUNK_EVENTS, CHUNK_EVENTS, 50]
    large = b'{"a":"' + b"x" * 200_000 + b'"}'
    assert max(map(len, split_slowly(b"[" + b",".join([space + large] * 8) + b"]", MAXIMUM))) <= 2


@pytest.mark.long
def test_long_bodies_with_faults_take_linear_time() -> None:
    body = b"[" + b",".join([b"x" + b" " * 4000] * 1000) + b"]"
    assert len(pieces_of(body)) == 1000
    assert {piece.text for piece in pieces_of(body)} == {b"x"}

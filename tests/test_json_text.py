"""JSON without orjson means the same as with it."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.json_text import dumps, loads, plain_dumps, plain_loads
from tests.effort import examples

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='abé\0"\\'), inner, max_size=4),
    max_leaves=20,
)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date


def test_orjson_is_used_where_it_is_installed() -> None:
    assert (loads, dumps) == (orjson.loads, orjson.dumps)


@given(VALUES)
@settings(max_examples=examples(300))
def test_both_write_and_read_the_same(value: Any) -> None:
    text = orjson.dumps(value)
    assert repr(plain_loads(text)) == repr(orjson.loads(text))
    assert repr(orjson.loads(plain_dumps(value))) == repr(orjson.loads(text))


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, "é", None, True, -0.5], "b": {}, "c": ("x",)},
        math.nan,
        [math.inf, -math.inf],
        datetime.date(2026, 1, 31),
        datetime.time(1, 2, 3, 4),
        datetime.datetime(2026, 1, 31, 1, 2, 3),  # noqa: DTZ001
        datetime.datetime(2026, 1, 31, 1, 2, 3, 456_000, tzinfo=datetime.UTC),
        uuid.UUID(int=7),
        Colour.RED,
        Level.HIGH,
        Point(1, datetime.date(2026, 1, 1)),
        "\x00\x1f\u2028\U0001f600",
    ],
    ids=str,
)
def test_both_write_the_same_bytes(value: Any) -> None:
    assert plain_dumps(value) == orjson.dumps(value)


@pytest.mark.parametrize(
    "value",
    [object(), {1: "a"}, {"a": {None: 1}}, b"bytes", {1, 2}, "\ud800", Point],
    ids=["object", "number as a name", "null as a name", "bytes", "set", "surrogate", "class"],
)
def test_both_refuse_to_write(value: Any) -> None:
    for write in (plain_dumps, orjson.dumps):
        with pytest.raises(TypeError):
            write(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError, match="nested too deep"):
        plain_dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"NaN", b"Infinity", b"-Infinity", b"[1,]", b"{'a':1}", b'{"a":1}x', b"tru"),
        *(b"01", b"+1", b".5", b"1.", b"[" * 100_000, '"\n"', b'"\\x"'),
        *(b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), '"\ud800"'),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_both_refuse_to_read(text: str | bytes) -> None:
    for read in (plain_loads, orjson.loads):
        with pytest.raises(ValueError):  # noqa: PT011 - what it says differs
            read(text)


def test_numbers_beyond_64_bits_are_doubles() -> None:
    for digits in ("9" * 30, "-" + "9" * 30, "1" * 5000):
        assert plain_loads(digits) == float(digits)
    assert plain_loads("9223372036854775807") == 2**63 - 1
    assert type(plain_loads("-9223372036854775808")) is int
    assert plain_loads("-0") == json.loads("-0")

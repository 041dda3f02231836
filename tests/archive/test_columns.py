"""Fields of schemas as columns, and values in them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import orjson
import pyarrow as pa
import pytest
from deltalake import Schema
from hypothesis import given
from hypothesis import strategies as st

from gateway.archive.columns import JSON, Shape, columns_of, grown
from gateway.archive.typed import Typed, arrow_field, shape_of

TEXT, INTEGER = Shape("text"), Shape("integer")


def properties(**parts: Any) -> dict[str, Any]:
    return {"type": "object", "properties": parts}


def test_columns_are_the_fields_of_the_schema() -> None:
    found = columns_of(
        properties(
            text={"type": "string"},
            maybe={"type": ["integer", "null"]},
            vast={"type": "integer", "maximum": 2**70},
            number={"type": ["integer", "number"]},
            flag={"const": True},
            time={"type": "string", "format": "date-time"},
            day={"type": "string", "format": "date"},
            either={"type": ["string", "integer"]},
            anything={},
            names={"type": "object", "additionalProperties": {"type": "string"}},
            items={"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            anythings={"type": "array", "items": {}},
            pair={"type": "array", "prefixItems": [{}], "items": {"type": "string"}},
            inner=properties(a={"type": "integer"}, any={}),
        )
    )
    assert found == {
        "text": TEXT,
        "maybe": INTEGER,
        "vast": JSON,
        "number": Shape("number"),
        "flag": Shape("boolean"),
        "time": Shape("time"),
        "day": Shape("date"),
        "either": JSON,
        "anything": JSON,
        "names": JSON,
        "items": Shape("list", item=Shape("struct", {"a": TEXT})),
        "anythings": JSON,
        "pair": JSON,
        "inner": Shape("struct", {"a": INTEGER, "any": JSON}),
    }


def test_names_that_no_table_takes_are_left_out() -> None:
    kind = {"type": "string"}
    parts = dict.fromkeys(("a b", "a,b", "a{b", "", "_raw", "_DAY", "ok", "OK", "$schema", "a.b"), kind)
    assert list(columns_of(properties(**parts))) == ["ok", "$schema", "a.b"]


def test_deep_structures_are_json() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        schema = properties(a=schema)
    shape: Shape | None = columns_of(schema)["a"]
    depth = 0
    while shape is not None and shape.kind == "struct":
        shape, depth = shape.members["a"], depth + 1
    assert shape == JSON
    assert depth < 20


def test_a_schema_that_grows_adds_columns_and_members() -> None:
    before = {"a": TEXT, "m": Shape("struct", {"x": INTEGER}), "gone": TEXT}
    wanted = {"a": TEXT, "m": Shape("struct", {"x": INTEGER, "y": TEXT}), "new": INTEGER}
    assert grown(before, wanted) == {
        "a": ("a", TEXT),
        "m": ("m", Shape("struct", {"x": INTEGER, "y": TEXT})),
        "gone": ("gone", TEXT),
        "new": ("new", INTEGER),
    }


def test_a_field_that_changes_its_type_goes_on_in_another_column() -> None:
    second = grown({"a": INTEGER}, {"a": TEXT})
    assert second == {"a": ("", INTEGER), "a_2": ("a", TEXT)}
    third = grown({"a": INTEGER, "a_2": TEXT}, {"a": JSON})
    assert third == {"a": ("", INTEGER), "a_2": ("", TEXT), "a_3": ("a", JSON)}
    assert grown({"a": INTEGER, "a_2": TEXT}, {"a": TEXT}) == {"a": ("", INTEGER), "a_2": ("a", TEXT)}
    assert grown({"a": INTEGER}, {"a": TEXT, "a_2": INTEGER})["a_3"] == ("a", TEXT)


SHAPES = st.recursive(
    st.sampled_from([Shape(kind) for kind in ("json", "text", "integer", "number", "boolean", "time", "date")]),
    lambda inner: st.one_of(
        st.builds(lambda item: Shape("list", item=item), inner.filter(lambda item: item != JSON)),
        st.builds(
            lambda members: Shape("struct", members), st.dictionaries(st.sampled_from("abcde"), inner, min_size=1)
        ),
    ),
    max_leaves=6,
)


@given(SHAPES)
def test_a_table_tells_the_shapes_of_its_columns(shape: Shape) -> None:
    through_delta = pa.schema(Schema.from_arrow(pa.schema([arrow_field("a", shape)])))
    assert shape_of(through_delta.field("a")) == shape


ALL = {
    "n": INTEGER,
    "t": TEXT,
    "w": Shape("time"),
    "d": Shape("date"),
    "j": JSON,
    "s": Shape("struct", {"x": INTEGER, "j": JSON}),
    "l": Shape("list", item=INTEGER),
}


def columns(values: list[bytes | None]) -> dict[str, list[Any]]:
    arrays = Typed({name: (name, shape) for name, shape in ALL.items()}).arrays(values)
    assert all(len(array) == len(values) for array in arrays)
    return {name: array.to_pylist() for name, array in zip(ALL, arrays, strict=True)}


GOOD = b'{"n":1,"t":"a","w":"2026-09-21T14:13:20.5+02:00","d":"2026-09-21","j":{"a":[1]},"s":{"x":2,"j":"q"},"l":[1]}'


def test_values_become_columns() -> None:
    assert columns([GOOD]) == {
        "n": [1],
        "t": ["a"],
        "w": [datetime(2026, 9, 21, 12, 13, 20, 500_000, UTC)],
        "d": [date(2026, 9, 21)],
        "j": ['{"a":[1]}'],
        "s": [{"x": 2, "j": '"q"'}],
        "l": [[1]],
    }


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"",
        b"{oops",
        b'{"n":1}{"n":2}',
        b'{"n":1}\n{"n":2}',
        b"[1]",
        b"7",
        b"NaN",
        b'\xef\xbb\xbf{"n":1}',
        b'{"t":"\xff"}',
        b'{"t":"\\ud800"}',
        b'{"n":99999999999999999999}',
        b'{"n":"x"}',
        b'{"n":1.5}',
        b'{"n":1,"n":2}',
        b'{"w":"yesterday"}',
        b'{"l":{}}',
        b'{"l":[1,"x"]}',
        b'{"u":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_a_value_that_does_not_fit_leaves_its_row_alone_empty(bad: bytes | None) -> None:
    found = columns([GOOD, bad, GOOD, bad, bad, GOOD])
    assert found["n"] == [1, None, 1, None, None, 1]
    assert found["t"] == ["a", None, "a", None, None, "a"]


def test_parts_that_arrow_does_not_read_are_null_alone() -> None:
    found = columns([b'{"n":1,"d":"tomorrow","s":7}', b'{"n":2,"d":7,"s":{"x":"no","j":null}}'])
    assert found["n"] == [1, 2]
    assert found["d"] == [None, None]
    assert found["s"] == [None, {"x": None, "j": None}]


def test_a_value_on_several_lines_is_one_row() -> None:
    assert columns([b'{\n"n":1,\r\n"t":"a\\nb"}', GOOD])["t"] == ["a\nb", "a"]


VALUES = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.sampled_from([GOOD, b'{"n":1}{"n":2}', b'{"n":"x"}', b"", b"\n", b"{}", b'{"n":null}']),
    st.builds(lambda n: orjson.dumps({"n": n}), st.integers(-(2**63), 2**63 - 1)),
)


@given(st.lists(VALUES, max_size=40))
def test_rows_never_slip(values: list[bytes | None]) -> None:
    found = columns(values)["n"]
    for value, number in zip(values, found, strict=True):
        try:
            event = orjson.loads(value or b"")
        except ValueError:
            event = None
        expected = event.get("n") if isinstance(event, dict) else None
        assert number == (expected if isinstance(expected, int) and not isinstance(expected, bool) else None)

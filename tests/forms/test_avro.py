"""Avro values become the JSON of the contract: what fastavro reads, with texts for what JSON has no form of."""

from __future__ import annotations

import base64
import io
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRecord
from gateway.forms.avro import AvroReader
from gateway.forms.bounds import UnusableSchema

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "n", "type": "int"}, {"name": "next", "type": ["null", "Node"]}],
}
ALL = {
    "type": "record",
    "name": "All",
    "namespace": "org.example",
    "fields": [
        {"name": "switch", "type": "boolean"},
        {"name": "whole", "type": "int"},
        {"name": "long", "type": "long"},
        {"name": "double", "type": "double"},
        {"name": "text", "type": "string"},
        {"name": "raw", "type": "bytes"},
        {"name": "maybe", "type": ["null", "long", "string"]},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["ONE", "TWO"]}},
        {"name": "again", "type": "Kind"},
        {"name": "fix", "type": {"type": "fixed", "name": "Four", "size": 4}},
        {"name": "list", "type": {"type": "array", "items": "string"}},
        {"name": "map", "type": {"type": "map", "values": ["null", "org.example.Kind"]}},
    ],
}
ALL_VALUES = st.fixed_dictionaries(
    {
        "switch": st.booleans(),
        "whole": st.integers(-(2**31), 2**31 - 1),
        "long": LONG,
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "text": TEXT,
        "raw": st.binary(),
        "maybe": st.none() | LONG | TEXT,
        "kind": st.sampled_from(["ONE", "TWO"]),
        "again": st.sampled_from(["ONE", "TWO"]),
        "fix": st.binary(min_size=4, max_size=4),
        "list": st.lists(TEXT),
        "map": st.dictionaries(TEXT, st.none() | st.sampled_from(["ONE", "TWO"])),
    }
)


def written(schema: Any, value: Any) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(schema), value)
    return file.getvalue()


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


@given(ALL_VALUES)
def test_a_value_is_what_fastavro_reads(value: Any) -> None:
    data = written(ALL, value)
    official = fastavro.schemaless_reader(io.BytesIO(data), fastavro.parse_schema(ALL), None)
    read = AvroReader(ALL).read(data)
    assert read == plain(official)
    assert list(read) == [field["name"] for field in ALL["fields"]]  # type: ignore[index]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(BadRecord):
        assert len(AvroReader(ALL).read(data)) == len(ALL["fields"])


LOGICAL = [
    ({"type": "int", "logicalType": "date"}, date(2026, 2, 3), "2026-02-03"),
    (
        {"type": "long", "logicalType": "timestamp-millis"},
        datetime(2026, 2, 3, 4, 5, 6, 7000, UTC),
        "2026-02-03T04:05:06.007Z",
    ),
    (
        {"type": "long", "logicalType": "timestamp-micros"},
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        "1969-12-31T23:59:59.999999Z",
    ),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3}, Decimal("-0.005"), "-0.005"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9}, Decimal(120), "120"),
    (
        {"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2},
        Decimal("12.5"),
        "12.50",
    ),
    ({"type": "int", "logicalType": "unknown"}, 7, 7),
    ({"type": "int", "logicalType": ["date"]}, 7, 7),
    ({"type": "bytes", "logicalType": "decimal"}, b"\x01", "AQ=="),
]


@pytest.mark.parametrize(("schema", "value", "expected"), LOGICAL)
def test_logical_types_are_texts(schema: Any, value: Any, expected: Any) -> None:
    assert AvroReader(schema).read(written(schema, value)) == expected
    assert AvroReader(["null", schema]).read(written(["null", schema], value)) == expected


def test_times_of_day_and_numbers_without_json_are_texts() -> None:
    assert AvroReader({"type": "int", "logicalType": "time-millis"}).read(written("int", 3_723_004)) == "01:02:03.004"
    assert AvroReader("double").read(written("double", float("inf"))) == "Infinity"


@pytest.mark.parametrize(
    ("schema", "data", "reason"),
    [
        ("long", b"\x80", "ends in the middle"),
        ("long", b"\xff" * 11, "ten bytes"),
        ("int", written("long", 2**40), "32 bits"),
        ("string", b"\x08ab", "beyond the end"),
        ("string", b"\x03ab", "beyond the end"),
        ("string", b"\x02\xff", "UTF-8"),
        ("boolean", b"\x02", "boolean"),
        ("int", b"\x02\x00", "follow its end"),
        (["null", "int"], b"\x04", "branch 2"),
        ({"type": "long", "logicalType": "timestamp-millis"}, written("long", 2**62), "calendar"),
        ({"type": "int", "logicalType": "date"}, written("int", 2**31 - 1), "calendar"),
        ({"type": "array", "items": "null"}, written("long", 2**50), "far more JSON"),
        (NODE, b"\x02\x02" * 100_000, "deep"),
    ],
)
def test_what_is_broken_is_a_bad_record_with_its_reason(schema: Any, data: bytes, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        AvroReader(schema).read(data)


def test_a_type_may_hold_itself() -> None:
    value = {"n": 1, "next": {"n": 2, "next": None}}
    assert AvroReader(NODE).read(written(NODE, value)) == value


def test_a_record_of_ten_thousand_members_is_read() -> None:
    schema = {
        "type": "record",
        "name": "Wide",
        "fields": [{"name": f"m{number}", "type": "int"} for number in range(10_000)],
    }
    assert AvroReader(schema).read(b"\x02" * 10_000)["m9999"] == 1


def test_few_bytes_do_not_become_much_json() -> None:
    schema = {
        "type": "array",
        "items": {"type": "record", "name": "R", "fields": [{"name": "n" * 1000, "type": "null"}]},
    }
    with pytest.raises(BadRecord, match="far more JSON"):
        AvroReader(schema).read(written("long", 100_000))


LARGE_DECIMAL: dict[str, Any] = {"logicalType": "decimal", "precision": 10_000, "scale": 10_000}


@pytest.mark.parametrize(
    "item", [{"type": "fixed", "name": "F", "size": 0, **LARGE_DECIMAL}, {"type": "bytes", **LARGE_DECIMAL}]
)
def test_few_bytes_do_not_become_long_decimals(item: dict[str, Any]) -> None:
    reader = AvroReader({"type": "array", "items": item})
    bare = b"" if item["type"] == "fixed" else b"\0"
    with pytest.raises(BadRecord, match="far more JSON"):
        reader.read(written("long", 1_000) + bare * 1_000 + b"\0")
    assert len(reader.read(written("long", 2) + bare * 2 + b"\0")) == 2


@pytest.mark.parametrize(
    "schema",
    [
        "Nothing",
        {"type": "record", "name": "R"},
        {"type": "enum", "name": "E"},
        7,
        {"type": "fixed", "name": "F", "size": -1},
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any) -> None:
    with pytest.raises(UnusableSchema):
        AvroReader(schema)


def test_a_schema_that_refers_to_another_uses_its_type() -> None:
    assert AvroReader({"type": "array", "items": "Node"}, (NODE,)).read(b"\x02\x02\x00\x00") == [{"n": 1, "next": None}]

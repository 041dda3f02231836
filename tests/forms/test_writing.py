"""What is written in a form is read as the same again, by the gateway and by the libraries of the forms."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRecord
from gateway.forms.avro import AvroReader
from gateway.forms.avro_write import AvroWriter
from gateway.forms.frame import framed, message_path, path_bytes
from gateway.forms.protobuf import ANY_DEPTH
from gateway.forms.schema import Schema, Source
from gateway.forms.writing import encoder
from tests.effort import examples
from tests.forms.test_avro import ALL, ALL_VALUES, LOGICAL, NODE, plain, written
from tests.forms.test_protobuf import OUTER, READER, TEXT

FIRST = datetime.fromisoformat("1700-01-01")


def one_field(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}


def again(kind: Any, value: Any) -> Any:
    """A value of a field, written and read."""
    schema = one_field(kind)
    return AvroReader(schema).read(AvroWriter(schema).write({"f": value}, 100))["f"]


@given(ALL_VALUES)
def test_an_avro_value_is_written_as_fastavro_does_and_read_by_it(value: Any) -> None:
    data = written(ALL, value)
    events = AvroReader(ALL).read(data)
    mine = AvroWriter(ALL).write(events, 1000)
    official = fastavro.schemaless_reader(io.BytesIO(mine), fastavro.parse_schema(ALL), None)
    assert plain(official) == events
    assert AvroReader(ALL).read(mine) == events


@pytest.mark.parametrize(("schema", "value", "text"), LOGICAL)
def test_logical_types_are_written_of_their_texts(schema: Any, value: Any, text: Any) -> None:
    assert AvroWriter(one_field(schema)).write({"f": text}, 10) == written(one_field(schema), {"f": value})


@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_a_decimal_is_the_number_again(unscaled: int, scale: int) -> None:
    text = f"{Decimal(unscaled).scaleb(-scale):.{scale}f}"
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": scale}
    fixed = {"type": "fixed", "name": "F", "size": 9, "logicalType": "decimal", "precision": 20, "scale": scale}
    assert again(kind, text) == again(fixed, text) == text


@given(st.datetimes(FIRST, FIRST.replace(year=2200)), st.sampled_from(["millis", "micros", "nanos"]))
def test_a_time_is_the_time_again(moment: Any, unit: str) -> None:
    text = moment.replace(microsecond=moment.microsecond // 1000 * 1000).isoformat(timespec="milliseconds")
    digits = {"millis": "", "micros": "000", "nanos": "000000"}[unit]
    assert again({"type": "long", "logicalType": f"timestamp-{unit}"}, text + "Z") == f"{text}{digits}Z"
    assert again({"type": "long", "logicalType": f"local-timestamp-{unit}"}, text) == text + digits


def test_a_decimal_of_one_byte_has_all_its_numbers() -> None:
    kind = {"type": "fixed", "name": "F", "size": 1, "logicalType": "decimal", "precision": 3}
    assert [again(kind, str(number)) for number in (-128, -1, 0, 127)] == ["-128", "-1", "0", "127"]
    with pytest.raises(BadRecord, match="have to be 1"):
        again(kind, "128")


MISFITS = [
    ("int", 2**31, "32 bits"), ("int", 1.0, "32 bits"), ("long", True, "64 bits"), ("long", 2**63, "64 bits"),
    ("boolean", 0, "neither true nor false"), ("string", 1, "no text"), ("bytes", "é", "no Base64"),
    ("double", "1", "no number"), ("double", True, "no number"), ("float", 1e39, "too large"), ("null", 0, "not null"),
    ({"type": "array", "items": "int"}, {}, "no array"), ({"type": "map", "values": "int"}, [], "no object"),
    ({"type": "map", "values": "int"}, {"a": "b"}, "32 bits"), (["null", "int"], "x", "32 bits"), ([], 1, "empty"),
    ({"type": "enum", "name": "E", "symbols": ["A"]}, "B", "1 symbols"),
    ({"type": "fixed", "name": "F", "size": 2}, "AQ==", "have to be 2"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "100.5", "more than 4 digits"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "1.234", "more than 4 digits"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, 1.5, "in quotes"),
    ({"type": "int", "logicalType": "date"}, "2026-13-01", "no date"),
    ({"type": "long", "logicalType": "timestamp-millis"}, "2026-01-01T00:00:00.0001Z", "more exact than 3"),
    ({"type": "long", "logicalType": "timestamp-millis"}, "2026-01-01T00:00:00", "no time"),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, "2026-01-01T00:00:00Z", "no time"),
    ({"type": "int", "logicalType": "time-millis"}, "24:00:00", "no time of day"),
    ({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}, "x", "no UUID"),
    ("string", "\ud800", "half of a character"), ({"type": "map", "values": "int"}, {"\ud800": 1}, "half of a char"),
    ("bytes", "YR==", "no Base64"), ("bytes", "\ud800", "no Base64"),
    # What the gateway would not read again.
    ({"type": "bytes", "logicalType": "decimal", "precision": 9000, "scale": 5000}, "1", "more than 1024 bytes"),
    ({"type": "fixed", "name": "D", "size": 1025, "logicalType": "decimal", "precision": 9}, "1", "1024 bytes"),
    ({"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal"}, "AQ==", "have to be 2"),
    ({"type": "long", "logicalType": "timestamp-millis"}, "0001-01-01T00:00:00+01:00", "no time"),
    ({"type": "long", "logicalType": "timestamp-millis"}, "9999-12-31T23:59:59-01:00", "no time"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "reason"), MISFITS)
def test_what_is_not_of_its_type_says_why(kind: Any, value: Any, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        again(kind, value)


WHOLE = [
    ("double", 2**53 + 1, "do not hold"), ("double", -(2**53) - 1, "do not hold"), ("double", 2**63 + 1, "do not hold"),
    ("float", 2**24 + 1, "do not hold"), ("double", 10**400, "too large"), ("float", 10**400, "too large"),
    ("float", 10**39, "too large"), ("double", math.inf, "too large"), (["null", "float"], 2**24 + 1, "do not hold"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "reason"), WHOLE)
def test_a_whole_number_is_stored_exactly_or_refused(kind: Any, value: Any, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        again(kind, value)


@pytest.mark.parametrize(
    ("kind", "value", "index"),
    [
        (["null", "double", "long"], 2**53 + 1, 2), (["null", "double", "long"], 5, 2),
        (["float", "long"], 2**24 + 1, 1),
        (["double", "int", "long"], 2**40, 2), (["float", "double"], 0.1, 1), (["float", "double"], 2**24 + 1, 1),
        (["long", "double"], 2**63, 1), (["float", "string", "double", "int"], 7, 3), (["float", "null"], 0.5, 0),
        (["float", {"type": "double"}], 0.1, 1), (["float", {"type": "long", "logicalType": "own"}], 2**24 + 1, 1),
    ],
)  # fmt: skip
def test_a_number_is_of_the_branch_that_holds_it_exactly(kind: Any, value: Any, index: int) -> None:
    schema = one_field(kind)
    assert AvroWriter(schema).write({"f": value}, 10)[0] == 2 * index
    assert again(kind, value) == value


@given(
    st.permutations(["null", "string", "int", "long", "float", "double"]),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
def test_a_union_gives_the_value_again_in_whatever_order_its_branches_are(branches: list[str], value: Any) -> None:
    assert again(branches, value) == value


def test_branches_that_are_no_numbers_keep_their_order() -> None:
    inner = [{"type": "record", "name": name, "fields": [{"name": "f", "type": "string"}]} for name in ("A", "B")]
    for kinds, value, index in ((["float", *inner, "long"], {"f": "x"}, 1), (["string", "double"], "NaN", 0)):
        assert AvroWriter(one_field(kinds)).write({"f": value}, 10)[0] == 2 * index


def test_members_that_are_missing_or_too_many_are_refused() -> None:
    writer = AvroWriter(one_field("int"))
    wrongs: list[tuple[Any, str]] = [({}, "f is missing"), ({"f": 1, "g": 2}, "g is no member"), ([], "no object")]
    for value, reason in wrongs:
        with pytest.raises(BadRecord, match=reason):
            writer.write(value, 10)


def test_a_union_has_the_first_branch_that_fits_and_takes_bounded_steps() -> None:
    inner = {"type": "record", "name": "S", "fields": [{"name": "f", "type": "string"}]}
    values: list[Any] = [None, 1, 2**40, {"f": "x"}, ["a"]]
    kinds = ["null", "int", "long", inner, {"type": "array", "items": "string"}]
    for one in values:
        assert again(kinds, one) == one
    twice = {"type": "record", "name": "N", "fields": [
        {"name": "a", "type": ["null", "N", {"type": "record", "name": "M", "fields": [
            {"name": "a", "type": ["null", "N", "M"]}]}]}]}  # fmt: skip
    value: Any = {"a": 1}
    for _ in range(100):
        value = {"a": value}
    with pytest.raises(BadRecord, match="takes too long"):
        AvroWriter(twice).write(value, 1000)


@settings(max_examples=examples(30))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
    )
)
def test_any_json_is_written_or_refused(value: Any) -> None:
    for schema in (ALL, NODE, "long", ["null", "string", {"type": "map", "values": "double"}]):
        with suppress(BadRecord):
            AvroReader(schema).read(AvroWriter(schema).write(value, 100))


@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**64 - 1),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1)), st.booleans(),
)  # fmt: skip
def test_a_protobuf_message_is_written_as_it_is_read(
    name: str, unsigned: int, numbers: dict[str, int], named: bool
) -> None:
    message = OUTER(name=name, unsigned=unsigned, kind=1 if named else 9)
    for key, number in numbers.items():
        message.by_name[key].n = number
    message.at.FromMilliseconds(1500)
    message.any.Pack(OUTER(name="inner"))
    event = READER.read((0,), message.SerializeToString())
    data = encoder(7, Source("PROTOBUF", TEXT))(event, 100)
    assert data[:6] == framed(7, b"\0")
    assert OUTER.FromString(data[6:]) == message


def test_a_message_in_a_message_is_written_with_its_path() -> None:
    data = encoder(7, Source("PROTOBUF", TEXT), (0, 0))({"n": 5}, 10)
    assert Schema(Source("PROTOBUF", TEXT)).value(data) == {"n": 5}
    for path in ((0,), (1,), (0, 0), (3, 70, 0)):
        assert message_path(framed(1, path_bytes(path)))[0] == path


@pytest.mark.parametrize("value", [{"no": 1}, {"name": 1}, [], {"unsigned": -1}, {"at": "never"}])
def test_what_is_no_message_is_refused(value: Any) -> None:
    with pytest.raises(BadRecord, match=r"it is no a\.b\.Outer"):
        encoder(7, Source("PROTOBUF", TEXT))(value, 10)


KNOWN = """
syntax = "proto3";
import "google/protobuf/any.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message M {
  google.protobuf.Any any = 1; google.protobuf.Duration duration = 2; google.protobuf.FieldMask mask = 3;
  google.protobuf.Struct struct = 4; google.protobuf.Timestamp timestamp = 5; google.protobuf.DoubleValue wrapped = 6;
  double double = 7; float float = 8; repeated float floats = 9; map<string, double> doubles = 10; int64 long = 11;
}
"""
KNOWN_SCHEMA, encode_known = Schema(Source("PROTOBUF", KNOWN)), encoder(7, Source("PROTOBUF", KNOWN))
TYPE = "type.googleapis.com/google.protobuf."


def known(value: Any) -> Any:
    """A value of that message, written and read."""
    return KNOWN_SCHEMA.value(encode_known(value, 100))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *(({"any": {"@type": TYPE + name}}, "has no member 'value'") for name in ("Duration", "Struct", "BoolValue")),
        ({"any": {"@type": 5}}, "wrong type"), ({"any": {"@type": {}}}, "wrong type"),
        ({"any": {"@type": None}}, "wrong type"),
        ({"any": {"@type": ""}}, "it is no M"), ({"any": []}, "it is no M"), ({"any": "x"}, "it is no M"),
        ({"mask": 5}, "it is no M"), ({"duration": {}}, "it is no M"), ({"struct": 5}, "it is no M"),
        ({"timestamp": []}, "it is no M"), ({"[own]": 1}, "it is no M"), ({"\ud800": 1}, "it is no M"),
        # What the gateway would not read again.
        ({"timestamp": "0001-01-01T00:00:00+01:00"}, "it is no M"),
    ],
)  # fmt: skip
def test_what_the_library_of_protobuf_cannot_write_is_a_bad_record(value: Any, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        known(value)


def test_an_any_that_would_not_be_read_again_is_not_written() -> None:
    value: Any = {"@type": TYPE + "Duration", "value": "1s"}
    for _ in range(ANY_DEPTH):
        value = {"@type": TYPE + "Any", "value": value}
    with pytest.raises(BadRecord, match="messages of the type Any in each other"):
        known({"any": value})


@settings(max_examples=examples(50))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(TYPE + "Duration"),
        lambda one: (
            st.lists(one, max_size=3)
            | st.dictionaries(st.sampled_from(["@type", "value", "any", "mask", "struct", "long"]), one)
        ),
    )
)
def test_any_json_is_a_message_or_a_bad_record(value: Any) -> None:
    for one in (value, {"any": value}, {"mask": value}, {"duration": value}, {"doubles": value}):
        with suppress(BadRecord):
            known(one)


@pytest.mark.parametrize(
    "value",
    [
        {"double": 2**53 + 1}, {"float": 2**24 + 1}, {"floats": [1, 2**24 + 1]}, {"doubles": {"a": 2**53 + 1}},
        {"wrapped": 2**53 + 1}, {"struct": {"a": [{"b": 2**53 + 1}]}},
        {"any": {"@type": "x/M", "double": 2**53 + 1}}, {"any": {"@type": TYPE + "DoubleValue", "value": 2**53 + 1}},
    ],
)  # fmt: skip
def test_a_whole_number_that_a_message_does_not_hold_is_refused(value: Any) -> None:
    with pytest.raises(BadRecord, match="would be stored as"):
        known(value)


def test_numbers_that_a_message_holds_are_stored() -> None:
    value = {"double": 2**53, "float": 0.5, "floats": [0.1], "long": 2**63 - 1, "struct": {"a": 2**60}}
    read = known(value)
    assert {name: read[name] for name in value} == {**value, "floats": [pytest.approx(0.1)]}
    with pytest.raises(BadRecord, match="too large"):
        known({"struct": {"a": math.inf}})


def test_json_schema_is_written_as_json_in_the_frame() -> None:
    encode = encoder(7, Source("JSON", "{}"))
    assert encode({"a": 1}, 7) == framed(7, orjson.dumps({"a": 1}))
    assert encode({"a": None}, 7) == framed(7, orjson.dumps({"a": None}))
    deep: Any = None
    for _ in range(300):
        deep = [deep]
    for value in ({"a": "\ud800"}, {"a": deep}, {"a": [None, math.inf]}):
        with pytest.raises(BadRecord):
            encode(value, 7)

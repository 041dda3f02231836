"""A registry's schemas as JSONSchemas: each describes what the conversion gives, and nothing else."""

from __future__ import annotations

import copy
import io
from typing import Any

import fastavro
import orjson
import pytest
from google.protobuf import message_factory
from hypothesis import given
from hypothesis import strategies as st

from gateway.archive.columns import Shape, columns_of
from gateway.forms.avro import AvroReader
from gateway.forms.avro_shape import avro_shape
from gateway.forms.described import DEEPEST, MOST_PARTS
from gateway.forms.description import Undescribed, describe, title_of, together
from gateway.forms.schema import Schema, Source
from gateway.schemas.files import parse_uri
from gateway.schemas.tables import create_table
from tests.forms.test_avro import ALL, ALL_VALUES, LOGICAL, NODE, written
from tests.forms.test_protobuf import OUTER, READER, TEXT


def avro(schema: Any) -> Source:
    return Source("AVRO", orjson.dumps(schema).decode())


@given(ALL_VALUES, st.sampled_from([1.5, float("nan"), float("-inf")]))
def test_every_avro_value_is_valid_and_none_with_a_member_more_or_less(value: Any, double: float) -> None:
    schema = describe("all-value", 1, avro(ALL))
    read = AvroReader(ALL).read(written(ALL, {**value, "double": double}))
    assert schema.faults(read) == []
    assert schema.faults({**read, "other": 1}) != []
    assert schema.faults({name: one for name, one in read.items() if name != "whole"}) != []
    assert schema.faults({**read, "whole": 2**31}) != []


@pytest.mark.parametrize(("schema", "value", "text"), LOGICAL)
def test_logical_types_are_described_as_the_texts_that_they_become(schema: Any, value: Any, text: Any) -> None:
    record = {"type": "record", "name": "R", "fields": [{"name": "f", "type": schema}]}
    described = describe("r", 1, avro(record))
    assert described.faults(AvroReader(record).read(written(record, {"f": value}))) == []
    assert described.faults({"f": []}) != []
    if isinstance(text, str) and "-" in text:
        assert described.faults({"f": "no"}) != []


def test_a_type_within_itself_is_any_object_there() -> None:
    described = describe("node", 1, avro(NODE))
    value = {"n": 1, "next": {"n": 2, "next": {"n": 3, "next": None}}}
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(copy.deepcopy(NODE)), value)
    assert described.faults(AvroReader(NODE).read(file.getvalue())) == []
    assert described.document["properties"]["next"] == {"anyOf": [{"type": "null"}, {"type": "object"}]}


def test_a_schema_of_very_many_fields_or_levels_is_described_up_to_a_bound() -> None:
    fields = [{"name": f"f{n}", "type": "int"} for n in range(MOST_PARTS + 10)]
    wide = avro_shape({"type": "record", "name": "W", "fields": fields})
    assert len(wide["properties"]) == MOST_PARTS + 10
    assert wide["properties"]["f0"]["type"] == "integer"
    assert wide["properties"][f"f{MOST_PARTS + 9}"] == {}
    deep: Any = "int"
    for _ in range(DEEPEST + 10):
        deep = {"type": "array", "items": deep}
    assert describe("deep", 1, avro({"type": "record", "name": "D", "fields": [{"name": "f", "type": deep}]}))


def test_names_that_multiply_are_described_up_to_the_bound() -> None:
    """Each record has ten fields of the one before: 10^20 in all."""
    kinds: Any = {"type": "record", "name": "R0", "fields": [{"name": "n", "type": "int"}]}
    for level in range(1, 21):
        fields = [{"name": "f0", "type": kinds}, *({"name": f"f{n}", "type": f"R{level - 1}"} for n in range(1, 10))]
        kinds = {"type": "record", "name": f"R{level}", "fields": fields}
    described = describe("many", 1, avro(kinds))
    assert len(orjson.dumps(described.document)) < 4_000_000


def test_a_protobuf_message_is_described_as_it_is_converted() -> None:
    described = describe("outer-value", 2, Source("PROTOBUF", TEXT))
    message = OUTER(name="x", kind=1, raw=b"\x01", unsigned=2**64 - 1, age=3)
    message.inners.add(n=2**60).again.kind = 7
    message.by_name["z"].n = -1
    message.at.FromMilliseconds(1500)
    message.any.Pack(message.inners[0])
    read = READER.read((0,), message.SerializeToString())
    assert described.faults(read) == []
    assert described.faults(READER.read((0,), b"")) == []
    assert described.faults({**read, "kind": 7}) == []
    assert described.document["required"] == ["name", "inners", "by_name", "kind", "unsigned"]
    wrongs: list[dict[str, Any]] = [
        {"kind": "THREE"},
        {"unsigned": -1},
        {"by_name": []},
        {"inner": 1},
        {"at": "yesterday"},
    ]
    for wrong in wrongs:
        assert described.faults({**read, **wrong}) != [], wrong


def test_the_messages_that_values_are_are_described() -> None:
    text = 'syntax = "proto2"; message A { optional int32 a = 1; } message B { required int32 b = 1; }'
    source = Source("PROTOBUF", text)
    schema = Schema(source)
    schema.convert(b"\0\0\0\0\1\2\2\x08\x05")
    assert schema.paths == {(1,)}
    first, second = describe("s", 1, source), describe("s", 1, source, schema.paths)
    assert (first.faults({"a": 1}), second.faults({"b": 1})) == ([], [])
    assert first.faults({"b": 1})
    both = describe("s", 1, source, {(0,), (1,)})
    assert both.faults({"b": 1}) == both.faults({"a": 1}) == []
    empty = message_factory.GetMessageClass(READER.file.message_types_by_name["Outer"])().SerializeToString()
    assert empty == b""


def test_a_json_schema_is_itself_with_what_it_refers_to() -> None:
    other = Source("JSON", '{"type": "integer"}', "other.json")
    text = (
        '{"$schema": "http://json-schema.org/draft-07/schema#", "$id": "http://x/y", "title": "T", '
        '"properties": {"n": {"$ref": "other.json"}}}'
    )
    described = describe("j-value", 3, Source("JSON", text, "", (other,)))
    assert (described.title, described.version, described.draft) == ("registry/j-value", "3.0.0", "07")
    assert described.faults({"n": 1}) == []
    assert described.faults({"n": "x"}) != []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Source("AVRO", '{"type": "record"}'), "name of a type"),
        (Source("PROTOBUF", "message {"), "a name is expected"),
        (Source("PROTOBUF", 'syntax = "proto3"; enum E { A = 0; }'), "message 0"),
        (Source("JSON", '{"$ref": "https://elsewhere.example/x"}'), "elsewhere"),
        (Source("JSON", '{"properties": {"a": {"$ref": "#"}}}'), "#"),
        (Source("JSON", "[]"), "not an object"),
        (Source("JSON", '{"pattern": "(?=a)"}'), "backtracking"),
        (Source("XML", "<a/>"), "kind XML"),
        (Source("AVRO", '"' + "x" * 2_000_000 + '"'), "characters"),
    ],
)
def test_what_cannot_be_described_says_why(source: Source, reason: str) -> None:
    with pytest.raises(Undescribed, match=reason):
        describe("s", 1, source)


def test_versions_together_are_what_any_of_them_allows() -> None:
    fields = [{"name": "a", "type": "int"}]
    old = describe("s", 1, avro({"type": "record", "name": "R", "fields": fields}))
    new = describe("s", 2, avro({"type": "record", "name": "R", "fields": [*fields, {"name": "b", "type": "string"}]}))
    found = together([new, old])
    assert found.each == (new, old)
    assert found.together.uri == "/registry/s/2.0.0"
    assert found.together.faults({"a": 1}) == found.together.faults({"a": 1, "b": ""}) == []
    assert found.together.faults({"b": ""}) != []
    assert columns_of(found.together.document) == {"a": Shape("integer"), "b": Shape("text")}


def test_columns_have_the_types_of_the_schema() -> None:
    kind = {"type": "enum", "name": "K", "symbols": ["A"]}
    fields = {
        "double": "double", "maybe": ["null", "float"], "at": {"type": "long", "logicalType": "timestamp-millis"},
        "day": {"type": "int", "logicalType": "date"}, "kind": kind, "list": {"type": "array", "items": "long"},
    }  # fmt: skip
    record = {"type": "record", "name": "R", "fields": [{"name": name, "type": one} for name, one in fields.items()]}
    document = describe("r", 1, avro(record)).document
    kinds = {name: shape.kind for name, shape in columns_of(document).items()}
    assert kinds == {
        "double": "number", "maybe": "number", "at": "time", "day": "date", "kind": "text", "list": "list",
    }  # fmt: skip
    assert '"maybe" DOUBLE,' in create_table(document, "duckdb", "r")
    outer = describe("outer", 1, Source("PROTOBUF", TEXT)).document
    assert columns_of(outer)["kind"] == Shape("text")


@pytest.mark.parametrize(
    "subject", ["orders-value", "a/b", ":.ctx:orders-value", "-x", "a//b", "x/", "é", "", "a b", "x" * 199 + "/y"]
)
def test_a_subject_has_a_title_of_its_own(subject: str) -> None:
    assert parse_uri(f"/{title_of(subject)}/1.0.0") == (title_of(subject), (1, 0, 0))
    assert title_of(subject + "'") != title_of(subject + '"')

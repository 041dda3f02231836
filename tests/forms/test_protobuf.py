"""Protobuf values become the JSON of the contract, by descriptors made of the registry's text or serialized form."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRecord
from gateway.forms.bounds import UnusableSchema
from gateway.forms.frame import framed
from gateway.forms.proto_file import ROOT, read_file
from gateway.forms.protobuf import ProtobufReader
from gateway.forms.schema import Schema, Source

TEXT = """
syntax = "proto3"; // a comment
package a.b;
import "google/protobuf/timestamp.proto";
import "google/protobuf/any.proto";
option java_package = "x";
message Outer {
  option (own) = {a: 1 b: "}"};
  reserved 5, 7 to 9;
  enum Kind { UNKNOWN = 0; ONE = 1 [(own).x = 2]; MINUS = -1; }
  message Inner { int64 n = 1; Outer again = 2; }
  string name = 1 [json_name = "nm", deprecated = true];
  optional int32 age = 2;
  repeated Inner inners = 3;
  map<string, Inner> by_name = 4;
  Kind kind = 10;
  oneof choice { string text = 11; bytes raw = 12; }
  google.protobuf.Timestamp at = 13;
  google.protobuf.Any any = 14;
  uint64 unsigned = 16;
}
service Unused { rpc Call (Outer) returns (stream Outer) { option (own) = "a"; } }
"""
READER = ProtobufReader(ROOT, {ROOT: read_file(ROOT, TEXT)})
OUTER: Any = message_factory.GetMessageClass(READER.file.message_types_by_name["Outer"])


def test_members_have_the_names_and_forms_of_the_contract() -> None:
    message = OUTER(name="x", kind=1, raw=b"\x01", unsigned=2**64 - 1)
    message.inners.add(n=2**60)
    message.by_name["z"].n = -1
    message.by_name["a"].n = 2
    message.at.FromMilliseconds(1500)
    message.any.Pack(message.inners[0])
    read = READER.read((0,), message.SerializeToString())
    assert read == {
        "name": "x",
        "inners": [{"n": 2**60}],
        "by_name": {"a": {"n": 2}, "z": {"n": -1}},
        "kind": "ONE",
        "raw": "AQ==",
        "at": "1970-01-01T00:00:01.500Z",
        "any": {"@type": "type.googleapis.com/a.b.Outer.Inner", "n": 2**60},
        "unsigned": 2**64 - 1,
    }
    assert list(read["by_name"]) == ["a", "z"]


def test_a_field_may_have_the_name_of_a_method() -> None:
    names = ("HasField", "ParseFromString", "SerializeToString", "ListFields", "WhichOneof", "CopyFrom")
    fields = " ".join(f"string {name} = {number};" for number, name in enumerate(names, 2))
    text = f'syntax = "proto3"; message M {{ optional string a = 1; {fields} }}'
    reader = ProtobufReader(ROOT, {ROOT: read_file(ROOT, text)})
    data = b"".join(bytes([8 * number + 2, 1]) + b"x" for number in range(2, 2 + len(names)))
    assert reader.read((0,), data) == dict.fromkeys(names, "x")
    assert reader.read((0,), data + b"\x0a\x01y") == {"a": "y", **dict.fromkeys(names, "x")}


def test_members_without_presence_have_their_default() -> None:
    expected = {"name": "", "inners": [], "by_name": {}, "kind": "UNKNOWN", "unsigned": 0}
    assert READER.read((0,), b"") == expected
    assert READER.read((0,), OUTER(age=0).SerializeToString())["age"] == 0
    assert READER.read((0,), OUTER(kind=7).SerializeToString())["kind"] == 7


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(0, 2**64 - 1),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
)
def test_a_value_is_what_protobuf_reads(name: str, unsigned: int, numbers: list[int]) -> None:
    message = OUTER(name=name, unsigned=unsigned)
    for number in numbers:
        message.inners.add(n=number)
    read = READER.read((0,), message.SerializeToString())
    assert (read["name"], read["unsigned"], [one["n"] for one in read["inners"]]) == (name, unsigned, numbers)


def test_the_serialized_form_and_the_text_read_the_same() -> None:
    serialized = b64encode(read_file("x.proto", TEXT).SerializeToString()).decode()
    value = framed(1, b"\x00" + OUTER(name="x").SerializeToString())
    assert Schema(Source("PROTOBUF", serialized)).convert(value) == Schema(Source("PROTOBUF", TEXT)).convert(value)


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"", "ends within the path"),
        (b"\x02\x08", "message 4 of a schema that has 1"),
        (b"\x01", "path of -1"),
        (b"\x80\x01", "path of 64"),
        (b"\xff\xff\xff\xff\xff\x01", "five bytes"),
        (b"\x00\x0a\xff", "not a a.b.Outer"),
        (b"\x00" + OUTER(at={"seconds": 2**60}).SerializeToString(), "calendar"),
    ],
)
def test_what_is_broken_is_a_bad_record_with_its_reason(tail: bytes, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        Schema(Source("PROTOBUF", TEXT)).convert(framed(1, tail))


def test_the_path_leads_to_a_nested_message() -> None:
    assert Schema(Source("PROTOBUF", TEXT)).value(framed(1, b"\x04\x00\x00\x08\x05")) == {"n": 5}


def test_messages_of_any_in_each_other_are_bounded() -> None:
    message = OUTER()
    for _ in range(20):
        outer = OUTER()
        outer.any.Pack(message)
        message = outer
    with pytest.raises(BadRecord, match="Any"):
        READER.read((0,), message.SerializeToString())


def test_a_reference_is_imported() -> None:
    other = Source("PROTOBUF", 'syntax = "proto3"; message Other { bool on = 1; }', "other.proto")
    text = 'syntax = "proto3"; import "other.proto"; message M { Other other = 1; }'
    value = framed(1, b"\x00\x0a\x02\x08\x01")
    assert Schema(Source("PROTOBUF", text, "", (other,))).convert(value) == b'{"other":{"on":true}}'


@pytest.mark.parametrize(
    "text", ["message {", "hello", 'edition = "2023";', 'import "missing.proto";', "message A { B b = 1; }"]
)
def test_a_schema_that_cannot_be_used_makes_bad_records(text: str) -> None:
    with pytest.raises(BadRecord, match="cannot be used"):
        Schema(Source("PROTOBUF", text)).convert(framed(1, b"\x00"))


def test_messages_too_deep_in_each_other_are_refused() -> None:
    with pytest.raises(UnusableSchema, match="deep"):
        read_file(ROOT, "message A { " * 200 + "}" * 200)


def test_a_message_of_ten_thousand_members_is_read() -> None:
    text = 'syntax = "proto3"; message M {' + "".join(f"int32 f{n} = {n + 1};" for n in range(10_000)) + "}"
    read = Schema(Source("PROTOBUF", text)).value(framed(1, b"\x00\x08\x05"))
    assert (len(read), read["f0"], read["f9999"]) == (10_000, 5, 0)

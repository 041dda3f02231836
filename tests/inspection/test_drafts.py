"""Drafts of schemas and configurations from sample records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app.composition import define
from gateway.inspection.draft import Drafted, draft_configuration, draft_schema, stream_names
from gateway.inspection.infer import DEEPEST, MOST_MEMBERS, infer
from gateway.inspection.recognize import FRAMED, advice, common_form, cut, form_of
from gateway.model.record import Record
from gateway.schemas.repository import SchemaRepository
from gateway.schemas.validator import compile_validator, faults
from gateway.settings.configuration import configure

CLOUD = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"n": 1}}


def record(value: Any, *headers: tuple[str, bytes], offset: int = 0) -> Record:
    content = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Record("t", 0, offset, 1, None, content, headers)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=4), min_size=1, max_size=5))
def test_every_sample_is_valid_by_the_schema_that_was_inferred_of_them(samples: list[dict[str, Any]]) -> None:
    validator = compile_validator(infer(samples), "2020-12")
    assert not [fault for sample in samples for fault in faults(validator, sample)]


def test_what_is_inferred() -> None:
    samples = [
        {"id": 1, "at": "2026-01-02T03:04:05Z", "price": 1, "tags": ["a"], "note": None, "in": {"a": 1}},
        {"id": 2, "at": "2026-01-02T03:04:05.5+01:00", "price": 1.5, "tags": [], "note": "x", "in": {"b": True}},
    ]
    assert infer(samples) == {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "price": {"type": "number"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "note": {"type": ["null", "string"]},
            "in": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}}},
        },
        "required": ["id", "at", "price", "tags", "note", "in"],
    }


def test_an_object_of_many_names_is_a_map() -> None:
    many = {f"k{number}": number for number in range(MOST_MEMBERS + 1)}
    assert infer([{"counts": many}])["properties"]["counts"] == {
        "type": "object",
        "additionalProperties": {"type": "integer"},
    }


def test_what_lies_deep_may_be_anything() -> None:
    value: Any = 1
    for _ in range(DEEPEST + 50):
        value = {"a": value}
    text = json.dumps(infer([value]))
    assert text.count('"properties"') == DEEPEST + 1


def test_a_name_that_is_no_text_is_left_out() -> None:
    assert infer([{"\ud800": 1, "a": 1}])["properties"] == {"a": {"type": "integer"}}


@pytest.mark.parametrize(
    ("one", "form"),
    [
        (record({"a": 1}), "json"),
        (record(CLOUD), "cloudevents"),
        (record(b"x", ("ce_specversion", b"1.0")), "cloudevents"),
        (record(b"\0\0\0\0\7abc"), FRAMED),
        (record(b"\0\0\0\0\7"), None),
        (record(bytes(7) + b"\x2a"), None),
        (record([1]), None),
        (record(b"text"), None),
        (record(None), None),
    ],
)
def test_forms_are_recognized(one: Record, form: str | None) -> None:
    assert form_of(one) == form


def test_the_form_of_most() -> None:
    good, bad = record({"a": 1}), record(b"text")
    assert common_form([good, good, bad, record(None)]) == ("json", 1)
    assert common_form([bad, bad, good]) == ("json", 2)
    assert common_form([bad]) == (None, 0)
    assert common_form([record(None)]) == (None, 0)
    assert common_form([]) == (None, 0)


def test_advice() -> None:
    assert "set format: avro" in advice(FRAMED, b"\0")
    assert "cloudevents" in advice("cloudevents", b"{}")
    assert advice(None, b"abc") == "it is a text, and no JSON object"
    assert advice(None, b"\1") == "its form is not known"
    assert cut(b"{ \n 1" + b"x" * 300, 10) == "{ 1xxxxxx…"


def test_names_of_streams() -> None:
    topics = ["orders", "_internal", "internal", "..", "-a"]
    names = stream_names(topics)
    assert names == {"orders": "orders", "_internal": "internal", "internal": "internal-2", "..": "topic", "-a": "a"}


def test_the_draft_is_accepted(tmp_path: Path) -> None:
    drafts = [
        Drafted("orders", 3, "json", (record({"id": 1, "yes": "no"}),)),
        Drafted("_cloud", 1, "cloudevents", (record(CLOUD), record(b"5", ("ce_id", b"1"), ("ce_source", b"s")))),
        Drafted("framed", 1, "avro", (record(b"\0\0\0\0\7abc"),)),
        Drafted("unknown", 1, FRAMED, (), "Its records have a frame."),
        Drafted("empty", 1, "json", (), "No records yet."),
        Drafted("1.5", 1, "json", (record({"$schema": "x", "a": None}),)),
    ]
    names = stream_names(one.topic for one in drafts)
    titles = {}
    for one in drafts:
        if one.form == "json" and (text := draft_schema(names[one.topic], one, "2026-01-02")):
            path = tmp_path / "schemas" / names[one.topic] / "current.yaml"
            path.parent.mkdir(parents=True)
            path.write_text(text)
            titles[one.topic] = names[one.topic]
            assert text.startswith("# DRAFT")
    options = {
        "kafka": {"security_protocol": "SASL_SSL", "sasl_plain_username": "u", "sasl_plain_password": "${PW}"},
        "schema_registry": {"url": "http://r:1"},
    }
    text = draft_configuration("kafka://k:9092", options, drafts, titles, "2026-01-02")
    (tmp_path / "gateway.yaml").write_text(text)
    flags = {"config": str(tmp_path / "gateway.yaml"), "schema_repositories": [str(tmp_path / "schemas")]}
    configured = configure(flags, {"PW": "hidden"})
    definitions, warnings = define(configured)
    assert not warnings
    streams = configured.catalog.streams
    assert list(streams) == ["orders", "cloud", "framed", "empty", "1.5"]
    assert [stream.form for stream in streams.values()] == ["json", "cloudevents", "avro", "json", "json"]
    assert streams["cloud"].topics == ("_cloud",)
    assert configured.settings.intake == "off"
    assert "hidden" not in text
    assert definitions.schemas.taken_by(streams["orders"]) is not None
    assert not SchemaRepository([tmp_path / "schemas"]).get("orders").faults({"id": 2, "yes": "x"})  # type: ignore[union-attr]

"""What is accepted, what is added, what is refused."""

from __future__ import annotations

import copy
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.intake.validate import Accepted, InvalidEvent, key_of, timestamp_of, validate
from gateway.schemas.repository import SchemaRepository

NOW = 1_772_357_213_007
CHANGE = Stream("wiki.change", ("main", "mirror"), aliases=("changes",), schema_title="wiki/change")
CATALOG = Catalog([CHANGE, Stream("bare", ("bare",)), Stream("other", ("other",), schema_title="wiki/page-create")])
SCHEMAS = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])


def example() -> dict[str, Any]:
    schema = SCHEMAS.get("wiki/change")
    assert schema is not None
    return copy.deepcopy(schema.examples[0])


def taken(event: object, **more: Any) -> tuple[Accepted, dict[str, Any]]:
    accepted = validate(orjson.dumps(event), event, CATALOG, SCHEMAS, NOW, **more)
    return accepted, orjson.loads(accepted.value)


def refused(event: object, **more: Any) -> str:
    with pytest.raises(InvalidEvent) as caught:
        validate(b"{}", event, CATALOG, SCHEMAS, NOW, **more)
    return caught.value.detail


def test_a_complete_event_is_stored_as_it_is() -> None:
    event = example()
    accepted, stored = taken(event, request_id="another")
    assert stored == event
    assert (accepted.stream, accepted.topic, accepted.key, accepted.timestamp) == (CHANGE, "main", None, NOW)


def test_what_is_missing_is_set_and_the_event_given_is_left_alone() -> None:
    event = example()
    event["meta"] = {"stream": "wiki.change"}
    before = copy.deepcopy(event)
    _, stored = taken(event, request_id="from-the-header")
    assert event == before
    assert uuid.UUID(stored["meta"]["id"]).version == 4
    assert stored["meta"]["dt"] == "2026-03-01T09:26:53.007Z"
    assert stored["meta"]["request_id"] == "from-the-header"
    assert "domain" not in stored["meta"]
    assert "request_id" not in taken(event)[1]["meta"]


def test_a_stream_that_is_made_of_others_takes_no_events() -> None:
    made = replace(CHANGE, name="made", topics=("made",), aliases=(), derive=Derivation(("wiki.change", "other")))
    event = example() | {"meta": {**example()["meta"], "stream": "made"}}
    for stream in (None, made):
        with pytest.raises(InvalidEvent, match=r"made is made of wiki\.change, other, and takes no other events"):
            validate(
                orjson.dumps(event), event, Catalog([*CATALOG.streams.values(), made]), SCHEMAS, NOW, stream=stream
            )
    event["meta"]["domain"] = "canary"
    with pytest.raises(InvalidEvent):
        validate(orjson.dumps(event), event, Catalog([made]), SCHEMAS, NOW)


def test_the_stream_that_is_given_stands_in_for_a_missing_one() -> None:
    event = example()
    del event["meta"]
    _, stored = taken(event, stream=CHANGE)
    assert stored["meta"]["stream"] == "wiki.change"
    assert "but the event is for other" in refused(example(), stream=CATALOG.streams["other"])


def test_a_stream_may_take_the_schemas_of_several_titles() -> None:
    several = replace(CHANGE, schema_title="/^wiki/(change|log)$/")
    assert taken(example(), stream=several)[0].stream is several
    others = replace(CHANGE, schema_title="/^wiki/page/")
    right = "it takes a version of /^wiki/page/, such as /wiki/page-create/1.0.0"
    wrong = "/$schema: the schema wiki/change is not one that wiki.change takes"
    assert refused(example(), stream=others) == f"{wrong}; {right}"
    assert refused({**example(), "$schema": None}, stream=others).endswith(right)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"meta": 3}, "/meta: it is not an object"),
        ({"meta": {}}, "/meta/stream: it is missing"),
        ({"meta": {"stream": None}}, "/meta/stream: it is not a string"),
        ({"meta": {"stream": "wiki.chnage"}}, "close to it: wiki.change"),
        ({"meta": {"stream": "changes"}}, '"changes" is an alias, for readers; it takes "wiki.change"'),
        ({"meta": {"stream": "bare"}}, "no schema_title"),
        ({"meta": {"stream": "other"}}, "the schema wiki/change is not one that other takes"),
        ({"$schema": 3}, "/$schema: it is not a string; it takes a version of wiki/change, such as /wiki/change/1.0.0"),
        ({"$schema": "/wiki/change/9.0.0"}, "in no schema repository"),
        ({"$schema": "file:///etc/passwd"}, "in no schema repository"),
        ({"meta": {"stream": "wiki.change", "id": None}}, "/meta/id: "),
        ({"meta": {"stream": "wiki.change", "dt": "yesterday"}}, "/meta/dt: "),
        ({"namespace": "0"}, '/namespace: "0" is not of type "integer"'),
        ({"length": {"old": 1}}, "/length: "),
        ({"type": "log"}, '"log_id" is a required property'),
        ({"comment": "x" * 3000}, "/comment: "),
    ],
)
def test_what_is_refused(change: dict[str, Any], told: str) -> None:
    detail = refused({**example(), **change})
    assert told in detail
    assert len(detail) < 2000


def test_the_text_is_stored_byte_for_byte_around_what_is_put_in() -> None:
    event = example()
    text = json.dumps(event, indent=3).encode()
    assert validate(text, event, CATALOG, SCHEMAS, NOW).value == text
    del event["meta"]["id"]
    text = json.dumps(event, indent=3).encode()
    value = validate(text, event, CATALOG, SCHEMAS, NOW, new_id="7f0c1c2e-4f0a-4f62-9d7c-6a1f7d1f3b11").value
    assert value == text.replace(b'"meta": {', b'"meta": {"id":"7f0c1c2e-4f0a-4f62-9d7c-6a1f7d1f3b11",')


def test_the_id_that_an_event_came_with_is_told() -> None:
    event = example()
    assert taken(event)[0].given_id == "7f0c1c2e-4f0a-4f62-9d7c-6a1f7d1f3b11"
    del event["meta"]["id"]
    assert taken(event, new_id="7f0c1c2e-4f0a-4f62-9d7c-6a1f7d1f3b11")[0].given_id is None


@pytest.mark.parametrize(
    ("allowed", "added"),
    [
        (["stream", "id", "dt", "request_id"], ["id", "dt", "request_id"]),
        (["stream", "id", "dt"], ["id", "dt"]),
        (["stream"], []),
    ],
)
def test_what_a_schema_has_no_place_for_is_not_put_in(tmp_path: Path, allowed: list[str], added: list[str]) -> None:
    meta = {"type": "object", "properties": {name: {"type": "string"} for name in allowed}}
    document = {"title": "strict", "$id": "/strict/1.0.0", "type": "object", "properties": {
        "$schema": {"type": "string"}, "meta": {**meta, "additionalProperties": False}, "n": {"type": "integer"},
    }}  # fmt: skip
    (tmp_path / "strict").mkdir()
    (tmp_path / "strict" / "1.0.0.json").write_text(json.dumps(document))
    catalog, schemas = Catalog([Stream("strict", ("strict",), schema_title="strict")]), SchemaRepository([tmp_path])
    event = {"$schema": "/strict/1.0.0", "meta": {"stream": "strict"}, "n": 1}
    value = validate(orjson.dumps(event), event, catalog, schemas, NOW, request_id="r").value
    assert list(orjson.loads(value)["meta"]) == [*added, "stream"]
    with pytest.raises(InvalidEvent, match=r"^/n: "):
        validate(b"{}", {**event, "n": "1"}, catalog, schemas, NOW, request_id="r")


def test_no_object_and_no_schema() -> None:
    assert "not a JSON object" in refused([example()])
    event = example()
    del event["$schema"]
    assert "/$schema: it is missing" in refused(event)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), None),
        (("wiki",), b"enwiki"),
        (("page.id",), b"7"),
        (("wiki", "page.id"), b'["enwiki",7]'),
        (("bot",), b"false"),
    ],
)
def test_keys(fields: tuple[str, ...], expected: bytes | None) -> None:
    event = {"wiki": "enwiki", "page": {"id": 7}, "bot": False}
    assert key_of(event, replace(CHANGE, message_key_fields=fields)) == expected


def test_a_missing_part_of_the_key_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="/page/id: it is missing"):
        key_of({"page": "x"}, replace(CHANGE, message_key_fields=("page.id",)))


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], {"a": "\ud800"}])
@pytest.mark.parametrize("fields", [("wiki",), ("wiki", "id")])
def test_what_has_no_bytes_is_no_key(value: Any, fields: tuple[str, ...]) -> None:
    with pytest.raises(InvalidEvent, match=r"^/wiki.*: half of a character"):
        key_of({"wiki": value, "id": 1}, replace(CHANGE, message_key_fields=fields))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T09:26:53.589Z", 1_772_357_213_589),
        ("2026-03-01T10:26:53.589999+01:00", 1_772_357_213_589),
        ("2026-03-01T09:26:53", 1_772_357_213_000),
        ("2026-03-01", 1_772_323_200_000),
        (1_772_357_213, 1_772_357_213_000),
        (1_772_357_213_589, 1_772_357_213_589),
        (1_772_357_213.5, 1_772_357_213_500),
        (1_772_357_213_589.9, 1_772_357_213_589),
        (1.001, 1001),
        (0, 0),
        (-1, -1000),
        (-0.0005, -1),
        (-864_000_000_000, -864_000_000_000),
        ("1969-12-31T00:00:00Z", -86_400_000),
        ("2026-03-01t09:26:53.5891234z", 1_772_357_213_589),
        ("0000-01-01T00:00:00+23:59", -62_167_305_540_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
    ],
)
def test_timestamps(value: object, expected: int) -> None:
    stream = replace(CHANGE, timestamp_field="meta.dt")
    assert timestamp_of({"meta": {"dt": value}}, stream, NOW) == expected


@pytest.mark.parametrize(
    "value", [None, True, "soon", "", " 2026-03-01", "10m", 10**30, -(10**30), float("inf"), float("nan"), {}]
)
def test_what_is_no_timestamp(value: object) -> None:
    with pytest.raises(InvalidEvent, match="/meta/dt: it is"):
        timestamp_of({"meta": {"dt": value}}, replace(CHANGE, timestamp_field="meta.dt"), NOW)


@pytest.mark.parametrize(
    ("ahead", "allowed", "taken"),
    [(3_600_000, None, True), (3_600_001, None, False), (1, 1, True), (2, 1, False), (10**12, 0, True)],
)
def test_how_far_ahead_a_timestamp_may_lie(ahead: int, allowed: int | None, taken: bool) -> None:
    stream, event = replace(CHANGE, timestamp_field="meta.dt"), {"meta": {"dt": NOW + ahead}}
    bounds = {} if allowed is None else {"ahead_ms": allowed}
    if taken:
        assert timestamp_of(event, stream, NOW, **bounds) == NOW + ahead
    else:
        with pytest.raises(InvalidEvent, match=r"/meta/dt: .* ahead of now .* timestamp_ahead_max allows"):
            timestamp_of(event, stream, NOW, **bounds)


def test_a_stream_whose_timestamp_is_set_here() -> None:
    stream = replace(CHANGE, timestamp_field="meta.dt")
    event = example()
    del event["meta"]
    assert taken(event, stream=stream)[0].timestamp == NOW


OTHERS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.sampled_from([[], {}, [{}]])
)


def paths(value: object, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Those of all that is in a value."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for name, each in inner for path in ((*above, name), *paths(each, (*above, name)))]


EXAMPLES = [
    (title, number)
    for title in ("wiki/change", "wiki/page-create", "browser/report")
    for number in range(len(cast(Any, SCHEMAS.get(title)).examples))
]


@given(st.sampled_from(EXAMPLES), st.data())
def test_another_validator_says_the_same_of_an_example_in_which_something_is_changed(
    chosen: tuple[str, int], data: st.DataObject
) -> None:
    title, number = chosen
    schema = SCHEMAS.get(title)
    assert schema is not None
    event = copy.deepcopy(schema.examples[number])
    event["meta"] = {**event["meta"], "stream": "any", "id": str(uuid.UUID(int=1)), "dt": "2026-01-01T00:00:00Z"}
    for path in data.draw(st.lists(st.sampled_from(sorted(paths(event), key=str)), max_size=3)):
        part: Any = event
        if path[0] in ("$schema", "meta"):
            continue  # What is missing there is put in, and not of the schema alone.
        try:
            for name in path[:-1]:
                part = part[name]
            if data.draw(st.booleans()) and isinstance(part, dict):
                part.pop(path[-1])
            else:
                part[path[-1]] = data.draw(OTHERS)
        except (KeyError, IndexError, TypeError):
            continue  # A change before has taken it away.
    catalog = Catalog([Stream("any", ("any",), schema_title=title)])
    text = orjson.dumps(event)
    valid = Draft202012Validator(schema.document).is_valid(event)
    try:
        accepted = validate(text, event, catalog, SCHEMAS, NOW)
    except InvalidEvent:
        assert not valid
        return
    assert valid
    assert accepted.value == text


def test_a_key_that_is_read_as_json_is_written_as_json() -> None:
    stream = replace(CHANGE, message_key_fields=("wiki",), key_form="json")
    assert key_of({"wiki": "enwiki"}, stream) == b'"enwiki"'
    assert key_of({"wiki": 7}, stream) == b"7"
    assert key_of({"wiki": "enwiki"}, replace(stream, key_form="string")) == b"enwiki"

"""What changed from one version to the next, and whom it breaks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.schemas.compatibility import Weight, changes, weight_of
from gateway.schemas.shape import merged
from gateway.schemas.validator import compile_validator, faults
from tests.effort import examples
from tests.schemas.kit import NAMES, SCHEMAS, composed, events

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
OLD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "name": {"type": "string", "maxLength": 10, "description": "What it is called."},
        "kind": {"enum": ["edit", "new"]},
        "when": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "user": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "marks": {"type": "object", "patternProperties": {"^m": {"type": "integer"}}},
        "any": {},
    },
    "required": ["id"],
    "oneOf": [{"properties": {"x": {"type": "string"}}}, {"required": ["y"], "properties": {"x": {"type": "string"}}}],
}


def changed(path: str, **keywords: Any) -> dict[str, Any]:
    """OLD with other keywords at a path of it; None takes one away."""
    new = copy.deepcopy(OLD)
    node = new
    for step in path.split("/") if path else []:
        node = node[step]
    for keyword, value in keywords.items():
        if value is None:
            node.pop(keyword, None)
        else:
            node[keyword] = value
    return new


BREAKING = [
    ("", {"required": ["id", "name"]}, "/name: is required: optional → required"),
    ("", {"required": []}, "/id: may be missing: required → optional"),
    ("", {"additionalProperties": False}, "/*: other fields: anything → forbidden"),
    ("properties", {"name": None}, "/name: the field was removed: string → nothing"),
    ("properties/id", {"type": "number"}, "/id: the type changed: integer → number"),
    ("properties/id", {"type": ["integer", "null"]}, "/id: the type changed: integer → integer or null"),
    ("properties/id", {"minimum": 1}, "/id: minimum: 0 → 1"),
    ("properties/id", {"exclusiveMinimum": 0}, "/id: exclusiveMinimum: nothing → 0"),
    ("properties/id", {"multipleOf": 2}, "/id: multipleOf: nothing → 2"),
    ("properties/name", {"maxLength": 9}, "/name: maxLength: 10 → 9"),
    ("properties/name", {"pattern": "^a"}, "/name: pattern: nothing → ^a"),
    ("properties/kind", {"enum": ["edit"]}, '/kind: values were removed: "new" → nothing'),
    ("properties/name", {"enum": ["a"]}, '/name: the values that it takes: any → "a"'),
    ("properties/when", {"format": None}, "/when: the format changed: date-time → nothing"),
    ("properties/when", {"format": "date"}, "/when: the format changed: date-time → date"),
    ("properties/tags/items", {"type": "integer"}, "/tags/[]: the type changed: string → integer"),
    ("properties/tags", {"items": None}, "/tags/[]: the type of the elements: string → anything"),
    ("properties/tags", {"maxItems": 3}, "/tags: maxItems: nothing → 3"),
    ("properties/user", {"properties": {"id": {"type": "integer"}}, "required": []}, "/user/id: may be missing"),
    ("properties/user", {"properties": {}, "required": []}, "/user/id: the field was removed"),
    (
        "properties/labels",
        {"additionalProperties": {"type": "integer"}},
        "/labels/*: the type changed: string",
    ),
    ("properties/labels", {"properties": {"x": {"type": "integer"}}}, "/labels/x: a field of any name is narrowed"),
    ("properties", {"any": {"type": "string"}}, "/any: the type changed: anything → string"),
    ("", {"oneOf": [{"properties": {"x": {"type": "integer"}}}, {}]}, "/x: the type changed: string → integer"),
    ("", {"oneOf": None}, "/x: the field was removed: string → nothing"),
    ("properties/marks", {"patternProperties": {}}, "/marks/^m: fields of this pattern may be anything: integer"),
    ("properties/marks", {"patternProperties": {"^m": {"type": "number"}}}, "/marks/^m: the type changed: integer"),
    (
        "properties/labels",
        {"patternProperties": {"^a": False}},
        "/labels/^a: fields of this pattern: nothing",
    ),
    ("", {"not": {"required": ["name"]}}, '/: not: nothing → {"required": ["name"]}'),
    ("", {"dependentRequired": {"id": ["name"]}}, "/: dependentRequired: nothing → "),
    ("", {"if": {"required": ["name"]}, "then": {"required": ["when"]}}, "/: if and then: nothing → "),
]
HARMLESS = [
    ("properties", {"more": {"type": "string"}}, "/more: a new field: nothing → string", Weight.MINOR),
    ("properties/user/properties", {"age": {"type": "integer"}}, "/user/age: a new field", Weight.MINOR),
    ("properties/id", {"minimum": -5}, "/id: minimum: 0 → -5", Weight.MINOR),
    ("properties", {"x": {"type": "string"}}, "/x: a new field: nothing → string", Weight.MINOR),
    ("properties/name", {"maxLength": None}, "/name: maxLength: 10 → nothing", Weight.MINOR),
    ("properties/kind", {"enum": ["edit", "new", "log"]}, '/kind: new values: nothing → "log"', Weight.MINOR),
    ("properties/labels", {"properties": {"x": {"type": "string"}}}, "/labels/x: a new field", Weight.MINOR),
    (
        "properties/name",
        {"description": "Its name."},
        "/name: description: What it is called. → ",
        Weight.PATCH,
    ),
    ("", {"examples": [{"id": 1}]}, '/: examples: nothing → [{"id": 1}]', Weight.PATCH),
]


@pytest.mark.parametrize(("path", "keywords", "told"), BREAKING, ids=lambda value: str(value)[:40])
def test_what_breaks(path: str, keywords: dict[str, Any], told: str) -> None:
    found = changes(OLD, changed(path, **keywords))
    assert weight_of(found) == Weight.MAJOR
    assert any(str(change).startswith(told) for change in found if change.weight == Weight.MAJOR), found


@pytest.mark.parametrize(("path", "keywords", "told", "weight"), HARMLESS, ids=lambda value: str(value)[:40])
def test_what_breaks_nobody(path: str, keywords: dict[str, Any], told: str, weight: Weight) -> None:
    (change,) = changes(OLD, changed(path, **keywords))
    assert str(change).startswith(told)
    assert change.weight == weight


def test_a_new_required_field_is_told_once() -> None:
    new = changed("properties", more={"type": "string"}) | {"required": ["id", "more"]}
    (change,) = changes(OLD, new)
    assert str(change) == "/more: a new field is required: nothing → string"


def test_names_and_versions_are_no_change() -> None:
    one = {**OLD, "$id": "/a/1.0.0", "examples": [{"$schema": "/a/1.0.0", "id": 1}]}
    other = {**OLD, "$id": "/a/1.1.0", "examples": [{"$schema": "/a/1.1.0", "id": 1}]}
    assert changes(one, other) == []


def test_a_reference_followed_or_not_is_the_same() -> None:
    spread = {**OLD, "properties": {}, "allOf": [{"properties": OLD["properties"]}]}
    assert changes(OLD, spread) == []


def test_another_draft_is_a_minor_change() -> None:
    (change,) = changes({"$schema": DRAFT_7, **OLD}, OLD)
    assert (str(change), change.weight) == ("/: the draft of JSONSchema: 07 → 2020-12", Weight.MINOR)


SAYS_NOTHING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "array"}, {"type": "array", "items": {}}),
    ({"type": "array"}, {"type": "array", "items": {"description": "tags"}}),
    ({"type": "array", "items": {"title": "a"}}, {"type": "array", "items": True}),
    ({"additionalProperties": True}, {"additionalProperties": {"description": "x"}}),
    ({"additionalProperties": {"description": "x"}}, {}),
    ({"properties": {"a": True}}, {"properties": {"a": {"description": "x"}}}),
    ({"patternProperties": {"a": True}}, {"patternProperties": {"a": {"description": "x"}}}),
]


@pytest.mark.parametrize(("old", "new"), SAYS_NOTHING, ids=str)
def test_a_schema_of_words_alone_says_nothing_more_than_none(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert {change.weight for change in changes(old, new)} <= {Weight.PATCH}


def test_a_field_may_be_new_where_others_are_described_in_words() -> None:
    old: dict[str, Any] = {"properties": {"a": {}}, "additionalProperties": {"description": "x"}}
    new = {**old, "properties": {"a": {}, "b": {"type": "string"}}}
    assert weight_of(changes(old, new)) == Weight.MINOR


def test_an_encoding_is_more_than_words() -> None:
    old, new = ({"$schema": DRAFT_7, "items": part} for part in ({}, {"contentEncoding": "base64"}))
    assert weight_of(changes(old, new)) == Weight.MAJOR


@pytest.mark.parametrize("part", [{}, {"description": "x"}], ids=str)
def test_what_said_nothing_may_not_become_a_type(part: dict[str, Any]) -> None:
    text = {"type": "string"}
    assert weight_of(changes({"items": part}, {"items": text})) == Weight.MAJOR
    assert weight_of(changes({"additionalProperties": part}, {"additionalProperties": text})) == Weight.MAJOR


def test_long_values_are_cut() -> None:
    (change,) = changes(OLD, changed("properties/kind", enum=["edit", "new", *map(str, range(100))]))
    assert len(str(change)) < 120


THOROUGH = settings(
    max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@pytest.mark.long
@given(SCHEMAS)
@THOROUGH
def test_a_schema_is_compatible_with_itself(schema: dict[str, Any]) -> None:
    assert changes(schema, copy.deepcopy(schema)) == []
    assert changes(schema, merged(schema)) == []


CHANGED: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["integer", "number", "string", "object", ["string", "null"]]),
    "enum": st.lists(st.sampled_from(["a", "b", 1, 2]), min_size=1, unique=True),
    "required": st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    "additionalProperties": st.one_of(st.booleans(), SCHEMAS),
    "items": SCHEMAS,
    "anyOf": st.just([{"type": "string", "maxLength": 2}, {"type": "integer"}]),
    "not": st.just({"enum": ["a", 1]}),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), st.integers(1, 5)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "maxProperties"), st.integers(0, 5)),
}
FITTING = {
    "object": ("required", "required", "additionalProperties", "maxProperties"),
    "array": ("items", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "enum", "type", "not"),
    "integer": ("minimum", "maximum", "multipleOf", "enum", "type"),
    "number": ("minimum", "maximum", "multipleOf", "enum", "type"),
}


@st.composite
def next_versions(draw: st.DrawFn, old: dict[str, Any]) -> dict[str, Any]:
    """The schema with a field added, taken away or replaced, or with a keyword changed, at one of its places."""
    new = copy.deepcopy(old)
    places: list[dict[str, Any]] = [new]
    for place in places:
        places += place.get("properties", {}).values()
        places += [place[key] for key in ("items", "additionalProperties") if isinstance(place.get(key), dict)]
    place = draw(st.sampled_from(places))
    fields = place.get("properties")
    if fields is not None and draw(st.booleans()):
        name = draw(st.sampled_from([*NAMES, "new"]))
        fields.pop(name, None)
        if draw(st.booleans()):
            fields[name] = draw(SCHEMAS)
            if draw(st.booleans()):
                place["required"] = sorted({*place.get("required", []), name})
        return new
    kind = place.get("type")
    fitting = (
        FITTING.get(kind, ("type", "enum", "anyOf", "not")) if isinstance(kind, str) else ("type", "enum", "anyOf")
    )
    keyword = draw(st.sampled_from(fitting))
    place.pop(keyword, None)
    if draw(st.booleans()):
        place[keyword] = draw(CHANGED[keyword])
    return new


@pytest.mark.long
@given(st.data())
@THOROUGH
def test_what_was_valid_stays_valid(data: st.DataObject) -> None:
    old = data.draw(composed(SCHEMAS))
    written = data.draw(st.lists(events(old), min_size=4, max_size=4))
    for new in data.draw(st.lists(next_versions(old), min_size=4, max_size=8)):
        if weight_of(changes(old, new)) != Weight.MAJOR:
            validator = compile_validator(new, "2020-12")
            assert [faults(validator, event) for event in written] == [[]] * 4

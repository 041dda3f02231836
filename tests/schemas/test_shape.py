"""Branches of `allOf` merged into one: the same is valid as before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.schemas.shape import merged, types_of
from gateway.schemas.validator import compile_validator
from tests.effort import examples
from tests.schemas.kit import LEAVES, composed

SCHEMAS = st.recursive(LEAVES, composed, max_leaves=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-4, 5) | st.floats(-1, 1) | st.text("ab", max_size=6),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from("abc"), parts),
    max_leaves=6,
)


@pytest.mark.long
@given(SCHEMAS, st.lists(SCHEMAS, min_size=1, max_size=3), st.lists(VALUES, min_size=5, max_size=5))
@settings(max_examples=examples(300), deadline=None)
def test_the_same_is_valid(schema: dict[str, Any], branches: list[dict[str, Any]], values: list[Any]) -> None:
    document = {**schema, "allOf": branches}
    one, other = compile_validator(document, "2020-12"), compile_validator(merged(document), "2020-12")
    for value in values:
        assert one.is_valid(value) == other.is_valid(value)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"properties": {"a": {"type": "string"}}, "allOf": [{"properties": {"a": {"maxLength": 3}, "b": {}}}]},
            {"properties": {"a": {"type": "string", "maxLength": 3}, "b": {}}},
        ),
        ({"required": ["a"], "allOf": [{"required": ["b", "a"]}]}, {"required": ["a", "b"]}),
        ({"type": "number", "allOf": [{"type": ["integer", "null"]}]}, {"type": "integer"}),
        ({"maxLength": 5, "allOf": [{"maxLength": 3}, {"minLength": 1}]}, {"maxLength": 3, "minLength": 1}),
        ({"description": "Mine", "allOf": [{"description": "Theirs"}]}, {"description": "Mine"}),
        ({"allOf": [{"allOf": [{"type": "object"}]}, True]}, {"type": "object"}),
        ({"items": {"allOf": [{"type": "string"}]}}, {"items": {"type": "string"}}),
        ({"properties": {"allOf": {"allOf": [{"type": "null"}]}}}, {"properties": {"allOf": {"type": "null"}}}),
        (
            {"additionalProperties": True, "allOf": [{"properties": {"a": {}}}]},
            {"additionalProperties": True, "properties": {"a": {}}},
        ),
        (
            {"unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]},
            {"unevaluatedProperties": False, "properties": {"a": {}}},
        ),
    ],
)
def test_what_is_merged(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merged(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"additionalProperties": False, "allOf": [{"properties": {"a": {}}}]},
        {"properties": {"a": {}}, "allOf": [{"additionalProperties": False}]},
        {"pattern": "a", "allOf": [{"pattern": "b"}]},
        {"type": "string", "allOf": [{"type": "integer"}]},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "allOf": [{"if": {"required": ["b"]}, "else": {}}]},
        {"anyOf": [{"type": "string"}], "allOf": [{"anyOf": [{"maxLength": 1}]}]},
        {"enum": [1, 2], "allOf": [{"enum": [2, 3]}]},
        {"items": {"type": "string"}, "allOf": [{"prefixItems": [{"type": "string"}]}]},
        {"properties": {"a": {}}, "allOf": [{"unevaluatedProperties": False}]},
        {"properties": {"a": {"anyOf": [{}]}}, "allOf": [{"properties": {"a": {"unevaluatedProperties": False}}}]},
        {"allOf": [False]},
    ],
)
def test_what_stays(schema: dict[str, Any]) -> None:
    assert merged(schema) == schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"const": 1.0}, {"integer"}),
        ({"enum": [None, True, 1, 1.5, "a"]}, {"null", "boolean", "integer", "number", "string"}),
        ({"enum": [[], {}]}, {"array", "object"}),
        ({"anyOf": [{"type": "string"}, {"oneOf": [{"const": 1}]}]}, {"string", "integer"}),
        ({"anyOf": [{"type": "string"}, {}]}, None),
        (True, None),
    ],
)
def test_types(schema: Any, expected: set[str] | None) -> None:
    assert types_of(schema) == expected

"""Schemas of older drafts, rewritten for 2020-12."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schemas.modern import modernized
from gateway.schemas.validator import DRAFTS, compile_validator

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
OLD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("04", {"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
    ("04", {"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
    (
        "07",
        {"items": [{"type": "integer"}], "additionalItems": False},
        {"prefixItems": [{"type": "integer"}], "items": False},
    ),
    (
        "07",
        {"dependencies": {"a": ["b"], "c": {"required": ["a"]}}},
        {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"required": ["a"]}}},
    ),
]


@pytest.mark.parametrize(("draft", "old", "new"), OLD)
def test_what_has_changed_is_rewritten_at_any_depth(draft: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    assert modernized(old) == new
    assert modernized({"properties": {"x": old}}) == {"properties": {"x": new}}
    assert modernized({"allOf": [{"not": old}]}) == {"allOf": [{"not": new}]}
    assert modernized({"items": {"additionalProperties": old}}) == {"items": {"additionalProperties": new}}


@given(st.sampled_from(OLD), st.sampled_from(["properties", "allOf", "items", "itself"]), VALUES)
def test_the_same_values_are_valid(old: tuple[str, dict[str, Any], dict[str, Any]], place: str, value: Any) -> None:
    draft, part, _ = old
    places = {"properties": {"a": part}, "allOf": [part, {"type": "object"}], "items": part}
    whole = part if place == "itself" else {place: places[place]}
    before, after = compile_validator(whole, draft), compile_validator(modernized(whole), "2020-12")
    assert before.is_valid(value) == after.is_valid(value)


def test_a_member_called_like_a_keyword_is_kept() -> None:
    schema = {"properties": {"items": {"type": "string"}, "dependencies": {"type": "string"}}}
    assert modernized(schema) == schema
    assert set(DRAFTS) == {"04", "06", "07", "2019-09", "2020-12"}

"""Which keywords each draft heeds, and what another draft therefore changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from gateway.schemas.compatibility import Weight, changes, weight_of
from gateway.schemas.drafts import FORMATS_SINCE, SINCE, heeded
from gateway.schemas.validator import DRAFTS, compile_validator

HEEDED: dict[str, tuple[dict[str, Any], Any]] = {
    "const": ({"const": 1}, 2),
    "contains": ({"contains": {"type": "integer"}}, ["a"]),
    "propertyNames": ({"propertyNames": {"maxLength": 1}}, {"ab": 1}),
    "if": ({"if": {"type": "integer"}, "then": {"minimum": 3}}, 1),
    "then": ({"if": {"type": "integer"}, "then": {"minimum": 3}}, 1),
    "else": ({"if": {"type": "string"}, "else": {"minimum": 3}}, 1),
    "dependentRequired": ({"dependentRequired": {"a": ["b"]}}, {"a": "x"}),
    "dependentSchemas": ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": "x"}),
    "minContains": ({"contains": {"type": "integer"}, "minContains": 2}, [1]),
    "maxContains": ({"contains": {"type": "integer"}, "maxContains": 1}, [1, 2]),
    "unevaluatedProperties": ({"unevaluatedProperties": {"type": "string"}}, {"a": 1}),
    "unevaluatedItems": ({"unevaluatedItems": {"type": "string"}}, [1]),
    "prefixItems": ({"prefixItems": [{"type": "integer"}]}, ["a"]),
    "$dynamicRef": ({"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a", "type": "integer"}}}, "x"),
    "dependencies": ({"dependencies": {"a": ["b"]}}, {"a": "x"}),
}
"""By keyword a schema, and a value that it refuses where the keyword is heeded."""
BAD_TEXTS = {"json-pointer": "a", "uri-template": "{", "relative-json-pointer": "x", "duration": "x", "uuid": "x"}
FORMATS = ["date", "date-time", "time", "email", "idn-email", "hostname", "ipv4", "ipv6", "uri", "regex", "other"]
NAMES = list(DRAFTS)


def written(draft: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, which names its draft."""
    place = f"draft/{draft}" if draft.startswith("20") else f"draft-{draft}"
    return {"$schema": f"http://json-schema.org/{place}/schema", **schema}


@pytest.mark.parametrize("draft", DRAFTS)
def test_the_keywords_that_are_heeded_are_those_of_the_validator(draft: str) -> None:
    assert HEEDED.keys() >= SINCE.keys()
    for keyword, (schema, value) in HEEDED.items():
        refused = not compile_validator(schema, draft).is_valid(value)
        assert (keyword in heeded(schema, draft)) == refused, keyword


@pytest.mark.parametrize("draft", DRAFTS)
def test_the_formats_that_are_heeded_are_those_of_the_validator(draft: str) -> None:
    for name in (*FORMATS_SINCE, *FORMATS):
        schema = {"format": name}
        refused = not compile_validator(schema, draft).is_valid(BAD_TEXTS.get(name, "( b"))
        assert name == "other" or (heeded(schema, draft) == schema) == refused, name


BROKEN = [
    (older, newer, HEEDED[keyword][0])
    for keyword, since in SINCE.items()
    for older, newer in pairwise(NAMES)
    if newer == since
]


@pytest.mark.parametrize(("older", "newer", "schema"), BROKEN, ids=str)
def test_a_draft_that_heeds_more_breaks_writers(older: str, newer: str, schema: dict[str, Any]) -> None:
    assert weight_of(changes(written(older, schema), written(newer, schema))) == Weight.MAJOR


def test_what_is_ignored_is_found_in_every_part() -> None:
    part = {"dependentRequired": {"a": ["b"]}}
    for schema in (
        {"properties": {"p": part}},
        {"items": part},
        {"allOf": [{"properties": {"p": {"anyOf": [part, {"type": "string"}]}}}]},
        {"allOf": [part]},
        {"properties": {"p": {"format": "uuid"}}},
    ):
        assert weight_of(changes(written("07", schema), written("2020-12", schema))) == Weight.MAJOR


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"const": 1}, "b": {"type": "string", "format": "date-time"}}},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {"dependencies": {"a": ["b"]}},
        {"properties": {"prefixItems": {"type": "string"}, "dependentRequired": {"type": "string"}}},
        {"default": {"prefixItems": 1}, "enum": [{"prefixItems": 1}]},
    ],
    ids=str,
)
def test_a_draft_that_heeds_the_same_breaks_nobody(schema: dict[str, Any]) -> None:
    (change,) = changes(written("07", schema), written("2020-12", schema))
    assert change.weight == Weight.MINOR

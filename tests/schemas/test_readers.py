"""What changes for those who read, through branches, lists and maps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.schemas import compatibility, reading
from gateway.schemas.compatibility import Weight, changes, weight_of
from gateway.schemas.readers import differences
from gateway.schemas.validator import compile_validator, faults
from tests.effort import examples
from tests.schemas.branches import SCHEMAS, events, next_versions, unreadable

USER: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "born": {"type": "string", "format": "date"}},
    "required": ["id"],
}
OTHER: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "integer"}},
    "required": ["id"],
    "maxProperties": 9,
}
BRANCHES: dict[str, Callable[[Any], Any]] = {
    "anyOf": lambda user: {"anyOf": [user, {"type": "null"}]},
    "oneOf": lambda user: {"oneOf": [{"type": "null"}, user]},
    "two": lambda user: {"anyOf": [user, OTHER]},
    "allOf": lambda user: {"allOf": [{"anyOf": [user, {"type": "null"}]}, {"description": "x"}]},
    "then": lambda user: {"if": {"required": ["id"]}, "then": user, "else": OTHER},
    "items": lambda user: {"type": "array", "items": {"anyOf": [user, {"type": "null"}]}},
    "prefixItems": lambda user: {"type": "array", "prefixItems": [{"type": "string"}, user]},
    "map": lambda user: {"type": "object", "additionalProperties": user},
    "patternProperties": lambda user: {"type": "object", "patternProperties": {"^u": user}},
    "nested": lambda user: {"anyOf": [{"oneOf": [user, {"type": "string"}]}, {"type": "null"}]},
}
LOSSES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "required": lambda user: user.pop("required"),
    "format": lambda user: user["properties"]["born"].pop("format"),
    "field": lambda user: user["properties"].pop("born"),
    "type": lambda user: user["properties"]["id"].update(type=["integer", "null"]),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("branch", BRANCHES)
def test_a_loss_in_a_branch_breaks_readers(branch: str, loss: str) -> None:
    less = copy.deepcopy(USER)
    LOSSES[loss](less)
    old, new = ({"properties": {"u": BRANCHES[branch](user)}} for user in (USER, less))
    assert weight_of(changes(old, new)) == Weight.MAJOR


@pytest.mark.parametrize("branch", ["anyOf", "oneOf", "items", "prefixItems", "map", "patternProperties"])
def test_a_new_field_in_a_branch_is_a_minor_change(branch: str) -> None:
    more = {**USER, "properties": {**USER["properties"], "name": {"type": "string"}}}
    (change,) = changes(BRANCHES[branch](USER), BRANCHES[branch](more))
    assert change.weight == Weight.MINOR
    assert change.path.endswith("/name")


STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
TUPLE = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2}
BIG = {"type": "integer", "maximum": 2**64 - 1}
BREAKING: list[tuple[str, Any, Any, str]] = [
    ("a bound of 64 bits is lost", BIG, {"type": "integer"}, "size of whole numbers changed: 38 digits → 64 bits"),
    ("one beyond 38 digits", BIG, {"type": "integer", "maximum": 10**40}, "38 digits → any number of digits"),
    (
        "an exclusive one",
        {"type": "integer", "exclusiveMinimum": -(2**70)},
        {"type": "integer"},
        "38 digits → 64 bits",
    ),
    ("values beyond it", {"enum": [1]}, {"enum": [1, 2**64]}, "64 bits → 38 digits"),
    ("an element is gone", TUPLE, {**TUPLE, "prefixItems": [{"type": "string"}]}, "/1: the element: integer → any"),
    ("an element may be missing", TUPLE, {**TUPLE, "minItems": 1}, "/1: may be missing"),
    (
        "a list of positions",
        TUPLE,
        {"type": "array", "items": {}},
        "/[]: the type of the elements: a type for each position → one type for all",
    ),
    (
        "draft 7",
        {"items": [{"type": "string"}], "type": "array"},
        {"items": [{"type": ["string", "null"]}], "type": "array"},
        "/0: the type changed: string → string or null",
    ),
    (
        "a field of a map is another",
        STRINGS,
        {**STRINGS, "properties": {"x": {"type": ["string", "null"]}}},
        "/x: the type changed: string → string or null",
    ),
    (
        "a map among alternatives",
        {"anyOf": [STRINGS, {"type": "null"}]},
        {"anyOf": [{"type": "object"}, {"type": "null"}]},
        "/*: other fields: only string → anything",
    ),
    (
        "a pattern gives another type to a field",
        {"type": "object", "properties": {"ab": {"type": "string"}}},
        {
            "anyOf": [
                {"type": "object", "properties": {"ab": {"type": "string"}}},
                {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
            ]
        },
        "/ab: the type changed: string → integer or string",
    ),
    (
        "an alternative lets a format go",
        {"properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"a": {"format": "date"}}}]},
        {"properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"a": {"format": "date"}}}, {}]},
        "/a: the format changed: date → nothing",
    ),
    (
        "a dependent schema",
        {"dependentSchemas": {"x": {"properties": {"y": {"type": "string"}}}}},
        {},
        "/y: the field was removed: string → nothing",
    ),
]


@pytest.mark.parametrize(("old", "new", "told"), [case[1:] for case in BREAKING], ids=[case[0] for case in BREAKING])
def test_what_breaks_readers(old: Any, new: Any, told: str) -> None:
    found = [str(change) for change in changes(old, new) if change.weight == Weight.MAJOR]
    assert any(told in line for line in found), found


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_where_a_dynamic_reference_leads_breaks_readers(loss: str) -> None:
    """The definition stays where it is, and is compared there."""
    less = copy.deepcopy(USER)
    LOSSES[loss](less)
    old, new = (
        {"properties": {"u": {"$dynamicRef": "#user"}}, "$defs": {"user": {"$dynamicAnchor": "user", **user}}}
        for user in (USER, less)
    )
    found = changes(old, new)
    assert weight_of(found) == Weight.MAJOR
    assert all(change.path.startswith("#user/") for change in found)
    # Where nothing leads there, it may be anything.
    assert changes({**old, "properties": {}}, {**new, "properties": {}}) == []


def test_equal_values_are_no_change() -> None:
    assert changes({"enum": [1, 2], "default": 1}, {"enum": [1.0, 2.0], "default": 1.0}) == []
    assert changes({"anyOf": [{"const": 1}, {"const": "a"}]}, {"anyOf": [{"const": 1.0}, {"const": "a"}]}) == []
    # Python takes true for 1.
    assert weight_of(changes({"not": {"const": 1}}, {"not": {"const": True}})) == Weight.MAJOR


def test_many_alternatives_take_a_bounded_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def schema(count: int) -> dict[str, Any]:
        one = [{"properties": {f"{letter}{number}": {"type": "integer"}}} for letter in "xyz" for number in range(9)]
        return {"allOf": [{"oneOf": [*one, {"minProperties": number}]} for number in range(count)]}

    asked: list[object] = []
    monkeypatch.setattr(compatibility, "canonical", lambda *schemas: asked.append(schemas))
    assert weight_of(changes(schema(20), schema(21))) == Weight.MAJOR
    assert asked == []
    monkeypatch.setattr(reading, "MAXIMUM_STEPS", 1_000)
    (told,) = differences(schema(20), schema(21))
    assert "too many alternatives" in told.what


THOROUGH = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@given(SCHEMAS)
@THOROUGH
def test_a_schema_reads_as_itself(schema: Any) -> None:
    assert changes(schema, copy.deepcopy(schema)) == []


@pytest.mark.long
@given(st.data())
@THOROUGH
def test_a_reader_of_the_old_type_reads_what_is_compatible(data: st.DataObject) -> None:
    old = data.draw(SCHEMAS)
    compatible = (new for new in data.draw(st.lists(next_versions(old), min_size=6, max_size=12)) if weight(old, new))
    kept = list(islice(compatible, 3))
    assume(kept)
    for new in kept:
        validators = [compile_validator(schema, "2020-12") for schema in (old, new)]
        for event in data.draw(st.lists(events(new), min_size=1, max_size=4)):
            assert unreadable([old], event) is None, (old, new, event)
        for event in data.draw(st.lists(events(old), min_size=1, max_size=2)):
            assert [faults(validator, event) for validator in validators] == [[], []], (old, new, event)


def weight(old: Any, new: Any) -> bool:
    """Whether something changed that is said to break nobody."""
    return old != new and weight_of(changes(old, new)) in (Weight.PATCH, Weight.MINOR)

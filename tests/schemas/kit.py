"""Schemas and events of them, made by Hypothesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.schemas.repository import SchemaRepository
from gateway.schemas.shape import merged
from gateway.schemas.validator import compile_validator, faults

NAMES = ("a", "b", "c")

LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-3, 0), "maximum": st.integers(1, 4)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("string")}, optional={"minLength": st.integers(0, 2), "maxLength": st.integers(3, 5)}
    ),
    st.fixed_dictionaries({"enum": st.lists(st.sampled_from(["a", "b", 1]), min_size=1, unique=True)}),
    st.fixed_dictionaries({"type": st.sampled_from([["string", "null"], "boolean", "null"])}),
    st.fixed_dictionaries({"anyOf": st.just([{"type": "string", "maxLength": 1}, {"type": "integer"}])}),
)

_VALUES = {
    "null": st.none(),
    "boolean": st.booleans(),
    "integer": st.integers(-5, 5),
    "number": st.floats(-5, 5) | st.integers(-5, 5),
    "string": st.text("ab", max_size=6),
}


@st.composite
def _objects(draw: st.DrawFn, members: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    names = st.sampled_from(NAMES)
    fields = draw(st.dictionaries(names, members, max_size=3))
    schema: dict[str, Any] = {"type": "object", "properties": fields}
    if draw(st.booleans()) and fields:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
    if draw(st.booleans()):
        rest: st.SearchStrategy[Any] = st.booleans()
        schema["additionalProperties"] = draw(rest | members)
    elif draw(st.booleans()):
        schema["allOf"] = [{"properties": draw(st.dictionaries(names, members, max_size=2))}]
    return schema


def composed(members: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of objects and arrays of these."""
    arrays = st.fixed_dictionaries(
        {"type": st.just("array"), "items": members}, optional={"maxItems": st.integers(0, 2)}
    )
    return _objects(members) | _objects(members) | arrays


SCHEMAS = st.recursive(LEAVES, composed, max_leaves=5)


def events(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are valid under a schema of these, with no member of an object but those that it names."""
    validator = compile_validator(schema, "2020-12")
    return _near(merged(schema)).filter(lambda value: not faults(validator, value))


def _near(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are mostly valid."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([_near(branch) for branch in schema["anyOf"]])
    kind = schema.get("type")
    if isinstance(kind, list):
        return st.one_of([_VALUES[one] for one in kind])
    if kind == "array":
        return st.lists(_near(schema["items"]), max_size=2)
    if kind == "object":
        fields = {name: _near(part) for name, part in schema.get("properties", {}).items()}
        needed = [name for name in schema.get("required", []) if name in fields]
        return st.fixed_dictionaries(
            {name: fields[name] for name in needed},
            optional={name: part for name, part in fields.items() if name not in needed},
        )
    return _VALUES[kind] if kind in _VALUES else st.one_of(list(_VALUES.values()))


def put(folder: Path, name: str, **schema: Any) -> None:
    """Write a schema, as JSON: it is YAML, so that one text serves both endings."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(schema))


def mistakes(*folders: Path) -> list[str]:
    """What is wrong with these repositories."""
    with pytest.raises(ConfigurationError) as caught:
        SchemaRepository(folders)
    return caught.value.mistakes

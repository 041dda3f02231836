"""Rewrites a schema of an older draft as one of 2020-12, for documents whose readers know no other. Pure."""

from __future__ import annotations

from typing import Any

_ONE = ("not", "if", "then", "else", "contains", "propertyNames", "additionalProperties", "unevaluatedProperties")
_LISTS = ("allOf", "anyOf", "oneOf")
_MAPPINGS = ("properties", "patternProperties", "definitions", "$defs", "dependentSchemas")
_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def modernized(document: Any) -> Any:
    """The same constraints, as JSONSchema 2020-12 writes them, of a schema without `$ref`s (any draft from 4 on)."""
    if not isinstance(document, dict):
        return document
    schema = {key: _inner(key, value) for key, value in document.items()}
    _bounds(schema)
    _items(schema)
    _dependencies(schema)
    return schema


def _inner(key: str, value: Any) -> Any:
    if key in _ONE:
        return modernized(value)
    if key in _LISTS and isinstance(value, list):
        return [modernized(one) for one in value]
    if key in _MAPPINGS and isinstance(value, dict):
        return {name: modernized(one) for name, one in value.items()}
    return value


def _bounds(schema: dict[str, Any]) -> None:
    """Draft 4 has them as booleans beside the bound (draft 6, section 10: they are numbers)."""
    for exclusive, bound in _BOUNDS.items():
        strict = schema.get(exclusive)
        if isinstance(strict, bool):
            del schema[exclusive]
            if strict and bound in schema:
                schema[exclusive] = schema.pop(bound)


def _items(schema: dict[str, Any]) -> None:
    """A list of schemas became `prefixItems`, and what follows it `items` (2020-12, section 10.3.1)."""
    items, more = schema.get("items"), schema.pop("additionalItems", None)
    if isinstance(items, list):
        schema["prefixItems"] = [modernized(one) for one in items]
        del schema["items"]
        if more is not None:
            schema["items"] = modernized(more)
    elif items is not None:
        schema["items"] = modernized(items)
    if "prefixItems" in schema:
        schema["prefixItems"] = [modernized(one) for one in schema["prefixItems"]]


def _dependencies(schema: dict[str, Any]) -> None:
    """They were split in two (2019-09, section 6.5.4 and 9.2.2.4)."""
    for name, needed in schema.pop("dependencies", {}).items():
        if isinstance(needed, list):
            schema.setdefault("dependentRequired", {})[name] = needed
        else:
            schema.setdefault("dependentSchemas", {})[name] = modernized(needed)

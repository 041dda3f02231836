"""Infers a draft of a schema from sample events. Pure, and bounded for any events."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.text import is_text

DEEPEST = 16
"""Levels of members; what lies deeper may be anything."""
MOST_MEMBERS = 64
"""An object with more names in all samples together is a map: its names are data."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", dict: "object"}

Node = dict[str, Any]


def infer(values: Sequence[Any], depth: int = 0) -> Node:
    """A schema that all of the values are valid by. Members are required that each object has."""
    kinds = dict.fromkeys(_KINDS.get(type(value), "array") for value in values)
    if "number" in kinds:
        kinds.pop("integer", None)
    if not kinds or depth > DEEPEST:
        return {}
    named = list(kinds)
    node: Node = {"type": named[0] if len(named) == 1 else named}
    if objects := [value for value in values if isinstance(value, dict)]:
        node |= _members(objects, depth)
    if "array" in kinds:
        items = [item for value in values if isinstance(value, list) for item in value]
        node |= {"items": found} if (found := infer(items, depth + 1)) else {}
    texts = [value for value in values if isinstance(value, str)]
    if texts and all(_TIME.fullmatch(text) for text in texts):
        node["format"] = "date-time"
    return node


def _members(objects: Sequence[dict[str, Any]], depth: int) -> Node:
    names = [name for name in dict.fromkeys(name for value in objects for name in value) if is_text(name)]
    if len(names) > MOST_MEMBERS:
        found = infer([member for value in objects for member in value.values()], depth + 1)
        return {"additionalProperties": found} if found else {}
    node: Node = {}
    if names:
        node["properties"] = {
            name: infer([value[name] for value in objects if name in value], depth + 1) for name in names
        }
    if required := [name for name in names if all(name in value for value in objects)]:
        node["required"] = required
    return node

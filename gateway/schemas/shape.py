"""Merges the branches of `allOf` into a dereferenced schema, wherever that means exactly the same.

Branches that cannot be merged stay in `allOf`. Pure.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any, TypeGuard

Node = dict[str, Any]

ANNOTATIONS = frozenset(
    {"$id", "$schema", "$comment", "$anchor", "title", "description", "examples", "example", "default"}
    | {"deprecated", "readOnly", "writeOnly", "definitions", "$defs"}
    | {"contentEncoding", "contentMediaType", "contentSchema"}
)
"""Keywords that say nothing about which events are valid. (References have been followed, so definitions are not.)"""

_WORDS = ANNOTATIONS - {"contentEncoding", "contentMediaType"}
"""Those that no draft heeds: drafts 6 and 7 check an encoding."""

BY_NAME = ("properties", "patternProperties", "dependentSchemas", "dependencies")
"""Keywords whose members are schemas."""

NON_FINITE = ["NaN", "Infinity", "-Infinity"]
"""The texts of the floating point numbers that JSON does not have (ProtoJSON)."""

CONDITION = ("if", "then", "else")

BRANCHES = ("allOf", "anyOf", "oneOf", "$ref", "if", "then", "else", "dependentSchemas")
"""Keywords whose schemas hold for the same value."""

_BRANCHES = ("anyOf", "oneOf", "dependentSchemas", *CONDITION)
_SEES = {
    "additionalProperties": ("properties", "patternProperties", "additionalProperties"),
    "unevaluatedProperties": (
        *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties"),
        *_BRANCHES,
    ),
    "items": ("prefixItems",),
    "additionalItems": ("items", "additionalItems"),
    "unevaluatedItems": ("prefixItems", "items", "contains", "unevaluatedItems", *_BRANCHES),
}
"""The meaning of a keyword depends on these beside it, so none of them may be added there."""


class _Unmergeable(Exception):
    """Two schemas that have no common form in single keywords."""


def merged(schema: Any) -> Any:
    """The schema without those `allOf`s that can be merged, in all its parts."""
    if not isinstance(schema, dict):
        return schema
    node = {key: _merged_part(key, value) for key, value in schema.items() if key != "allOf"}
    branches = schema.get("allOf")
    if not isinstance(branches, list):
        return node
    left = []
    for branch in map(merged, branches):
        try:
            node = _both(node, branch, branch=True)
        except _Unmergeable:
            left.append(branch)
    return {**node, "allOf": left} if left else node


def types_of(schema: Any) -> frozenset[str] | None:
    """The JSON types that a value may have, as far as `type`, `enum`, `const` and alternatives say; None for any."""
    if not isinstance(schema, dict):
        return None
    if (declared := declared_types(schema)) is not None:
        return declared
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list):
            found = [types_of(branch) for branch in schema[keyword]]
            if all(one is not None for one in found):
                return frozenset().union(*(one for one in found if one is not None))
    return None


def usual_types(schema: Any) -> frozenset[str]:
    """The JSON types of what a column holds: without null, without the texts of numbers that JSON does not have, and
    without the numbers of an enumeration's names. A registry's schemas have these."""
    kinds = (types_of(schema) or frozenset()) - {"null"}
    if len(kinds) != 2 or "string" not in kinds or "anyOf" not in schema:
        return kinds
    texts = [enumerated(one) for one in schema["anyOf"] if types_of(one) == frozenset({"string"})]
    if kinds == {"string", "integer"} and None not in texts:
        return frozenset({"string"})
    if kinds == {"string", "number"} and texts == [NON_FINITE]:
        return frozenset({"number"})
    return kinds


def declared_types(schema: Node) -> frozenset[str] | None:
    """The JSON types that `type`, else `enum` or `const`, gives; None where none of them is there."""
    named = schema.get("type")
    if isinstance(named, str):
        return frozenset({named})
    if isinstance(named, list):
        return frozenset(named)
    values = enumerated(schema)
    return frozenset(map(_type_of, values)) if values is not None else None


def is_open(schema: Any) -> bool:
    """Whether anything is valid under it: it says nothing, or only words."""
    return schema is True or (isinstance(schema, dict) and not schema.keys() - _WORDS)


def branch_fields(schema: Any) -> dict[str, Any]:
    """The fields that only branches of an object's schema name (the rest of `allOf`, `oneOf`, `then` …). The value
    is the first schema of each, or anything if the branches differ in its type."""
    found: dict[str, Any] = {}
    if not isinstance(schema, dict):
        return found
    for keyword in ("allOf", "anyOf", "oneOf", "then", "else"):
        branches = schema.get(keyword, [])
        for branch in branches if isinstance(branches, list) else [branches]:
            if not isinstance(branch, dict):
                continue
            for name, part in (branch.get("properties", {}) | branch_fields(branch)).items():
                same = name not in found or types_of(found[name]) == types_of(part)
                found[name] = found.get(name, part) if same else {}
    return {name: part for name, part in found.items() if name not in schema.get("properties", {})}


def enumerated(schema: Node) -> list[Any] | None:
    """The values of `enum` or `const`, or None where neither is there."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def span_of(schema: Any) -> tuple[int | None, int | None]:
    """The least and the greatest whole number that a value may be, as far as bounds, values and alternatives say; None
    where they say nothing. Of alternatives the widest counts of those that say something."""
    if not isinstance(schema, dict):
        return None, None
    lows, highs = _bounds(schema)
    for keyword in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(keyword), list):
            spans = [span_of(branch) for branch in branches]
            lows.append(min((low for low, _ in spans if low is not None), default=None))
            highs.append(max((high for _, high in spans if high is not None), default=None))
    for branch in schema.get("allOf", []):
        low, high = span_of(branch)
        lows.append(low)
        highs.append(high)
    return (
        max((low for low in lows if low is not None), default=None),
        min((high for high in highs if high is not None), default=None),
    )


def _bounds(schema: Node) -> tuple[list[int | None], list[int | None]]:
    """Bounds and values by themselves. `exclusiveMinimum` is a number, in draft 4 a switch for `minimum`."""
    lows: list[int | None] = []
    highs: list[int | None] = []
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if _is_number(least):
        lows.append(_floor(least) + 1 if above is True else -_floor(-least))
    if _is_number(above):
        lows.append(_floor(above) + 1)
    if _is_number(most):
        highs.append(-_floor(-most) - 1 if below is True else _floor(most))
    if _is_number(below):
        highs.append(-_floor(-below) - 1)
    if (values := enumerated(schema)) is not None and (numbers := [value for value in values if _is_number(value)]):
        lows.append(min(map(_floor, numbers)))
        highs.append(max(-_floor(-value) for value in numbers))
    return lows, highs


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _floor(number: float) -> int:
    """Downwards; what is written larger than a double can be is as large as one can."""
    if isinstance(number, float):
        number = max(-sys.float_info.max, min(sys.float_info.max, number))
    return math.floor(number)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, where 1 is 1.0 and not true."""
    return bool(one == other) and key_of(one) == key_of(other)


def key_of(value: Any) -> str:
    """A text that two values have in common where they are the same in JSON."""
    return json.dumps(_whole(value), ensure_ascii=False, sort_keys=True)


def _whole(value: Any) -> Any:
    """The value with each whole number written as one."""
    if isinstance(value, dict):
        return {name: _whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return "string"
    return "integer" if isinstance(value, int) or value.is_integer() else "number"


def _merged_part(keyword: str, value: Any) -> Any:
    if keyword in ANNOTATIONS or keyword in ("enum", "const"):
        return value
    if keyword in BY_NAME and isinstance(value, dict):
        return {name: merged(part) for name, part in value.items()}
    if isinstance(value, list):
        return [merged(part) for part in value]
    return merged(value)


def _both(one: Node, other: Any, *, branch: bool) -> Node:
    """The conjunction of both schemas; `branch`: the other stands in the first one's `allOf`. Raises _Unmergeable."""
    if other is True:
        return one
    if not isinstance(other, dict) or "allOf" in other:
        raise _Unmergeable
    # What is unevaluated is so after the branches, which therefore may move up to it.
    if _sees(one, other, seen_already="unevaluated" if branch else None) or _sees(other, one, seen_already=None):
        raise _Unmergeable
    if any(keyword in one for keyword in CONDITION) and any(keyword in other for keyword in CONDITION):
        raise _Unmergeable
    result = dict(one)
    for keyword, value in other.items():
        if keyword not in result:
            result[keyword] = value
        elif keyword not in ANNOTATIONS and not equal(result[keyword], value):
            result[keyword] = _joined(keyword, result[keyword], value)
    return result


def _sees(one: Node, other: Node, seen_already: str | None) -> bool:
    """Whether something in the first would mean something else with the second beside it."""
    return any(
        keyword in one
        and one[keyword] not in (True, {})
        and not (seen_already and keyword.startswith(seen_already))
        and any(seen in other for seen in others)
        for keyword, others in _SEES.items()
    )


def _joined(keyword: str, one: Any, other: Any) -> Any:
    join = _JOINS.get(keyword)
    if join is None:
        raise _Unmergeable
    return join(one, other)


def _join_by_name(one: Any, other: Any) -> Any:
    return {**one, **{name: _join_schemas(one[name], part) if name in one else part for name, part in other.items()}}


def _join_schemas(one: Any, other: Any) -> Any:
    if one is True:
        return other
    if not isinstance(one, dict):
        raise _Unmergeable
    return _both(one, other, branch=False)


def _join_required(one: Any, other: Any) -> Any:
    if not isinstance(one, list) or not isinstance(other, list):
        raise _Unmergeable  # draft 3 has a boolean here
    return [*one, *(name for name in other if name not in one)]


def _join_types(one: Any, other: Any) -> Any:
    sides = [[side] if isinstance(side, str) else list(side) for side in (one, other)]

    def admitted(kind: str) -> bool:
        return all(kind in side or (kind == "integer" and "number" in side) for side in sides)

    common = [kind for kind in dict.fromkeys(sides[0] + sides[1]) if admitted(kind)]
    if not common:
        raise _Unmergeable
    return common[0] if len(common) == 1 else common


_JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "properties": _join_by_name,
    "patternProperties": _join_by_name,
    "required": _join_required,
    "type": _join_types,
    **dict.fromkeys(("minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), min),
}

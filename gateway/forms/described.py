"""The parts that JSONSchemas of Avro and of Protobuf have in common: they describe what the conversion gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.schemas.shape import NON_FINITE

MOST_PARTS = 10_000
"""Fields and types that a schema describes; what comes beyond may be anything."""
DEEPEST = 40
"""Levels that it describes; JSONSchemas here have no `$ref`, and so none that holds itself."""

Shape = dict[str, Any]
ANYTHING: Shape = {}
NULL: Shape = {"type": "null"}
BOOLEAN: Shape = {"type": "boolean"}
TEXT: Shape = {"type": "string"}
BYTES: Shape = {"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]*={0,2}$"}
NUMBER: Shape = {"anyOf": [{"type": "number"}, {"enum": NON_FINITE}]}
"""A floating point number; those that JSON does not have are texts."""
DATE_TIME: Shape = {"type": "string", "format": "date-time"}


class Budget:
    """Counts the parts of one description."""

    def __init__(self) -> None:
        self._left = MOST_PARTS

    def allows(self, depth: int) -> bool:
        """Whether one part more may be described, so deep."""
        self._left -= 1
        return self._left >= 0 and depth <= DEEPEST


def whole(bits: int, signed: bool = True) -> Shape:
    """A whole number."""
    low = -(2 ** (bits - 1)) if signed else 0
    return {"type": "integer", "minimum": low, "maximum": low + 2**bits - 1}


def members(properties: Mapping[str, Shape], required: Iterable[str]) -> Shape:
    """An object of these members alone."""
    always = list(required)
    shape: Shape = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**shape, "required": always} if always else shape


def either(shapes: Iterable[Shape]) -> Shape:
    """One of several, each named once and without alternatives in alternatives."""
    found: dict[bytes, Shape] = {}
    for shape in shapes:
        for one in shape["anyOf"] if shape.keys() == {"anyOf"} else [shape]:
            if one == ANYTHING:
                return ANYTHING
            found.setdefault(orjson.dumps(one), one)
    each = list(found.values())
    return each[0] if len(each) == 1 else {"anyOf": each} if each else {"not": {}}


def told(shape: Shape, text: object) -> Shape:
    """With the documentation that the schema gives; what is anything stays so."""
    return {**shape, "description": text} if isinstance(text, str) and text and shape != ANYTHING else shape

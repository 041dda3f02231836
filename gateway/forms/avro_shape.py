"""The JSONSchema of the values of an Avro schema, as `forms/avro.py` converts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.forms.avro_values import conversion
from gateway.forms.avro_write import full_name
from gateway.forms.described import (
    ANYTHING,
    BOOLEAN,
    BYTES,
    DATE_TIME,
    NULL,
    NUMBER,
    TEXT,
    Budget,
    Shape,
    either,
    members,
    told,
    whole,
)

_PRIMITIVES: dict[str, Shape] = {
    "null": NULL,
    "boolean": BOOLEAN,
    "int": whole(32),
    "long": whole(64),
    "float": NUMBER,
    "double": NUMBER,
    "bytes": BYTES,
    "string": TEXT,
}
_LOCAL = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3,9}$"}
_TIME = {"type": "string", "pattern": r"^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3,6}$"}
_DECIMAL = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}


def avro_shape(schema: Any, referred: tuple[Any, ...] = ()) -> Shape:
    """The JSONSchema of a schema that an AvroReader was made of, and of those that it refers to. A type within itself
    is an object of any members there."""
    describer = _Describer()
    for one in referred:
        describer.declare(one, "")
    describer.declare(schema, "")
    return describer.shape(schema, "", 0, frozenset())


class _Describer:
    def __init__(self) -> None:
        self._budget = Budget()
        self._named: dict[str, tuple[Mapping[str, Any], str]] = {}
        """The types with a name, and the namespace of each."""

    def declare(self, schema: Any, namespace: str) -> None:
        """Find the types that have a name: one may be used before the place that is described."""
        if isinstance(schema, list):
            for one in schema:
                self.declare(one, namespace)
        if not isinstance(schema, dict):
            return
        kind = schema.get("type")
        if not isinstance(kind, str):
            self.declare(kind, namespace)
        elif kind in ("record", "error", "enum", "fixed"):
            full, namespace = full_name(schema, namespace)
            self._named[full] = schema, namespace
            for field in schema.get("fields") or ():
                self.declare(field.get("type"), namespace)
        else:
            self.declare(schema.get("items") or schema.get("values"), namespace)

    def shape(self, schema: Any, namespace: str, depth: int, within: frozenset[str]) -> Shape:
        """The shape of a type; `within` are the records that it lies in."""
        if not self._budget.allows(depth):
            return ANYTHING
        if isinstance(schema, str):
            return self._by_name(schema, namespace, depth, within)
        if isinstance(schema, list):
            return either(self.shape(one, namespace, depth + 1, within) for one in schema)
        kind = schema.get("type")
        if not isinstance(kind, str):
            return self.shape(kind, namespace, depth + 1, within)
        if kind in ("record", "error"):
            return self._record(schema, *full_name(schema, namespace), depth, within)
        if kind == "enum":
            return told({"type": "string", "enum": list(schema["symbols"])}, schema.get("doc"))
        if kind == "array":
            return {"type": "array", "items": self.shape(schema.get("items"), namespace, depth + 1, within)}
        if kind == "map":
            values = self.shape(schema.get("values"), namespace, depth + 1, within)
            return {"type": "object", "additionalProperties": values}
        if conversion(schema) is not None:
            return _logical(str(schema["logicalType"]))
        return BYTES if kind == "fixed" else self._by_name(kind, namespace, depth, within)

    def _by_name(self, name: str, namespace: str, depth: int, within: frozenset[str]) -> Shape:
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        for full in (name,) if "." in name or not namespace else (f"{namespace}.{name}", name):
            if full in self._named:
                schema, outer = self._named[full]
                if full in within:
                    return {"type": "object"}
                return self.shape({**schema, "name": full}, outer, depth + 1, within)
        return ANYTHING

    def _record(
        self, schema: Mapping[str, Any], full: str, namespace: str, depth: int, within: frozenset[str]
    ) -> Shape:
        inside = within | {full}
        fields = {
            field["name"]: told(self.shape(field.get("type"), namespace, depth + 1, inside), field.get("doc"))
            for field in schema["fields"]
        }
        return told(members(fields, fields), schema.get("doc"))


def _logical(name: str) -> Shape:
    if name == "decimal":
        return _DECIMAL
    if name in ("uuid", "date"):
        return {"type": "string", "format": name}
    if name.startswith("time-"):
        return _TIME
    return _LOCAL if name.startswith("local-") else DATE_TIME

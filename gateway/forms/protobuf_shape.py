"""The JSONSchema of Protobuf messages, as `forms/protobuf.py` converts them."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.forms.described import (
    ANYTHING,
    BOOLEAN,
    BYTES,
    DATE_TIME,
    NUMBER,
    TEXT,
    Budget,
    Shape,
    either,
    members,
    whole,
)

_F = FieldDescriptor
_SCALARS: dict[int, Shape] = {
    **dict.fromkeys((_F.TYPE_DOUBLE, _F.TYPE_FLOAT), NUMBER),
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), whole(32)),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), whole(64)),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), whole(32, signed=False)),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), whole(64, signed=False)),
    _F.TYPE_BOOL: BOOLEAN,
    _F.TYPE_STRING: TEXT,
    _F.TYPE_BYTES: BYTES,
}
_DURATION: Shape = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{3,9})?s$"}
_KNOWN: dict[str, Shape] = {
    # What is in an Any is known where it is read, and nowhere else.
    "Any": {"type": "object", "properties": {"@type": TEXT}, "required": ["@type"]},
    "Timestamp": DATE_TIME,
    "Duration": _DURATION,
    "Struct": {"type": "object"},
    "ListValue": {"type": "array"},
    "Value": ANYTHING,
    "FieldMask": TEXT,
    "DoubleValue": NUMBER,
    "FloatValue": NUMBER,
    "Int64Value": whole(64),
    "UInt64Value": whole(64, signed=False),
    "Int32Value": whole(32),
    "UInt32Value": whole(32, signed=False),
    "BoolValue": BOOLEAN,
    "StringValue": TEXT,
    "BytesValue": BYTES,
}


def protobuf_shape(descriptor: Descriptor, budget: Budget | None = None) -> Shape:
    """The JSONSchema of a message. A message within itself is an object of any members there."""
    return _message(descriptor, budget or Budget(), 0, frozenset())


def _message(descriptor: Descriptor, budget: Budget, depth: int, within: frozenset[str]) -> Shape:
    package, _, name = descriptor.full_name.rpartition(".")
    if package == "google.protobuf" and name in _KNOWN:
        return _KNOWN[name]
    if descriptor.full_name in within:
        return {"type": "object"}
    inside = within | {descriptor.full_name}
    fields = {field.name: _field(field, budget, depth + 1, inside) for field in descriptor.fields}
    return members(fields, [field.name for field in descriptor.fields if field.is_repeated or not field.has_presence])


def _field(field: FieldDescriptor, budget: Budget, depth: int, within: frozenset[str]) -> Shape:
    if not budget.allows(depth):
        return ANYTHING
    if not field.is_repeated:
        return _single(field, budget, depth, within)
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        value = _single(entry.fields_by_name["value"], budget, depth, within)
        return {"type": "object", "additionalProperties": value}
    return {"type": "array", "items": _single(field, budget, depth, within)}


def _single(field: FieldDescriptor, budget: Budget, depth: int, within: frozenset[str]) -> Shape:
    if field.message_type is not None:
        return _message(field.message_type, budget, depth, within)
    if field.enum_type is None:
        return _SCALARS[field.type]
    names: Shape = {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    # An open enum keeps numbers that have no name.
    return names if field.enum_type.is_closed else either([names, whole(32)])

"""The files that every schema of Protobuf may import, and that no registry gives with it."""

from __future__ import annotations

from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)

_OWN = (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
_BY_NAME = {module.DESCRIPTOR.name: module.DESCRIPTOR for module in _OWN}
_OPTIONS = ("confluent/meta.proto", "google/api/annotations.proto", "google/api/field_behavior.proto")
"""They only declare options, which say nothing about values."""


def known_file(name: str) -> descriptor_pb2.FileDescriptorProto | None:
    """The file of this name, if it is one of them."""
    found = descriptor_pb2.FileDescriptorProto()
    if name in _BY_NAME:
        found.ParseFromString(_BY_NAME[name].serialized_pb)
        return found
    if name in _OPTIONS:
        found.name = name
        return found
    if name == "confluent/type/decimal.proto":
        return _decimal(found, name)
    return None


def _decimal(file: descriptor_pb2.FileDescriptorProto, name: str) -> descriptor_pb2.FileDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto
    file.name, file.package, file.syntax = name, "confluent.type", "proto3"
    message = file.message_type.add(name="Decimal")
    kinds = (("value", field.TYPE_BYTES), ("precision", field.TYPE_UINT32), ("scale", field.TYPE_INT32))
    for number, (member, kind) in enumerate(kinds, 1):
        message.field.add(name=member, number=number, type=kind, label=field.LABEL_OPTIONAL)
    return file

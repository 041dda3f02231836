"""Makes a descriptor of what a registry gives for Protobuf: the text of a `.proto`, or its serialized form."""

from __future__ import annotations

import binascii
from base64 import b64decode

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from gateway.forms.bounds import UnusableSchema
from gateway.forms.proto_text import read_proto

ROOT = "the schema"
"""The name of the file that was asked for; nobody imports it."""


def read_file(name: str, text: str) -> descriptor_pb2.FileDescriptorProto:
    """The file under this name. Raises UnusableSchema."""
    file = _serialized(text) or read_proto(text)
    file.name = name
    return file


def _serialized(text: str) -> descriptor_pb2.FileDescriptorProto | None:
    """The file in Base64; None for a text of another kind. No `.proto` is Base64: each ends in `;` or `}`."""
    try:
        encoded = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    file = descriptor_pb2.FileDescriptorProto()
    try:
        file.ParseFromString(encoded)
    except DecodeError as error:
        raise UnusableSchema(f"it is no serialized file of Protobuf: {error}") from None
    return file

"""Writes events in the form of their stream: framed values of a schema that a registry has."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import orjson

from gateway.errors import BadRecord
from gateway.forms.avro_write import AvroWriter
from gateway.forms.frame import framed, path_bytes
from gateway.forms.schema import Source, avro_of, protobuf_of

Encode = Callable[[Any, int], bytes]
"""Makes a framed value of what it is in JSON, and of the bytes that it has there. Raises BadRecord."""


def encoder(number: int, source: Source, path: tuple[int, ...] = (0,)) -> Encode:
    """What writes values of the schema with this id, which was found to be usable. `path` is the message of Protobuf
    that they are. It is made at the first value: most schemas are only read by."""
    made = cache(partial(_encoder, number, source, path))

    def encode(value: Any, size: int) -> bytes:
        return made()(value, size)

    return encode


def _encoder(number: int, source: Source, path: tuple[int, ...]) -> Encode:
    if source.kind == "AVRO":
        writer = AvroWriter(*avro_of(source))
        return lambda value, size: framed(number, writer.write(value, size))
    if source.kind == "PROTOBUF":
        reader = protobuf_of(source)
        descriptor, head = reader.message(path), path_bytes(path)
        return lambda value, size: framed(number, head + reader.write_as(descriptor, value))
    return lambda value, size: framed(number, _json(value))


def _json(value: Any) -> bytes:
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise BadRecord(f"it cannot be written as JSON: {str(error).lower()}") from None
    # Such a number was beyond a double where it was read, and would be null.
    if b"null" in text and _has_infinity(value):
        raise BadRecord("a number is too large")
    return text


def _has_infinity(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    if isinstance(value, list):
        return any(map(_has_infinity, value))
    return isinstance(value, float) and math.isinf(value)

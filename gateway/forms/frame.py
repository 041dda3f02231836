"""The frame that serializers for a schema registry write before a value: a byte 0, and the schema's id in four bytes.

Protobuf adds which message of the schema it is, as a path of indices ("Wire format" in the registry's documentation).
"""

from __future__ import annotations

import struct

from gateway.errors import BadRecord

HEAD = 5
MAGIC = 0
NESTING = 32
"""How deep messages of Protobuf may be declared in each other."""
_HEAD = struct.Struct(">BI")


def schema_id(value: bytes) -> int:
    """The id of the schema that the value was written with. Raises BadRecord."""
    if len(value) < HEAD:
        raise BadRecord(f"{len(value)} bytes, fewer than the {HEAD} that a schema registry's frame has")
    magic, number = _HEAD.unpack_from(value)
    if magic != MAGIC:
        raise BadRecord(f"it begins with the byte {magic}, and not with the 0 of a schema registry's frame")
    return int(number)


def framed(number: int, value: bytes) -> bytes:
    """A value with its frame."""
    return _HEAD.pack(MAGIC, number) + value


def message_path(value: bytes) -> tuple[tuple[int, ...], int]:
    """Which message a Protobuf value is, as indices from the outermost declaration, and where it begins. Raises
    BadRecord."""
    count, at = _varint(value, HEAD)
    if count == 0:
        return (0,), at
    if not 0 < count <= NESTING:
        raise BadRecord(f"a path of {count} indices to its message")
    path = []
    for _ in range(count):
        index, at = _varint(value, at)
        if index < 0:
            raise BadRecord(f"the index {index} in the path to its message")
        path.append(index)
    return tuple(path), at


def path_bytes(path: tuple[int, ...]) -> bytes:
    """A path of indices as it stands before a message: the first one of all is a single 0."""
    if path == (0,):
        return b"\0"
    written = bytearray()
    for index in (len(path), *path):
        left = index << 1
        while left > 127:
            written.append(left & 127 | 128)
            left >>= 7
        written.append(left)
    return bytes(written)


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of at most five bytes, and where it ends."""
    number = 0
    for shift in range(0, 35, 7):
        if at >= len(value):
            raise BadRecord("it ends within the path to its message")
        byte = value[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return (number >> 1) ^ -(number & 1), at
    raise BadRecord("a number of more than five bytes in the path to its message")

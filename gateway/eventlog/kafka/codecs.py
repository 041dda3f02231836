"""Expands compressed batches, never beyond a bound: a few bytes may stand for gigabytes."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from struct import Struct
from typing import Any

import cramjam

EXPANDED_BYTES = 32 * 1024 * 1024
"""The most bytes that one batch may hold when decompressed; producers make batches of up to some megabytes. If all
partitions of a reader together hold this much, these are taken before others are begun."""

_ROOM = mmap.mmap(-1, EXPANDED_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
"""Where batches are expanded, one after the other. The kernel gives memory only to as much as was ever needed, and a
process that is forked has its own."""

_HEAD, _LENGTH_AT, _MAGIC_AT, _ATTRIBUTES_AT = 61, 8, 16, 22
"""Where a batch of format 2 has its records, its count of bytes, its format, and the low byte of its attributes."""
_BEFORE_COUNTED = 12
"""Bytes before those that are counted."""
_OLD_ATTRIBUTES_AT = 17
_OLD_KEY_AT = (18, 26)
"""Where a message of format 0 or 1 has its attributes and its key: the time stands before it since format 1."""
_CODEC = 0x07
"""Bits of the attributes."""

_XERIAL = b"\x82SNAPPY\0"
_XERIAL_HEAD = 16
_LENGTH = Struct(">i")


def codec_of(batch: bytes) -> int:
    """The number of the codec; 0 where it is not compressed."""
    return batch[_ATTRIBUTES_AT if batch[_MAGIC_AT] >= 2 else _OLD_ATTRIBUTES_AT] & _CODEC


def plain(batch: bytes) -> tuple[bytes, int]:
    """The same batch as if it had not been compressed, and the bytes that are held beside the batch while it is read.
    The checksum is wrong by then. One of an old format stays as it is where it may be expanded: aiokafka expands it.
    Raises ValueError."""
    codec = codec_of(batch)
    if codec == 0:
        return batch, 0
    if batch[_MAGIC_AT] < 2:
        return batch, len(expand(codec, _old_value(batch)))
    records = expand(codec, memoryview(batch)[_HEAD:])
    head = bytearray(batch[:_HEAD])
    head[_ATTRIBUTES_AT] &= ~_CODEC
    _LENGTH.pack_into(head, _LENGTH_AT, _HEAD - _BEFORE_COUNTED + len(records))
    opened = bytes(head) + records
    return opened, len(opened)


def _old_value(message: bytes) -> memoryview:
    """The value of a message of format 0 or 1, which holds the others where they are compressed."""
    position = _OLD_KEY_AT[message[_MAGIC_AT]]
    for _ in range(2):  # past the key, to the value
        (size,) = _LENGTH.unpack_from(message, position)
        begin = position + _LENGTH.size
        position = begin + max(0, size)
    return memoryview(message)[begin:position]


def expand(codec: int, data: bytes | memoryview) -> bytes:
    """The decompressed data of the codec with this number (KIP-110: 1 gzip, 2 snappy, 3 lz4, 4 zstd; 0 none). Raises
    ValueError if it cannot be decompressed, or exceeds EXPANDED_BYTES."""
    if codec == 0:
        return bytes(data)
    into = _CODECS.get(codec)
    if into is None:
        raise ValueError(f"it is compressed with codec {codec}, which is unknown")
    try:
        return bytes(memoryview(_ROOM)[: into(data, _ROOM)])
    except cramjam.DecompressionError as error:
        # The libraries have no other sign for it.
        if "write whole buffer" in str(error) or "smaller than required" in str(error):
            raise ValueError(f"it holds more than {EXPANDED_BYTES:,} bytes when it is expanded") from None
        raise ValueError(f"it cannot be expanded: {error}") from None


def _snappy(data: bytes | memoryview, room: Any) -> int:
    """Plain, or in the blocks of snappy-java, each with its length."""
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        return int(cramjam.snappy.decompress_raw_into(data, room))
    view, size, position = memoryview(room), 0, _XERIAL_HEAD
    while position < len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if not 0 < length <= len(data) - position:
            raise ValueError(f"a block of snappy has {length} bytes, where {len(data) - position} are left")
        size += cramjam.snappy.decompress_raw_into(data[position : position + length], view[size:])
        position += length
    return size


_CODECS: dict[int, Callable[[Any, Any], int]] = {
    1: cramjam.gzip.decompress_into,
    2: _snappy,
    3: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}

"""Reads a batch record by record that aiokafka gives up as a whole, because one record of it is odd.

Brokers accept what aiokafka does not: header names that are not UTF-8. They are shown with escapes here. A record that
cannot be read at all ends where its length says, and has no value. The others stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from aiokafka.record.util import decode_varint

from gateway.eventlog.kafka.codecs import plain
from gateway.model.record import NO_TIMESTAMP, Record, TopicPartition

_HEAD = Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, checksum, attributes, last offset, first and latest timestamp, producer id,
epoch and sequence, count of records."""

_MAGIC = 2
_APPEND_TIME = 0x08
"""A bit of the attributes: all records have the time of the append."""


def salvage(batch: bytes, partition: TopicPartition, start: int) -> Iterator[Record]:
    """The records of a batch from the offset `start` on. Raises ValueError if even its records cannot be separated."""
    base, _, _, magic, _, attributes, _, first, latest, _, _, _, count = _HEAD.unpack_from(batch)
    if magic != _MAGIC:
        raise ValueError(f"a batch of format {magic}")
    data = plain(batch)[_HEAD.size :]
    position, offset = 0, base - 1
    for _ in range(count):
        try:
            length, position = decode_varint(data, position)
        except IndexError as error:
            raise ValueError("the batch ends within a record") from error
        if not 0 < length <= len(data) - position:
            raise ValueError(f"a record of {length} bytes, where {len(data) - position} are left")
        body = data[position : position + length]
        position += length
        try:
            record = _read(body, partition, base, latest if attributes & _APPEND_TIME else None, first)
        except (IndexError, ValueError):
            record = Record(*partition, offset + 1, NO_TIMESTAMP, None, None)
        offset = record.offset
        if offset >= start:
            yield record


def _read(body: bytes, partition: TopicPartition, base: int, appended: int | None, first: int) -> Record:
    """One record. Raises IndexError and ValueError."""
    later, position = decode_varint(body, 1)  # after its attributes, which mean nothing
    further, position = decode_varint(body, position)
    key, position = _bytes(body, position)
    value, position = _bytes(body, position)
    count, position = decode_varint(body, position)
    headers = []
    for _ in range(count):
        name, position = _bytes(body, position)
        content, position = _bytes(body, position)
        headers.append(((name or b"").decode(errors="backslashreplace"), content or b""))
    timestamp = first + later if appended is None else appended
    return Record(*partition, base + further, timestamp, key, value, tuple(headers))


def _bytes(body: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = decode_varint(body, position)
    if length < 0:
        return None, position
    if length > len(body) - position:
        raise ValueError("it goes beyond its record")
    return body[position : position + length], position + length

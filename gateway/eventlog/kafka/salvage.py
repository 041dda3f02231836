"""Reads a batch record by record that aiokafka gives up as a whole, because one record of it is odd.

Brokers accept what aiokafka does not: header names that are not UTF-8. They are shown with escapes here. A record that
cannot be read at all ends where its length says, and has no value. The others stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from gateway.eventlog.kafka.codecs import plain
from gateway.model.record import NO_TIMESTAMP, Record, TopicPartition

_HEAD = Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, checksum, attributes, last offset, first and latest timestamp, producer id,
epoch and sequence, count of records."""

_MAGIC = 2
_APPEND_TIME = 0x08
"""A bit of the attributes: all records have the time of the append."""
_LONGEST = 10
"""Bytes of the longest number."""


def salvage(batch: bytes, partition: TopicPartition, start: int) -> Iterator[Record]:
    """The records of a batch from the offset `start` on. Raises ValueError if even its records cannot be separated, or
    one has an offset that cannot be true."""
    base, _, _, magic, _, attributes, further, first, latest, _, _, _, count = _HEAD.unpack_from(batch)
    if magic != _MAGIC:
        raise ValueError(f"a batch of format {magic}")
    opened, _ = plain(batch)
    data = opened[_HEAD.size :]
    position, offset, end = 0, base - 1, base + further + 1
    for highest in range(end - count, end):  # the others need room behind it
        length, position = _number(data, position)
        if not 0 < length <= len(data) - position:
            raise ValueError(f"a record of {length} bytes, where {len(data) - position} are left")
        body = data[position : position + length]
        position += length
        try:
            record = _read(body, partition, base, latest if attributes & _APPEND_TIME else None, first)
        except ValueError:
            record = Record(*partition, offset + 1, NO_TIMESTAMP, None, None)
        if not offset < record.offset <= highest:
            raise misplaced(record.offset)
        offset = record.offset
        if offset >= start:
            yield record
    if position < len(data):
        raise ValueError(f"{len(data) - position} bytes stand behind its {count} records")


def misplaced(offset: int) -> ValueError:
    """What is wrong with a record of this offset: the batch does not go that far, or another record has it."""
    return ValueError(f"a record has the offset {offset}, which cannot be true")


def _read(body: bytes, partition: TopicPartition, base: int, appended: int | None, first: int) -> Record:
    """One record. Raises ValueError."""
    later, position = _number(body, 1)  # after its attributes, which mean nothing
    further, position = _number(body, position)
    key, position = _bytes(body, position)
    value, position = _bytes(body, position)
    count, position = _number(body, position)
    headers = []
    for _ in range(count):
        name, position = _bytes(body, position)
        content, position = _bytes(body, position)
        headers.append(((name or b"").decode(errors="backslashreplace"), content or b""))
    timestamp = first + later if appended is None else appended
    return Record(*partition, base + further, timestamp, key, value, tuple(headers))


def _bytes(body: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = _number(body, position)
    if length < 0:
        return None, position
    if length > len(body) - position:
        raise ValueError("it goes beyond its record")
    return body[position : position + length], position + length


def _number(data: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and the position after it. aiokafka's function reads on behind the end of the bytes.
    Raises ValueError."""
    value = 0
    for index, byte in enumerate(data[position : position + _LONGEST]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position + index + 1
    raise ValueError(f"there is no number at byte {position} of {len(data)}")

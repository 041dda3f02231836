"""Rows of the SQLite log: partitions as they are and as an append makes them, and records with their headers. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import LogError, TopicAbsent
from gateway.eventlog.offer import refusal
from gateway.model.record import NewRecord, Record, TopicPartition

RECORD_OVERHEAD = 32
"""Bytes that a record counts for beyond its key, value and headers."""

_LENGTH = struct.Struct(">I")


class PartitionRow(NamedTuple):
    """A partition as it is now: its row, the readable offsets, the greatest timestamp and the bytes ever written."""

    id: int
    first: int
    next: int
    high: int | None
    total: int


def pack_headers(headers: Sequence[tuple[str, bytes]]) -> bytes | None:
    """Headers as bytes: each name and each value after its length; None where there are none."""
    if not headers:
        return None
    parts = [part for name, value in headers for part in (name.encode(), value)]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def unpack_headers(packed: bytes | None) -> tuple[tuple[str, bytes], ...]:
    """The headers that `pack_headers` packed."""
    parts: list[bytes] = []
    position = 0
    while packed and position < len(packed):
        (length,) = _LENGTH.unpack_from(packed, position)
        position += _LENGTH.size + length
        parts.append(packed[position - length : position])
    return tuple((name.decode(), value) for name, value in zip(parts[::2], parts[1::2], strict=True))


def stamp_of(record: Record) -> int:
    """A checksum of a record: SQLite knows no epochs, and that it was cut back is seen by what stands there now."""
    stamp = zlib.crc32(b"%d %d" % (record.offset, record.timestamp))
    for part in (record.key, pack_headers(record.headers), record.value):
        stamp = zlib.crc32(b"" if part is None else b"%d:" % len(part), stamp)
        stamp = zlib.crc32(part or b"", stamp)
    return stamp


class Appended:
    """Where records of a topic go, in an append: the partitions as they will be, and the rows."""

    def __init__(self, topic: str, states: dict[int, PartitionRow], now: int) -> None:
        self._topic = topic
        self._now = now
        self.states = states
        self.rows: list[tuple[object, ...]] = []

    def refusal(self, new: NewRecord) -> LogError | None:
        """Why a record cannot be stored."""
        return refusal(new) if new.partition is None or new.partition in self.states else TopicAbsent(self._topic)

    def choose(self, new: NewRecord, turn: int) -> int:
        """The partition of a record; those without key and partition take turns."""
        if new.partition is not None:
            return new.partition
        return (turn if new.key is None else zlib.crc32(new.key)) % len(self.states)

    def add(self, number: int, new: NewRecord) -> tuple[TopicPartition, int]:
        """Put a record at the end of a partition; returns its location."""
        partition, first, offset, high, total = self.states[number]
        value, key, timestamp = new.value, new.key, self._now if new.timestamp is None else new.timestamp
        headers = pack_headers(new.headers) if new.headers else None
        if high is None or timestamp > high:
            high = timestamp
        total += RECORD_OVERHEAD + len(value or b"") + len(key or b"") + len(headers or b"")
        self.rows.append((partition, offset, timestamp, high, total, key, headers, value))
        self.states[number] = PartitionRow(partition, first, offset + 1, high, total)
        return TopicPartition(self._topic, number), offset

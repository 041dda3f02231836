"""Rows of the SQLite log: partitions as they are and as an append makes them, and records with their headers. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import LogError, TopicAbsent
from gateway.eventlog.offer import refusal
from gateway.eventlog.port import is_emptied
from gateway.model.record import NewRecord, Record, TopicPartition

RECORD_OVERHEAD = 32
"""Bytes that a record counts for beyond its key, value and headers."""

_LENGTH = struct.Struct(">I")
_CHECKSUM_BITS = 32


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
    """Checksums of a record: of its place and time alone, and of all of it. SQLite knows no epochs, and that it was cut
    back is seen by what stands there now."""
    return _checksum_of_place(record) << _CHECKSUM_BITS | _checksum(record)


def is_stamp_of(stamp: int, record: Record) -> bool:
    """Whether it may be the record that had this stamp. One that was erased meanwhile has its place and time left."""
    place, whole = divmod(stamp, 1 << _CHECKSUM_BITS)
    if is_emptied(record):
        # Archives keep stamps, and older ones say nothing of the place.
        return place in (0, _checksum_of_place(record))
    return whole == _checksum(record)


def _checksum_of_place(record: Record) -> int:
    """Of 31 bits, so that a stamp is a positive number of 64 bits, as archives keep it."""
    return _begun(record) & 0x7FFFFFFF


def _checksum(record: Record) -> int:
    stamp = _begun(record)
    for part in (record.key, pack_headers(record.headers), record.value):
        stamp = zlib.crc32(b"" if part is None else b"%d:" % len(part), stamp)
        stamp = zlib.crc32(part or b"", stamp)
    return stamp


def _begun(record: Record) -> int:
    return zlib.crc32(b"%d %d" % (record.offset, record.timestamp))


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

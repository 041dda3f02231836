"""A record of the log, and the event in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

NO_TIMESTAMP = -1
"""The timestamp of a record that has none, as Kafka writes it."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as the log holds it. `timestamp` is in milliseconds since the epoch: any number of 64 bits,
    NO_TIMESTAMP for a record without one. `fault`: why a value of another form could not be made JSON; then `value` is
    empty, which is no event."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    fault: str | None = None


class NewRecord(NamedTuple):
    """A record to be appended. Without a partition the log chooses one (by the key, where there is one); without a
    timestamp it is the time of the append. `once` is what it is known by where it may be offered again: bytes that no
    other record has."""

    value: bytes | None
    key: bytes | None = None
    timestamp: int | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    once: bytes | None = None


RecordRun = tuple[TopicPartition, list[Record]]
"""Records of one partition that follow each other; never empty."""


def size_of(record: Record) -> int:
    """Bytes of its key and its value."""
    return len(record.value or b"") + len(record.key or b"")


def sizes_of(records: Iterable[Record]) -> list[int]:
    """The same of each; without a call for each, since this is asked of every record of history."""
    return [len(record.value or b"") + len(record.key or b"") for record in records]

"""A topic and its partitions in memory; of `MemoryLog`."""

from __future__ import annotations

import uuid
import zlib
from bisect import bisect_left
from collections.abc import Callable

from gateway.errors import LogError, TopicAbsent
from gateway.eventlog.offer import refusal
from gateway.eventlog.port import NO_STAMP
from gateway.model.record import NewRecord, Record, size_of


class Partition:
    """Records in log order; offsets rise and may leave holes. `end` is the offset of the next record."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self.offsets: list[int] = []
        self.records: list[Record] = []
        self._epochs = [(0, 0)]
        """Each time that it was cut back, and the offset from which on it was written since."""

    def add(self, record: Record) -> None:
        self.offsets.append(record.offset)
        self.records.append(record)
        self.end = record.offset + 1

    def keep(self, wanted: Callable[[Record], bool]) -> None:
        self.records = [record for record in self.records if wanted(record)]
        self.offsets = [record.offset for record in self.records]

    def erase(self, matches: Callable[[Record], bool]) -> int:
        """Empty what matches; returns how many."""
        gone = [index for index, record in enumerate(self.records) if matches(record)]
        for index in gone:
            self.records[index] = self.records[index]._replace(key=None, value=None, headers=())
        return len(gone)

    def cut(self, end: int) -> None:
        """Lose what stands at this offset and after it; what is written on belongs to another epoch."""
        self.keep(lambda record: record.offset < end)
        self.end, self.start = end, min(self.start, end)
        epoch = self._epochs[-1][0] + 1
        self._epochs = [*((old, first) for old, first in self._epochs if first < end), (epoch, end)]

    def stamp(self, position: int) -> int:
        """The epoch of what stands before the position."""
        return max((epoch for epoch, first in self._epochs if first < position), default=NO_STAMP)

    def cut_below(self, position: int, stamp: int) -> int | None:
        """Where the log was cut back below a position of this stamp; None where it was not."""
        if stamp == NO_STAMP:
            return None
        end = min((first for epoch, first in self._epochs if epoch > stamp), default=self.end)
        return end if end < position else None

    def read(self, position: int, max_records: int, max_bytes: int) -> tuple[list[Record], int]:
        """At most `max_records` from the position, and the position after them."""
        index = bisect_left(self.offsets, position)
        records = []
        for record in self.records[index : index + max_records]:
            records.append(record)
            max_bytes -= size_of(record)
            if max_bytes <= 0:
                break
        read_all = index + len(records) == len(self.records)
        return records, self.end if read_all else records[-1].offset + 1


class MemoryTopic:
    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self.identity = str(uuid.uuid4())
        self.partitions = [Partition() for _ in range(partitions)]
        self.turn = 0
        self.erasures = 0
        """How often records were emptied."""

    def erase(self, matches: Callable[[Record], bool]) -> int:
        """Empty what matches; returns how many."""
        count = sum(partition.erase(matches) for partition in self.partitions)
        self.erasures += count > 0
        return count

    def refusal(self, new: NewRecord) -> LogError | None:
        """Why a record cannot be added."""
        if new.partition is not None and not 0 <= new.partition < len(self.partitions):
            return TopicAbsent(self.name)
        return refusal(new)

    def choose(self, key: bytes | None) -> int:
        """The partition of a new record that names none."""
        if key is not None:
            return zlib.crc32(key) % len(self.partitions)
        self.turn += 1
        return (self.turn - 1) % len(self.partitions)

"""The plain truth: a list of everything that was ever appended, and what became of it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, TopicPartition
from tests.simulation.frames import Entry


@dataclass(slots=True, eq=False)
class Stored:
    """A record as it was appended. `event` is None where the value is none; `gone` says why nobody can read it now."""

    number: int
    partition: TopicPartition
    life: int
    index: int
    offset: int
    timestamp: int
    event: dict[str, Any] | None
    data: bytes
    gone: str = ""

    def __repr__(self) -> str:
        gone = f" {self.gone}" if self.gone else ""
        partition = f"{self.partition.topic}/{self.partition.partition}"
        return f"<{self.number} {partition} life {self.life} offset {self.offset} time {self.timestamp}{gone}>"


@dataclass(slots=True)
class Part:
    """A partition in one life of its topic."""

    records: list[Stored] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    start: int = 0
    """The first offset that retention has left."""
    cut: set[int] = field(default_factory=set)
    """Timestamps at which the log has begun: of such a millisecond, records may have expired."""
    falls: bool = False
    """Whether a timestamp was ever lower than one before it."""
    holes: bool = False
    """Whether offsets were used up without a record."""
    newest: int = 0
    """The highest timestamp."""

    def index_of(self, offset: int) -> int:
        """The index of the first record at or after the offset."""
        return bisect_left(self.offsets, offset)

    def at(self, offset: int) -> Stored | None:
        """The record at this offset, be it gone."""
        index = self.index_of(offset)
        return self.records[index] if index < len(self.records) and self.offsets[index] == offset else None

    def since(self, timestamp: int) -> int:
        """The index of the first record at or after this time (ms)."""
        if not self.falls:
            return bisect_left(self.records, timestamp, key=lambda stored: stored.timestamp)
        return next((at for at, stored in enumerate(self.records) if stored.timestamp >= timestamp), len(self.records))

    def expiring(self) -> list[Stored]:
        """What retention may take, oldest first."""
        return [stored for stored in self.records if stored.offset >= self.start]


class Truth:
    """Does to the log in memory what is asked, and remembers all of it."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.lives: dict[str, list[list[Part]]] = {}
        """Of each topic its lives, from one creation to the next; of each life its partitions."""
        self.existing: set[str] = set()
        self.deleted: dict[str, float] = {}
        """When a topic was last deleted (s)."""
        self.absent: set[tuple[str, int]] = set()
        """The lives of topics that began when the topic had not been there for a while."""
        self.records: list[Stored] = []

    def life(self, topic: str) -> int:
        """The number of the newest life of a topic."""
        return len(self.lives[topic]) - 1

    def part(self, partition: TopicPartition, life: int = -1) -> Part | None:
        """A partition in a life of its topic (the newest), where that has it."""
        lives = self.lives.get(partition.topic)
        if not lives:
            return None
        parts = lives[life]
        return parts[partition.partition] if partition.partition < len(parts) else None

    def find(self, partition: TopicPartition, entry: Entry, life: int | None = None) -> tuple[int, Part]:
        """The life that an entry belongs to: the one known, unless only a later one has that record."""
        assert entry.offset is not None
        lives = self.lives.get(partition.topic, [])
        known = range(len(lives) - 1, -1, -1) if life is None else range(life, len(lives))
        candidates = [(number, part) for number in known if (part := self.part(partition, number)) is not None]
        assert candidates, f"{partition} never existed"
        for number, part in candidates:
            stored = part.at(entry.offset)
            if stored is not None and stored.timestamp == entry.timestamp:
                return number, part
        return candidates[0]

    def is_certain(self, partition: TopicPartition, entry: Entry, part: Part) -> bool:
        """Whether an entry can belong to this life of the topic alone."""
        assert entry.offset is not None
        stored = part.at(entry.offset)
        return self.life(partition.topic) == 0 or (stored is not None and stored.timestamp == entry.timestamp)

    def partitions(self) -> list[TopicPartition]:
        """Those that exist."""
        return [
            TopicPartition(topic, number)
            for topic in sorted(self.existing)
            for number in range(len(self.lives[topic][-1]))
        ]

    def create(self, topic: str, partitions: int, now: float) -> None:
        if self.deleted.get(topic, now) != now:
            self.absent.add((topic, len(self.lives[topic])))
        self.log.create_topic(topic, partitions)
        self.existing.add(topic)
        self.lives.setdefault(topic, []).append([Part() for _ in range(partitions)])

    def delete(self, topic: str, now: float) -> None:
        self.log.delete_topic(topic)
        self.existing.discard(topic)
        self.deleted[topic] = now
        for part in self.lives[topic][-1]:
            for stored in part.records:
                stored.gone = "deleted"

    def grow(self, topic: str) -> None:
        parts = self.lives[topic][-1]
        parts.append(Part())
        self.log.add_partitions(topic, len(parts))

    def append(
        self, partition: TopicPartition, timestamp: int, event: dict[str, Any] | None, data: bytes | None, key: bytes
    ) -> Stored:
        [(_, offset)] = self.log.append_now(
            partition.topic, [NewRecord(data, key or None, timestamp, partition.partition)]
        )
        part = self.part(partition)
        assert part is not None
        line = (data or b"").replace(b"\n", b" ").replace(b"\r", b" ")
        life, index = self.life(partition.topic), len(part.records)
        stored = Stored(len(self.records), partition, life, index, offset, timestamp, event, line)
        part.falls |= timestamp < part.newest
        part.newest = max(part.newest, timestamp)
        if 0 < part.start == offset:
            part.cut.add(timestamp)
        part.records.append(stored)
        part.offsets.append(offset)
        self.records.append(stored)
        return stored

    def truncate(self, partition: TopicPartition, start: int) -> None:
        """Retention takes everything before the offset."""
        part = self.part(partition)
        assert part is not None
        self.log.truncate(partition.topic, partition.partition, start)
        part.start = max(part.start, start)
        expired = [stored for stored in part.records if stored.offset < start]
        for stored in expired:
            stored.gone = stored.gone or "expired"
        part.cut |= {stored.timestamp for stored in part.records[max(0, len(expired) - 1) : len(expired) + 1]}

    def compact(self, chosen: list[Stored]) -> None:
        for stored in chosen:
            self.log.compact(stored.partition.topic, stored.partition.partition, [stored.offset])
            stored.gone = "compacted"

    def mark(self, partition: TopicPartition, count: int) -> None:
        """Transaction markers, or records of an aborted transaction."""
        part = self.part(partition)
        assert part is not None
        part.holes = True
        self.log.mark(partition.topic, partition.partition, count)


def read(data: bytes) -> Any:
    """JSON, parsed."""
    return orjson.loads(data)

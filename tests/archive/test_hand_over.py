"""Readers of a log that forgets, while it is written, archived, compacted, erased from and forgotten: a world from a
seed. No record is missing or repeated, each is as it was, and `find` is what an oracle says."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.archive import log as archived_log
from gateway.archive import reader as archived_reader
from gateway.archive.archive import Archive, Reading
from gateway.archive.index import PartitionIndex
from gateway.archive.log import ArchivedLog
from gateway.archive.upkeep import compact
from gateway.errors import OffsetOutOfRange
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch, Bounds
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.archive.kit import START, Desk

TOPICS = {"one": 2, "two": 1}
PARTITIONS = [TopicPartition(topic, number) for topic, count in TOPICS.items() for number in range(count)]
WRITER, READER = "writer", "reader"
RECORDS = 1500
"""Of a partition."""


class Wrong(Exception):
    """A reader was told what is not so."""


class World:
    """A log over two topics, its archive, and a client that reads all of it once."""

    def __init__(self, seed: int, path: Path) -> None:
        self.random = random.Random(seed)
        self.memory = MemoryLog()
        self.writer = Desk(path / "table", self.memory, *TOPICS, file_bytes=1 << 15, name=WRITER)
        reader = Desk(path / "table", self.memory, name=READER)
        self.log = ArchivedLog(self.memory, lambda _: reader.archive)
        self.log.archives = dict.fromkeys(TOPICS, reader.archive)
        self.given: dict[TopicPartition, list[Record]] = {partition: [] for partition in PARTITIONS}
        self.got: dict[TopicPartition, int] = dict.fromkeys(PARTITIONS, 0)
        self.overtaken = 0

    def write(self) -> None:
        """Append to one partition; times go back now and then."""
        partition = self.random.choice(PARTITIONS)
        records = self.given[partition]
        count = min(RECORDS - len(records), self.random.randrange(1, 200))
        new = []
        for offset in range(len(records), len(records) + count):
            time = START + 1000 * offset - self.random.choice((0, 0, 0, 5000, 90_000))
            record = Record(*partition, offset, time, b"k%d" % (offset % 7), b'{"n":%d}' % offset)
            records.append(record)
            new.append(NewRecord(record.value, record.key, record.timestamp, partition.partition))
        self.memory.append_now(partition.topic, new)

    async def archived(self, partition: TopicPartition) -> int:
        """Up to where a partition is archived."""
        self.writer.archive.refresh()
        found = [index for place, index in self.writer.archive.partitions() if place.partition == partition]
        return found[0].end if found else 0

    async def forget(self) -> None:
        """Let the log forget some of what is archived; most often all."""
        partition = self.random.choice(PARTITIONS)
        end = await self.archived(partition)
        self.memory.truncate(*partition, end if self.random.random() < 0.6 else self.random.randrange(end + 1))

    def compact(self) -> None:
        """Merge files, and delete those before at once."""
        table = self.writer.table
        compact(table, self.writer.archive, table.prepare({}), 1 << 20, everything=True)
        table.vacuum(0)

    async def run(self) -> None:
        """Until the client has all of it."""
        for topic, count in TOPICS.items():
            self.memory.create_topic(topic, count)
        reader = None
        while any(self.got[each] < RECORDS for each in PARTITIONS):
            chance = self.random.random()
            if chance < 0.25 and any(len(records) < RECORDS for records in self.given.values()):
                self.write()
            elif chance < 0.33:
                await self.writer.copy()
            elif chance < 0.41:
                await self.forget()
            elif chance < 0.43 and self.writer.table.version > 0:
                self.compact()
            elif chance < 0.48 and reader is not None:
                await reader.close()
                reader = None
            elif chance < 0.5:
                await self.ask()
            else:
                if reader is None:
                    reader = await self.log.reader(dict(self.got))
                    await self.check_bounds()
                some = self.random.choice((None, [self.random.choice(PARTITIONS)]))
                for found in await reader.fetch(0, self.random.randrange(1, 300), some):
                    if not isinstance(found, Batch):
                        raise Wrong(f"refused: {found}")
                    self.take(found)
                for partition, start in reader.starts.items():
                    if start:
                        raise Wrong(f"{partition} is said to begin at {start}")

    def take(self, batch: Batch) -> None:
        """Hold a batch against what was written."""
        for record in batch.records:
            expected = self.got[batch.partition]
            if record != self.given[batch.partition][expected]:
                raise Wrong(f"{record} came, and not offset {expected}")
            self.got[batch.partition] += 1
        if batch.position != self.got[batch.partition]:
            raise Wrong(f"position {batch.position} after offset {self.got[batch.partition] - 1}")

    async def check_bounds(self) -> None:
        """All is there, from the start."""
        for partition, bounds in (await self.log.bounds(PARTITIONS)).items():
            if bounds != Bounds(0, len(self.given[partition])):
                raise Wrong(f"{partition} has {bounds}")

    async def ask(self) -> None:
        """Look for times."""
        for partition, records in self.given.items():
            when = START + self.random.randrange(-10_000, 1000 * RECORDS)
            expected = next((record.offset for record in records if record.timestamp >= when), None)
            if (found := (await self.log.find({partition: when}))[partition]) != expected:
                raise Wrong(f"{partition} at {when}: {found}, and not {expected}")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_a_world(seed: int, tmp_path: Path) -> None:
    await World(seed, tmp_path).run()


def never_refreshes(patch: pytest.MonkeyPatch) -> None:
    """The index is not read again when the log begins beyond it."""
    patch.setattr(Archive, "_suffices", lambda self, place, start: place in self._index)


def hands_over_early(patch: pytest.MonkeyPatch) -> None:
    """The log's own reader is asked for what it has deleted, one row group before it begins."""
    advance = archived_reader.ArchivedReader._advance

    async def early(self: archived_reader.ArchivedReader, read: object) -> object:
        for partition, _ in read:  # type: ignore[attr-defined]
            old = self._old[partition]
            if old.log_start - old.reading.position < 50:
                old.reading.position = old.log_start
        return await advance(self, read)  # type: ignore[arg-type]

    patch.setattr(archived_reader.ArchivedReader, "_advance", early)


def forgets_to_reach_back(patch: pytest.MonkeyPatch) -> None:
    """A reader that retention overtakes is not led back into the archive."""

    async def settled(self: object, found: list[object]) -> list[object]:
        return found

    patch.setattr(archived_reader.ArchivedReader, "_settled", settled)


def skips_row_groups(patch: pytest.MonkeyPatch) -> None:
    """The position moves behind the row group, and not behind what was given of it."""
    read = Reading.read

    def skipping(self: Reading, max_records: int, max_bytes: int) -> list[Record] | None:
        found = read(self, max_records, max_bytes)
        if self._records and len(self._records) < 40:
            self._records = []
            self.position = self._after
        return found

    patch.setattr(Reading, "read", skipping)


def finds_by_file_alone(patch: pytest.MonkeyPatch) -> None:
    """The highest time of each file is looked at, and not that of all files before it."""

    def reaching(self: PartitionIndex, time: int) -> object:
        return next((file for file in reversed(self.files) if file.high >= time), None)

    patch.setattr(PartitionIndex, "reaching", reaching)


def begins_where_the_log_does(patch: pytest.MonkeyPatch) -> None:
    """Bounds are those of the log alone."""
    patch.setattr(archived_log, "reach", lambda index, start: start)


def trusts_a_file_that_is_gone(patch: pytest.MonkeyPatch) -> None:
    """The index is not read again when a file of it is gone. (Who writes the table reads it as it should.)"""
    refresh = Archive.refresh
    patch.setattr(Archive, "refresh", lambda self: refresh(self) if self.name == WRITER else None)


BUGS = [
    never_refreshes,
    hands_over_early,
    forgets_to_reach_back,
    skips_row_groups,
    finds_by_file_alone,
    begins_where_the_log_does,
    trusts_a_file_that_is_gone,
]


@pytest.mark.long
@pytest.mark.parametrize("plant", BUGS)
async def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    for seed in range(8):
        try:
            await World(seed, tmp_path / str(seed)).run()
        except (Wrong, OffsetOutOfRange):
            return
    pytest.fail(f"{plant.__name__} was not noticed")

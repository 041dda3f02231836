"""Which file holds which records: made of what a version of a table says of its files. Pure.

An index is trusted only if the ranges of its files follow each other without a hole and without an overlap, from the
partition's start to its end. Files that somebody else has written, or taken away, are damage, and nothing is read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, pairwise, takewhile
from typing import NamedTuple

from gateway.archive.layout import Place, span_of_path
from gateway.model.record import TopicPartition

NEVER = -(1 << 63)
"""Below every timestamp, or its own equal: the highest time of a file without records."""


class FileRow(NamedTuple):
    """A file as its table describes it. `first` and `last` are offsets, `high` is the highest timestamp (ms); None
    where the file has no records, or the table does not say."""

    path: str
    size: int
    records: int
    identity: str | None
    first: int | None
    last: int | None
    high: int | None


class ArchivedFile(NamedTuple):
    """A file, and the range of offsets that it stands for."""

    path: str
    begin: int
    end: int
    day: str
    records: int
    size: int
    high: int


class Damage(NamedTuple):
    """Why nothing is read, with the file."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class PartitionIndex:
    """The files of one partition, from `start` to `end`. `older` are those before a hole: nobody reads them through the
    gateway, and they are in the table like the others."""

    def __init__(self, files: list[ArchivedFile], start: int, end: int, older: Sequence[ArchivedFile] = ()) -> None:
        self.files = files
        self.older = older
        self.start = start
        self.end = end
        self._ends = [file.end for file in files]
        self._highs = list(accumulate((file.high for file in files), max))

    @property
    def all_files(self) -> list[ArchivedFile]:
        """Every file that the table has of this partition, in order."""
        return [*self.older, *self.files]

    @property
    def day(self) -> str | None:
        """The day of the newest file."""
        return self.files[-1].day if self.files else None

    def at(self, offset: int) -> ArchivedFile | None:
        """The file that stands for this offset."""
        if offset < self.start:
            return None
        index = bisect_right(self._ends, offset)
        return self.files[index] if index < len(self.files) and self.files[index].begin <= offset else None

    def between(self, begin: int, end: int) -> list[ArchivedFile]:
        """The files that stand for some of these offsets, from `begin` to just before `end`."""
        first = bisect_right(self._ends, begin)
        return list(takewhile(lambda file: file.begin < end, self.files[first:])) if begin < end else []

    def reaching(self, time: int) -> ArchivedFile | None:
        """The first file with a record at or after this time (ms)."""
        low, high = 0, len(self._highs)
        while low < high:
            middle = (low + high) // 2
            if self._highs[middle] >= time:
                high = middle
            else:
                low = middle + 1
        return self.files[low] if low < len(self.files) else None


def index_of(
    rows: Iterable[FileRow], position: Callable[[str], int | None]
) -> dict[Place, PartitionIndex | Damage] | Damage:
    """The index of each partition, or what is wrong with it; Damage of the table where nobody knows whose file it is.
    `position` gives a position of the table by its identifier."""
    found: dict[Place, list[tuple[ArchivedFile, FileRow]]] = {}
    for row in rows:
        span = span_of_path(row.path)
        if span is None:
            return Damage(row.path, "this file was not written by the gateway")
        if row.identity is None:
            return Damage(row.path, "the table has no statistics of this file")
        file = ArchivedFile(
            row.path, span.begin, span.end, span.day, row.records, row.size, NEVER if row.high is None else row.high
        )
        found.setdefault(Place(row.identity, span.partition), []).append((file, row))
    return {place: _partition(place, entries, position) for place, entries in found.items()}


def _partition(
    place: Place, entries: list[tuple[ArchivedFile, FileRow]], position: Callable[[str], int | None]
) -> PartitionIndex | Damage:
    entries.sort(key=lambda entry: (entry[0].begin, entry[0].end))
    files = [file for file, _ in entries]
    start, end = position(place.application("start")), position(place.application("end"))
    if start is None or end is None:
        return Damage(files[0].path, "the table has no position of this partition")
    for file, row in entries:
        if not file.begin < file.end or (row.first is None) != (row.records == 0):
            return Damage(file.path, "the table describes it wrongly")
        if row.first is not None and not file.begin <= row.first <= (row.last or 0) < file.end:
            return Damage(file.path, "its records are not those of its range")
    for before, after in pairwise(files):
        if after.begin < before.end:
            return Damage(after.path, f"its range overlaps that of {before.path}")
    older = [file for file in files if file.end <= start]
    files = files[len(older) :]
    expected = start
    for file in files:
        if file.begin > expected:
            return Damage(file.path, f"the file before it, from offset {expected} on, is missing")
        expected = file.end
    if expected != end:
        return Damage(files[-1].path if files else str(place.partition), f"files from offset {expected} on are missing")
    return PartitionIndex(files, max(start, files[0].begin) if files else start, end, older)


def lost(place: Place, position: Callable[[str], int | None]) -> Damage | None:
    """What is wrong with a partition that has no files; None for one that was never archived."""
    start, end = position(place.application("start")), position(place.application("end"))
    if end is None or start == end:
        return None
    return Damage(f"{place.partition.topic}/{place.partition.partition}", f"all files up to offset {end} are missing")


def reach(index: PartitionIndex, start: int) -> int:
    """The first offset that can be read, of a partition whose log begins at `start`: the archive counts if it reaches
    up to there."""
    return min(index.start, start) if index.end >= start else start


Answers = Mapping[TopicPartition, PartitionIndex | Damage | None]

"""Reads the archive of one stream: which records it has, and the records. Synchronous, for threads.

The index of the newest version that was read is in memory. It is read again when it is old, and at once when the log
begins beyond it, or a file of it is gone: then somebody has archived, compacted or erased meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Protocol

from gateway.archive.files import DamagedArchive, OpenFile
from gateway.archive.histogram import TimeCounts, Wanted, count_times
from gateway.archive.index import ArchivedFile, Damage, FileRow, PartitionIndex, index_of, lost
from gateway.archive.layout import ERASURES, PLACES, Place
from gateway.archive.options import REFRESH_SECONDS
from gateway.archive.store import Store
from gateway.errors import LogUnavailable
from gateway.model.record import Record, size_of, sizes_of
from gateway.text import counted

RETRY_SECONDS = 2.0
"""Seconds after a failed refresh in which none is tried again."""

Answer = PartitionIndex | Damage | None
"""What there is of a partition; None where nothing of it was archived."""


class Versions(Protocol):
    """What an archive needs of its table."""

    @property
    def version(self) -> int:
        """The number of the version that was read last."""
        ...

    def refresh(self) -> object:
        """Read the newest version."""
        ...

    def rows(self) -> list[FileRow]:
        """Its files."""
        ...

    def position(self, application: str) -> int | None:
        """A position of it."""
        ...


class Archive:
    """The table of a stream and its files. Raises LogUnavailable where the store does not answer, and DamagedArchive,
    which is one, with the name of a file that is not what it should be."""

    def __init__(self, name: str, table: Versions, store: Store, now: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.store = store
        self.table = table
        self._now = now
        self._lock = Lock()
        self._index: Mapping[Place, PartitionIndex | Damage] | Damage = {}
        self._absent: dict[Place, Damage | None] = {}
        """What is known of partitions without files."""
        self._version = -2
        """The version of the index; who writes the table reads it too."""
        self.erasures = 0
        """How often the index was found to be from after another erasure than before."""
        self._erased: int | None = None
        """As the table counts them."""
        self._read_at = self._failed_at = float("-inf")
        self._failure: LogUnavailable | None = None

    def known(self, place: Place) -> Answer:
        """What was known of a partition when the index was read last; asks nobody."""
        if isinstance(self._index, Damage):
            return self._index
        return self._index.get(place) or self._absent.get(place)

    def survey(self, starts: Mapping[Place, int]) -> dict[Place, Answer]:
        """What there is of these partitions, whose log begins at these offsets."""
        with self._lock:
            if self.is_older(REFRESH_SECONDS) or not all(
                self._suffices(place, start) for place, start in starts.items()
            ):
                self._refresh()
            if not isinstance(self._index, Damage):
                for place in starts.keys() - self._index.keys() - self._absent.keys():
                    self._absent[place] = lost(place, self.table.position)
        return {place: self.known(place) for place in starts}

    def refresh(self) -> None:
        """Read the index anew."""
        with self._lock:
            self._refresh()

    def is_older(self, seconds: float) -> bool:
        """Whether the index was read so many seconds ago; asks nobody."""
        return self._now() - self._read_at >= seconds

    def _suffices(self, place: Place, start: int) -> bool:
        answer = self.known(place)
        return isinstance(answer, PartitionIndex) and answer.end >= start

    def _refresh(self) -> None:
        if self._failure is not None and self._now() - self._failed_at < RETRY_SECONDS:
            raise LogUnavailable(str(self._failure))
        try:
            self.table.refresh()
            if (version := self.table.version) != self._version:
                # The version goes last: where the rows cannot be had, the index is still one of before.
                self._index, self._absent = index_of(self.table.rows(), self.table.position), {}
                self._version = version
                self._count_erasures()
        except LogUnavailable as error:
            self._failure, self._failed_at = error, self._now()
            raise
        self._failure, self._read_at = None, self._now()

    def _count_erasures(self) -> None:
        """What was erased before the index was read first is nothing new."""
        erased = self.table.position(ERASURES) or 0
        self.erasures += self._erased not in (None, erased)
        self._erased = erased

    def index(self, place: Place) -> PartitionIndex | None:
        """The files of a partition, of the index in memory. Raises DamagedArchive."""
        answer = self.known(place)
        if isinstance(answer, Damage):
            raise self.damaged(str(answer))
        return answer

    def partitions(self) -> list[tuple[Place, PartitionIndex]]:
        """The partitions of the index in memory that are whole. Raises DamagedArchive where the table is not."""
        if isinstance(self._index, Damage):
            raise self.damaged(str(self._index))
        return [(place, answer) for place, answer in self._index.items() if isinstance(answer, PartitionIndex)]

    def damaged(self, reason: str) -> DamagedArchive:
        """The error that says so."""
        return DamagedArchive(f"archive of {self.name}: {reason}")

    def faults(self) -> list[str]:
        """What is wrong with the index in memory."""
        return self._faults_of(self._index)

    def confirm(self) -> None:
        """Raise DamagedArchive where the version that the table has read last is not whole; asks nobody. Without the
        lock: whoever commits holds the table, for which others wait with it."""
        is_known = self.table.version == self._version
        index = self._index if is_known else index_of(self.table.rows(), self.table.position)
        if faults := self._faults_of(index):
            raise self.damaged(faults[0])

    def _faults_of(self, index: Mapping[Place, PartitionIndex | Damage] | Damage) -> list[str]:
        if isinstance(index, Damage):
            return [str(index)]
        faults = [str(answer) for answer in index.values() if isinstance(answer, Damage)]
        if (missing := (self.table.position(PLACES) or 0) - len(index)) > 0:
            faults.append(f"all files of {counted(missing, 'partition')} are missing")
        return faults

    def open(
        self, place: Place, find: Callable[[PartitionIndex], ArchivedFile | None]
    ) -> tuple[OpenFile, ArchivedFile] | None:
        """The file that `find` names in the index. Where it is gone, the index is read again."""
        missing = ""
        while (index := self.index(place)) is not None and (file := find(index)) is not None:
            if file.path == missing:
                raise self.damaged(f"{file.path}: the table names this file, and it is missing")
            try:
                return OpenFile(self.store, file), file
            except FileNotFoundError:
                missing = file.path
                self.refresh()
            except DamagedArchive as error:
                raise self.damaged(str(error)) from error
        return None

    def find(self, place: Place, when: int) -> int | None:
        """The offset of the first record at or after the time (ms); None where none is archived."""
        reading = self.reading(place, -1)
        try:
            return reading.find(when)
        finally:
            reading.close()

    def count(self, file: ArchivedFile, wanted: Wanted, deadline: float) -> TimeCounts | None:
        """Count the events of a file by time; None where it does not tell them, is gone by now, or there is no time."""
        try:
            return count_times(OpenFile(self.store, file), wanted, deadline)
        except FileNotFoundError:
            return None
        except DamagedArchive as error:
            raise self.damaged(str(error)) from error

    def reading(self, place: Place, position: int) -> Reading:
        """A reader of a partition from an offset on."""
        return Reading(self, place, position)


class Reading:
    """A reader of one partition of an archive, from an offset on. It holds one row group."""

    def __init__(self, archive: Archive, place: Place, position: int) -> None:
        self._archive = archive
        self._place = place
        self.position = position
        self._file: OpenFile | None = None
        self._end = -1
        """Where the range of the open file ends."""
        self._records: list[Record] = []
        self._after = -1
        """The position behind `_records`."""

    def read(self, max_records: int, max_bytes: int) -> list[Record] | None:
        """The next records, and moves `position` behind them; None where the archive has no more. There may be none
        where the position moves alone."""
        if not self._records and not self._load():
            return None
        count = 0
        for record in self._records[:max_records]:
            count += 1
            max_bytes -= size_of(record)
            if max_bytes <= 0:
                break
        taken, self._records = self._records[:count], self._records[count:]
        self.position = taken[-1].offset + 1 if self._records else self._after
        return taken

    def find(self, when: int) -> int | None:
        """See Archive."""
        file = self._open(lambda index: index.reaching(when))
        if file is None:
            return None
        for number in range(file.group_reaching(when), file.groups):
            try:
                offset = file.reaching(number, when)
            except DamagedArchive as error:
                raise self._archive.damaged(str(error)) from error
            if offset is not None:
                return offset
        return None

    @property
    def size(self) -> int:
        """Bytes of the records that it holds."""
        return sum(sizes_of(self._records))

    def drop(self) -> None:
        """Hold no records; they are read again."""
        self._records = []

    def close(self) -> None:
        """Release the file."""
        # Not closed: a thread that nobody waits for any more may still read it. It goes with the last who holds it.
        self._file = None
        self._records = []

    def _load(self) -> bool:
        """Take the next row group with records into memory, or move to the end of a file without any."""
        file = self._open(lambda index: index.at(self.position))
        if file is None:
            return False
        for number in range(file.group_of(self.position), file.groups):
            records = [record for record in self._group(file, number) if record.offset >= self.position]
            if records:
                is_last = number + 1 == file.groups
                self._records, self._after = records, self._end if is_last else records[-1].offset + 1
                return True
        self._after = self._end
        return True

    def _open(self, find: Callable[[PartitionIndex], ArchivedFile | None]) -> OpenFile | None:
        """The file that the newest index in memory names."""
        index = self._archive.index(self._place)
        wanted = find(index) if index is not None else None
        if self._file is None or wanted is None or self._file.path != wanted.path:
            self.close()
            found = self._archive.open(self._place, find)
            if found is not None:
                self._file, file = found
                self._end = file.end
        return self._file

    def _group(self, file: OpenFile, number: int) -> list[Record]:
        try:
            return file.records(self._place.partition, number)
        except DamagedArchive as error:
            raise self._archive.damaged(str(error)) from error

"""Copies a stream's topics from the log into its archive: each record once, also where several copy and are killed.

A commit takes files in and moves the partition's position, both or neither, and only if the position is still where the
files begin (`Table.commit`). So there is no lease and no leader. Of two archivers one wins each range, and the other
continues from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.archive.archive import Archive
from gateway.archive.columns import Shape
from gateway.archive.files import Columns, DamagedArchive, FileWriter, Written
from gateway.archive.layout import EPOCH_DAY, ERASURES, PLACES, ROW_BYTES, ROWS, Place, parts_by_day
from gateway.archive.table import Fenced, Position, Table
from gateway.archive.threads import Threads
from gateway.clock import Clock
from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.port import NO_STAMP, Batch, Bounds, EventLog, TopicState
from gateway.eventlog.trouble import Kind, Trouble, demand
from gateway.model.record import Record, TopicPartition

FETCH_SECONDS = 2.0
WRITE_SECONDS = 120.0
"""Seconds for a row group, a file or a commit."""
STALLED_FETCHES = 15
"""Fetches in a row that bring nothing, although the log has more."""


class LogCutBack(LogError):
    """The log has lost records that are archived, and may have been written on: the archive holds another history."""


@dataclass(slots=True)
class Progress:
    """What a round has done, of one stream."""

    records: int = 0
    files: int = 0
    behind: int = 0
    """Records that wait, as far as offsets tell."""
    lost: int = 0
    """Offsets that the log had forgotten before they were archived."""
    troubles: dict[TopicPartition, str] = field(default_factory=dict)
    """Why a partition could not be archived."""


class Archiver:
    """Archives one stream. `log` is the log itself, and `wanted` are the columns of its newest schema."""

    def __init__(
        self,
        log: EventLog,
        topics: tuple[str, ...],
        table: Table,
        archive: Archive,
        wanted: Mapping[str, Shape],
        file_bytes: int,
        clock: Clock,
        threads: Threads,
    ) -> None:
        self._log = log
        self._topics = topics
        self._table = table
        self._archive = archive
        self._wanted = wanted
        self._file_bytes = file_bytes
        self._clock = clock
        self._threads = threads

    async def round(self, stopping: Callable[[], bool] = lambda: False) -> Progress:
        """Archive all that the log has now. A partition that cannot be is told of, and holds up no other. Raises
        LogUnavailable where the store, or the log, answers nothing."""
        progress = Progress()
        columns = await self._threads.run(WRITE_SECONDS, self._table.prepare, self._wanted)
        for topic, state in (await self._log.describe(self._topics)).items():
            if not isinstance(state, TopicState):
                progress.troubles[TopicPartition(topic, 0)] = str(state)
                continue
            for number in range(state.partitions):
                place = Place(state.identity, TopicPartition(topic, number))
                try:
                    while not stopping() and await self._step(place, columns, progress):
                        pass
                except LogError as error:
                    progress.troubles[place.partition] = str(error) or type(error).__name__
        return progress

    async def _step(self, place: Place, columns: Columns, progress: Progress) -> bool:
        """Archive up to `file_bytes` of a partition; whether there may be more."""
        answer = (await self._log.bounds([place.partition]))[place.partition]
        if isinstance(answer, Trouble):
            raise LogUnavailable(str(answer))
        end, stamp, day, erasures = await self._threads.run(WRITE_SECONDS, self._where, place)
        begin = answer.start if end is None else end
        if begin < answer.start:
            progress.lost += answer.start - begin
            begin = answer.start
        if begin > answer.end:
            raise LogCutBack(f"the log ends at {answer.end}, and is archived up to {begin}: it has lost records")
        progress.behind += answer.end - begin
        if begin == answer.end:
            return False
        commit = _Commit(place, begin, day, columns, self._table, self._archive, self._clock.now)
        try:
            await self._copy(commit, stamp, answer)
            if not commit.records:
                return False
            await self._threads.run(WRITE_SECONDS, commit.commit, end, erasures)
        except Fenced:
            return True  # Another archiver was faster; the position tells from where to go on.
        finally:
            commit.abort()
        progress.records += commit.records
        progress.files += len(commit.written)
        progress.behind -= commit.position - begin
        return commit.position < answer.end

    def _where(self, place: Place) -> tuple[int | None, int, str, int | None]:
        """The end of the archive of a partition with its stamp, the day of the newest file, and the count of
        erasures."""
        self._archive.refresh()
        self._archive.confirm()
        index = self._archive.index(place)
        end = self._table.position(place.application("end"))
        stamp = self._table.position(place.application("stamp"))
        day = index.day if index is not None else None
        return end, NO_STAMP if stamp is None else stamp, day or EPOCH_DAY, self._table.position(ERASURES)

    async def _copy(self, commit: _Commit, stamp: int, bounds: Bounds) -> None:
        """Read the log from where the commit begins, and write."""
        place = commit.place.partition
        reader = await self._log.reader({place: commit.position}, {place: stamp})
        stalled = 0
        try:
            while commit.position < bounds.end and commit.size < self._file_bytes:
                found = await reader.fetch(FETCH_SECONDS, ROWS, max_bytes=ROW_BYTES)
                stalled = 0 if found else stalled + 1
                if stalled > STALLED_FETCHES:
                    raise LogUnavailable(f"the log gives nothing from offset {commit.position} on")
                for batch in found:
                    if isinstance(batch, Batch):
                        await self._threads.run(WRITE_SECONDS, commit.add, batch)
                    elif batch.trouble.kind is Kind.CUT:
                        raise LogCutBack(f"{batch.trouble}, and what it has lost is archived")
                    else:
                        demand({place: batch.trouble})
        finally:
            await reader.close()


class _Commit:
    """Files of one partition that are written for one commit: one for each day. Synchronous, for a thread."""

    def __init__(
        self,
        place: Place,
        begin: int,
        day: str,
        columns: Columns,
        table: Table,
        archive: Archive,
        now: Callable[[], int],
    ) -> None:
        self.place = place
        self.position = begin
        self.records = 0
        self.written: list[Written] = []
        self._begin = begin
        self._day = day
        self._stamp = NO_STAMP
        self._columns = columns
        self._table = table
        self._archive = archive
        self._store = archive.store
        self._now = now
        self._writer: FileWriter | None = None

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return sum(file.size for file in self.written) + (self._writer.size if self._writer is not None else 0)

    def add(self, batch: Batch) -> None:
        """Write what a reader of the log has read."""
        for day, part in parts_by_day(batch.records, self._day, self._now()):
            self._write(day, part)
        self.position, self._stamp = batch.position, batch.stamp
        self.records += len(batch.records)

    def _write(self, day: str, part: list[Record]) -> None:
        if self._writer is not None and day != self._day:
            self.written.append(self._writer.close(part[0].offset))
            self._writer = None
        if self._writer is None:
            begin = self.written[-1].span.end if self.written else self._begin
            self._writer = FileWriter(self._store, self.place, day, begin, self._columns)
        self._day = day
        self._writer.add(part)

    def commit(self, before: int | None, erasures: int | None) -> None:
        """Put the files into the table, if its position is still `before`, and nothing was erased meanwhile."""
        assert self._writer is not None
        self.written.append(self._writer.close(self.position))
        self._writer = None
        place = self.place
        positions = [Position(place.application("end"), before, self.position)]
        start = self._table.position(place.application("start"))
        if before is None or before < self._begin:
            positions.append(Position(place.application("start"), start, self._begin))
        if before is None:
            places = self._table.position(PLACES)
            known = len(self._archive.partitions()) if places is None else places
            positions.append(Position(PLACES, places, known + 1))
        if self._stamp != NO_STAMP:
            stamp = place.application("stamp")
            positions.append(Position(stamp, self._table.position(stamp), self._stamp))

        def confirm() -> None:
            if self._table.position(ERASURES) != erasures:
                raise Fenced("records were erased while they were being copied")
            # Else restoring the table to before somebody's commit would take this one away, and not its position.
            self._archive.confirm()

        try:
            self._table.commit(self.written, [], positions, confirm)
        except (Fenced, DamagedArchive):
            for file in self.written:
                self._store.delete(file.path)
            raise

    def abort(self) -> None:
        """Delete what was not finished."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

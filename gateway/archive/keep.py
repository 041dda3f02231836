"""Keeps an archive going: copies at each interval, merges small files, and deletes what is replaced. A failure is
logged and tried again at the next interval, and never reaches another stream.

Any number of processes may do this for one stream. Each range of records is stored by one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.archive.columns import columns_of
from gateway.archive.open import open_archive
from gateway.archive.options import ArchiveOptions
from gateway.archive.threads import Lane, Threads
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.eventlog.port import EventLog
from gateway.observability import telemetry
from gateway.schemas.repository import SchemaRepository

if TYPE_CHECKING:
    from gateway.archive.files import Columns

UPKEEP_SECONDS = 1800.0
"""Seconds for one stretch of merges or one deletion."""
MERGE_SECONDS = 600.0
"""Seconds of a stretch, after which no further merge is begun: new records wait meanwhile."""
VACUUM_SECONDS = 3600.0
"""Seconds between two deletions of what has been replaced."""

ROUNDS = 2
"""Streams of a process that are archived at the same time, and threads that do it."""


class Workshop(NamedTuple):
    """What the archivers of a process share, so that their number costs no memory."""

    threads: Threads
    turns: asyncio.Semaphore

    @classmethod
    def open(cls) -> Workshop:
        """A new one."""
        return cls(Threads(ROUNDS, "write"), asyncio.Semaphore(ROUNDS))


async def keep_archiving(
    stream: Stream,
    schemas: SchemaRepository,
    log: EventLog,
    options: ArchiveOptions,
    clock: Clock,
    workshop: Workshop,
    stop: asyncio.Event,
) -> None:
    """Archive a stream until `stop` is set. `log` is the log itself, and is open."""
    telemetry.archive_begins(stream.name, clock.now() / 1000)
    keeper = Keeper(stream, schemas, log, options, clock, workshop.threads)
    try:
        while not stop.is_set():
            async with workshop.turns:
                await keeper.turn(stop)
            with suppress(TimeoutError):
                async with asyncio.timeout(options.archive_interval):
                    await stop.wait()
    finally:
        telemetry.archive_ends(stream.name)


class Keeper:
    """Archives one stream and keeps its files in shape; of one that is archived no longer, only the latter."""

    def __init__(
        self,
        stream: Stream,
        schemas: SchemaRepository,
        log: EventLog,
        options: ArchiveOptions,
        clock: Clock,
        threads: Threads,
    ) -> None:
        from gateway.archive.archiver import Archiver
        from gateway.archive.table import Table

        schema = schemas.taken_by(stream)
        self._stream = stream
        self._options = options
        self._clock = clock
        self._threads = Lane(threads)
        self._wanted = columns_of(schema.document) if schema is not None else {}
        self._archive = open_archive(options, stream.name)
        assert isinstance(self._archive.table, Table)
        self._table = self._archive.table
        self._archiver = Archiver(
            log,
            stream.topics,
            self._table,
            self._archive,
            self._wanted,
            options.archive_file_bytes,
            clock,
            self._threads,
        )
        # At the first turn already: a process may be run for one turn alone, or end within the hour.
        self._vacuumed = float("-inf")

    async def turn(self, stop: asyncio.Event) -> bool:
        """Copy what is new, and keep the files in shape; whether all of it was possible."""
        copied = not self._stream.archive or await self._told("copying", self.copy(stop))
        # What is erased or kept no longer goes also while a partition cannot be copied.
        return await self._told("upkeep", self._look_after(stop)) and copied

    async def copy(self, stop: asyncio.Event) -> bool:
        """Copy what is new; whether all was."""
        name, begun = self._stream.name, self._clock.now() / 1000
        progress = await self._archiver.round(stop.is_set)
        telemetry.archived(name, progress.records, progress.files, progress.behind, progress.lost)
        for partition, reason in progress.troubles.items():
            telemetry.archive_failed(name, f"{partition.topic}/{partition.partition}", reason)
        if not progress.troubles and progress.behind == 0:
            telemetry.archive_complete(name, begun)
        return not progress.troubles

    async def _look_after(self, stop: asyncio.Event) -> bool:
        await self.upkeep(stop)
        if self._clock.monotonic() - self._vacuumed >= VACUUM_SECONDS and not stop.is_set():
            self._vacuumed = self._clock.monotonic()
            await self.vacuum()
        return True

    async def upkeep(self, stop: asyncio.Event, everything: bool = False) -> None:
        """Merge files, and drop those that are kept no longer."""
        from gateway.archive.table import Fenced
        from gateway.archive.upkeep import drop_outlived

        run, keep = self._threads.run, self._stream.keep
        with suppress(Fenced):  # Another process is doing it.
            columns = await run(UPKEEP_SECONDS, self._table.prepare, self._wanted)
            while not stop.is_set() and await self._merge(columns, stop, everything) and everything:
                pass
            if keep is not None and not stop.is_set():
                await run(UPKEEP_SECONDS, drop_outlived, self._table, self._archive, keep, self._clock.now())

    async def _merge(self, columns: Columns, stop: asyncio.Event, everything: bool) -> bool:
        """Merge files for a stretch; whether there were any."""
        from gateway.archive.upkeep import compact

        until = self._clock.monotonic() + MERGE_SECONDS
        merged = await self._threads.run(
            UPKEEP_SECONDS,
            compact,
            self._table,
            self._archive,
            columns,
            self._options.archive_file_bytes,
            everything,
            lambda: stop.is_set() or self._clock.monotonic() >= until,
        )
        if merged.before:
            telemetry.archive_says(self._stream.name, f"{merged.before} files merged into {merged.after}")
        return merged.before > 0

    async def vacuum(self) -> int:
        """Delete what was replaced long enough ago, and what nobody has ever named."""
        from gateway.archive.upkeep import vacuum

        hours = int(self._options.archive_vacuum // 3600)
        return await self._threads.run(UPKEEP_SECONDS, vacuum, self._table, self._archive, hours)

    async def _told(self, what: str, work: Coroutine[Any, Any, bool]) -> bool:
        try:
            return await work
        except Exception as error:
            if not isinstance(error, GatewayError):
                telemetry.mistake("archive", error)
            telemetry.archive_failed(self._stream.name, what, str(error) or type(error).__name__)
            return False

"""The embedded event log: one SQLite file, which several processes of a host may read and write.

Every commit is synced to the disk before it is acknowledged. SQLite is only called on threads of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.catalog.stream import Retention
from gateway.errors import LogError, LogNewer, LogUnavailable
from gateway.eventlog.offer import OFFER_SECONDS, Fate, all_stored
from gateway.eventlog.port import FETCH_BYTES, NO_STAMP, NO_STAMPS, Batch, Bounds, TopicState
from gateway.eventlog.sqlite.claims import Life
from gateway.eventlog.sqlite.members import SqliteMembership
from gateway.eventlog.sqlite.store import Right, SqliteStore
from gateway.eventlog.sqlite.watch import Watch
from gateway.eventlog.sqlite.worker import CALL_SECONDS, Worker
from gateway.eventlog.trouble import Refusal, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition, sizes_of

BUSY_SECONDS = 4.0
"""How long a call waits for a process that holds the lock of the file."""

EXPIRE_SECONDS = 30.0
"""Appends apply the retention not more often than this."""

LOOK_SECONDS = 0.002
"""Seconds after a commit until a reader of some partitions looks whether it was to them."""

FULL_RECORDS = 200
"""A reader that received this many records at once has more to read, and counts as a reader of the past."""


class SqliteLog:
    """An EventLog in a file. `busy_timeout` and `expire_interval` are seconds; `now` gives the time (ms). For `window`
    seconds, and among the `maximum` newest, what is offered again is not stored again; 0: it is."""

    def __init__(
        self,
        path: str | Path,
        busy_timeout: float = BUSY_SECONDS,
        expire_interval: float = EXPIRE_SECONDS,
        now: Callable[[], int] | None = None,
        window: float = 0.0,
        maximum: int = 0,
    ) -> None:
        self._path = Path(path)
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._life = Life(int(window * 1000), maximum)
        names = ("writer", "queries", "newest", "past")
        self._workers = [Worker(SqliteStore(self._path, busy_timeout), name) for name in names]
        self._writer, self._queries, self._newest, self._past = self._workers
        self._watch = Watch(self._path, busy_timeout)
        self._turn = 0
        self._failure: LogUnavailable | None = None
        """Of the last append that has ended, where it failed."""
        self._expire_interval = expire_interval
        self._expired = time.monotonic()
        self._expiring: asyncio.Task[None] | None = None
        self.kept: Callable[[], Awaitable[Mapping[TopicPartition, int]]] | None = None
        """Gives the offsets from which on the retention deletes nothing, in partitions that somebody else still has to
        read. Nothing is deleted while it raises LogUnavailable."""

    def __repr__(self) -> str:
        return f"<SqliteLog {self._path}>"

    @property
    def keeps_claims(self) -> bool:
        """See EventLog."""
        return self._life.any

    async def open(self) -> None:
        """Create the file where that can be done now; otherwise at the first use. Raises LogNewer."""
        try:
            await self._writer.run(SqliteStore.connect)
        except LogNewer:
            raise
        except LogUnavailable:
            pass  # which is told by whoever needs it

    async def close(self) -> None:
        """See EventLog."""
        if self._expiring is not None:
            await asyncio.wait([self._expiring], timeout=CALL_SECONDS)
        self._watch.close()
        await asyncio.gather(*(worker.close() for worker in self._workers))

    async def identity(self) -> str:
        """See EventLog."""
        return await self._queries.run(SqliteStore.identity)

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        """See EventLog. A page that cannot be read is the trouble of the whole file: LogUnavailable."""
        return dict(await self._queries.run(SqliteStore.describe, topics))

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        """See EventLog."""
        return await self._queries.run(SqliteStore.bounds, partitions)

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        """See EventLog."""
        return await self._queries.run(SqliteStore.find, times)

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> SqliteReader:
        """See EventLog."""
        reader = SqliteReader(self._newest, self._past, self._watch)
        await reader.assign(positions, stamps)
        return reader

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """See EventLog. Nothing is compacted: what finds records by time or size needs every offset."""
        await self._writer.run(SqliteStore.create, topic, partitions, retention or Retention())
        self._watch.wake()

    async def delete(self, topic: str) -> None:
        """Delete a topic with its records; one that does not exist is no error."""
        await self._writer.run(SqliteStore.delete, topic)
        self._watch.wake()

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog. Stored records are on the disk when it returns."""
        try:
            async with asyncio.timeout(OFFER_SECONDS):
                fates = await self._offer(topic, records)
        except TimeoutError as error:
            # It waits behind others, most likely, for what those have waited for.
            before = self._failure or LogUnavailable("has been stored")
            detail = f"SQLite: append to {topic}: not done within {OFFER_SECONDS:g} s; the one before it: {before}"
            raise LogUnavailable(detail, before.kind) from error
        except LogUnavailable as error:
            self._failure = LogUnavailable(str(error), error.kind)
            raise
        self._failure = None
        return fates

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See EventLog."""
        return all_stored(await self.offer(topic, records))

    async def settle(self, topic: str) -> None:
        """See EventLog. Appends that nobody waits for any more have had their turn before this."""
        try:
            async with asyncio.timeout(OFFER_SECONDS):
                await self._writer.run(SqliteStore.version)
        except TimeoutError as error:
            raise LogUnavailable(f"SQLite: {topic}: an append is not done within {OFFER_SECONDS:g} s") from error

    async def bind(self, name: bytes, value: bytes) -> bytes:
        """Give a name this value for the window, where it has none; returns the one that it has."""
        if not self._life.any:
            return value
        return await self._writer.run(SqliteStore.bind, name, value, self._now(), self._life)

    async def writer(self, name: str) -> SqliteWriter:
        """See EventLog."""
        return SqliteWriter(self, await self._writer.run(SqliteStore.take_over, name))

    @property
    def spans_hosts(self) -> bool:
        """See EventLog."""
        return False

    async def join(self, on_change: Callable[[], None]) -> SqliteMembership:
        """See EventLog."""
        return SqliteMembership(self._writer, self._now, on_change)

    async def append_with(
        self, right: Right, records: Sequence[tuple[str, NewRecord]]
    ) -> list[tuple[TopicPartition, int]]:
        """Append, and set the position of the right."""
        turn, self._turn = self._turn, self._turn + len(records)
        locations = await self._writer.run(SqliteStore.append_with, right, records, turn, self._now())
        self._appended()
        return locations

    async def _offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        turn, self._turn = self._turn, self._turn + len(records)
        fates = await self._writer.run(SqliteStore.append, topic, records, turn, self._now(), self._life)
        self._appended()
        return fates

    def _appended(self) -> None:
        """Wake who waits, and apply the retention where it is time."""
        self._watch.wake()
        if time.monotonic() - self._expired >= self._expire_interval and self._expiring is None:
            self._expired = time.monotonic()
            self._expiring = asyncio.create_task(self._expire())

    async def expire(self, now: int) -> int:
        """Apply the retention of every topic, at this time (ms); returns how many records were deleted."""
        kept = await self.kept() if self.kept is not None else {}
        return await self._writer.run(SqliteStore.expire, now, kept)

    @property
    def erasable(self) -> bool:
        """See EventLog."""
        return True

    async def erase(self, topic: str, matches: Callable[[Record], bool]) -> int:
        """See EventLog. Works in parts, between which others append."""
        count = 0
        for partition, end in (await self._writer.run(SqliteStore.ends, topic)).items():
            position = 0
            while position < end:
                position, erased = await self._writer.run(SqliteStore.erase, partition, position, end, matches)
                count += erased
        await self._writer.run(SqliteStore.forget_erased)
        return count

    async def begin_at(self, partition: TopicPartition, offset: int) -> bool:
        """See PlaceableLog."""
        return await self._writer.run(SqliteStore.begin_at, partition, offset)

    async def _expire(self) -> None:
        """`expire` beside the appends; what fails now is tried again at the next turn."""
        try:
            with suppress(LogError):
                await self.expire(self._now())
        finally:
            self._expiring = None


class SqliteWriter:
    """A LogWriter over a SqliteLog: the position is a row, set in the transaction of the append."""

    def __init__(self, log: SqliteLog, right: Right) -> None:
        self._log = log
        self._right = right

    @property
    def position(self) -> bytes | None:
        """See LogWriter."""
        return self._right.position

    async def append(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        """See LogWriter."""
        right = self._right._replace(position=position)
        locations = await self._log.append_with(right, records)
        self._right = right
        return locations

    async def close(self) -> None:
        """Nothing to release."""


class SqliteReader:
    """A LogReader over a SqliteLog. Nothing is prefetched: the pages are in the system's memory already.

    Whoever has read all that there was, and so waits for what is new, does not wait for those who read the past: both
    have a thread of their own, shared by all readers of a log.
    """

    def __init__(self, newest: Worker[SqliteStore], past: Worker[SqliteStore], watch: Watch) -> None:
        self._newest = newest
        self._past = past
        self._behind = True
        self._more = False
        self._watch = watch
        self._positions: dict[TopicPartition, int] = {}
        self._stamps: dict[TopicPartition, int] = {}
        self._rows: dict[TopicPartition, int] = {}
        self.starts: dict[TopicPartition, int] = {}
        """See LogReader."""

    @property
    def more(self) -> bool:
        """See LogReader."""
        return self._more

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader. `fetch` shows whether the partitions exist. One that is deleted and recreated afterwards is
        another, and this one is absent."""
        self._rows = await self._past.run(SqliteStore.resolve, list(positions))
        self._positions = dict(positions)
        self._stamps = dict(stamps)
        self.starts = {}

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader."""
        rows = await self._past.run(SqliteStore.resolve, list(positions))
        for partition, position in positions.items():
            self._rows.pop(partition, None)
            self.starts.pop(partition, None)
            self._positions[partition] = position
            self._stamps[partition] = stamps.get(partition, NO_STAMP)
        self._rows |= rows

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        """See LogReader."""
        with self._watch.waiting() as change:
            deadline = time.monotonic() + wait
            while True:
                self._watch.check()
                change.clear()
                if found := await self._read(max_records, partitions, max_bytes):
                    return found
                try:
                    async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                        await change.wait()
                        if partitions is not None:
                            # Most commits may be to others, and each look costs a query.
                            await asyncio.sleep(LOOK_SECONDS)
                except TimeoutError:
                    return []

    async def close(self) -> None:
        """Nothing to release."""
        self._positions = {}

    async def _read(
        self, max_records: int, partitions: Collection[TopicPartition] | None, max_bytes: int
    ) -> list[Batch | Refusal]:
        """The records at hand. The partitions read go to the back of the queue, so that none starves."""
        wanted = {
            partition: position
            for partition, position in self._positions.items()
            if partitions is None or partition in partitions
        }
        if unknown := wanted.keys() - self._rows.keys():
            self._rows |= await self._past.run(SqliteStore.resolve, unknown)
        worker = self._past if self._behind else self._newest
        found, starts = await worker.run(SqliteStore.read, wanted, self._rows, max_records, max_bytes, self._stamps)
        self.starts |= starts
        count = size = 0
        for answer in found:
            del self._positions[answer.partition]
            if isinstance(answer, Batch):
                count += len(answer.records)
                size += sum(sizes_of(answer.records))
                self._positions[answer.partition] = answer.position
                self._stamps[answer.partition] = answer.stamp
        self._behind = count >= min(max_records, FULL_RECORDS)
        self._more = count >= max_records or size >= max_bytes
        return found

"""Reads the sources of all that one process derives: each record once, and decoded once, for all who follow.

Of each topic there is one reader. It goes ahead of the slowest by a bounded number of records, and waits for that one
for a bounded time. A follower that is slower, or begins further back, reads alone until it has caught up. So nobody is
held up by another for longer, and a partition that is sick concerns those who follow it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from gateway.cooperative import give_way
from gateway.derive.engine import event_of
from gateway.derive.stretch import Part, Stretch
from gateway.eventlog.port import NO_STAMP, NO_STAMPS, Batch, EventLog, LogReader
from gateway.eventlog.trouble import Refusal
from gateway.model.record import TopicPartition, sizes_of

BATCH_RECORDS, BATCH_BYTES = 500, 1024 * 1024
"""What is read, decoded and derived from in one step: about 10 ms."""
HELD_RECORDS, HELD_BYTES = 2_000, 4 * 1024 * 1024
"""What is held of one topic for those who have not taken it; and one more batch."""
HOLD_SECONDS = 0.5
"""So long a follower that takes nothing holds up the others."""
LOOK_SECONDS = 0.25
"""Seconds that a fetch waits, after which it is looked whether others are to be read too."""
ALONE_SECONDS = 0.05
"""The same of one who has to catch up in some partitions, and follows in others."""


class Sources:
    """Of one log, which is open for as long as anybody follows."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._read: dict[tuple[str, str], Source] = {}

    def follower(self) -> Follower:
        """One who follows nothing yet."""
        return Follower(self._log, self)

    def of(self, topic: str, identity: str) -> Source:
        """The topic of this name and identity, as it is read for all."""
        found = self._read.get((topic, identity))
        if found is None or found.failure is not None:
            found = self._read[topic, identity] = Source(self._log)
        return found

    async def leave(self, source: Source) -> None:
        """Read it no longer where nobody follows it."""
        if not source.is_followed:
            self._read = {name: one for name, one in self._read.items() if one is not source}
            await source.close()


class Source:
    """One topic, read for all who follow it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._stretches: dict[TopicPartition, Stretch] = {}
        self._begun: dict[TopicPartition, tuple[int, int]] = {}
        """Where the reader has to begin in those that are new, and the stamps of that."""
        self._followers: set[Follower] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        """Why nothing is read any more."""

    @property
    def is_followed(self) -> bool:
        """Whether anybody follows it."""
        return bool(self._followers)

    def enter(self, follower: Follower) -> None:
        """Somebody follows it."""
        self._followers.add(follower)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self, follower: Follower) -> None:
        """Somebody does not any more."""
        self._followers.discard(follower)
        for partition in list(self._stretches):
            self.drop(follower, partition)

    def join(self, follower: Follower, partition: TopicPartition, position: int, stamp: int) -> bool:
        """Take part in reading from this position on; False where it is behind. Reading goes on where the foremost is;
        those behind have to catch up."""
        stretch = self._stretches.get(partition)
        if stretch is None or stretch.refusal is not None or not stretch.is_followed or position > stretch.end:
            stretch = self._stretches[partition] = Stretch(position)
            self._begun[partition] = (position, stamp)
            self._tell()
        return stretch.join(follower, position)

    def is_read(self, partition: TopicPartition) -> bool:
        """Whether somebody takes part in this one."""
        stretch = self._stretches.get(partition)
        return stretch is not None and stretch.is_followed

    def drop(self, follower: Follower, partition: TopicPartition) -> None:
        """Take no part in this partition any more."""
        stretch = self._stretches.get(partition)
        if stretch is not None:
            stretch.leave(follower)
            self._changed.set()

    def stretch(self, follower: Follower, partition: TopicPartition) -> Stretch | None:
        """What this one takes part in; None where it is behind."""
        stretch = self._stretches.get(partition)
        return stretch if stretch is not None and stretch.holds(follower) else None

    def taken(self) -> None:
        """Somebody has taken something, so that there may be room."""
        self._changed.set()

    def cut(self, part: Part) -> Part:
        """What was read alone, as far as all have read."""
        stretch = self._stretches.get(part.partition)
        if stretch is None or not stretch.is_followed or not part.start < stretch.end < part.position:
            return part
        return part.until(stretch.end)

    async def close(self) -> None:
        """Bounded in time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            reader = await self._log.reader({})
            try:
                while True:
                    await self._step(reader)
                    await give_way()
            finally:
                await reader.close()
        except Exception as error:
            self.failure = error
            self._tell()

    async def _step(self, reader: LogReader) -> None:
        self._changed.clear()
        begun, self._begun = self._begun, {}
        if begun:
            await reader.add(
                {partition: position for partition, (position, _) in begun.items()},
                {partition: stamp for partition, (_, stamp) in begun.items() if stamp != NO_STAMP},
            )
        wanted = [
            partition
            for partition, stretch in self._stretches.items()
            if stretch.is_followed and stretch.refusal is None and partition not in self._begun
        ]
        if not wanted:
            await self._changed.wait()
        elif await self._has_room():
            for one in await reader.fetch(LOOK_SECONDS, BATCH_RECORDS, wanted, BATCH_BYTES):
                # What was begun anew meanwhile is read from elsewhere.
                if one.partition not in self._begun:
                    self._read(self._stretches[one.partition], one)

    def _read(self, stretch: Stretch, one: Batch | Refusal) -> None:
        if isinstance(one, Refusal):
            stretch.refuse(one)
        else:
            stretch.append(decoded(one, stretch.end))
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        for follower in self._followers:
            follower.wake()

    async def _has_room(self) -> bool:
        """Whether more may be read now. Waits for those who hold up the others, and then no longer."""
        if not self._is_full():
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_SECONDS):
                while self._is_full():
                    self._changed.clear()
                    await self._changed.wait()
        while self._is_full():
            max(self._stretches.values(), key=lambda one: one.count).drop_first()
        # They may have to read alone now; and those who are begun first.
        self._tell()
        return False

    def _is_full(self) -> bool:
        stretches = self._stretches.values()
        return sum(one.count for one in stretches) >= HELD_RECORDS or sum(one.size for one in stretches) >= HELD_BYTES


class Follower:
    """Follows partitions, as a LogReader reads them; what it gets is decoded. Belongs to one task."""

    def __init__(self, log: EventLog, sources: Sources) -> None:
        self._log = log
        self._sources = sources
        self._at: dict[TopicPartition, tuple[int, int]] = {}
        """Where it is in each, and the stamp of that."""
        self._of: dict[TopicPartition, Source] = {}
        self._changed = asyncio.Event()
        self._own: LogReader | None = None
        self._own_at: dict[TopicPartition, int] = {}
        """Where its own reader goes on."""
        self._doubted: set[TopicPartition] = set()
        """Those of which the log has to say first whether it still has what was read before."""

    def wake(self) -> None:
        """Something has changed."""
        self._changed.set()

    def add(
        self,
        positions: Mapping[TopicPartition, int],
        identities: Mapping[str, str],
        stamps: Mapping[TopicPartition, int] = NO_STAMPS,
    ) -> None:
        """Follow these too, or again, from these offsets, where batches had these stamps; their topics have these
        identities."""
        for partition, position in positions.items():
            self._drop(partition)
            stamp = stamps.get(partition, NO_STAMP)
            self._at[partition] = position, stamp
            source = self._of[partition] = self._sources.of(partition.topic, identities.get(partition.topic, ""))
            source.enter(self)
            if stamp != NO_STAMP and source.is_read(partition):
                self._doubted.add(partition)
            else:
                source.join(self, partition, position, stamp)
        self.wake()

    async def fetch(
        self, wait: float, most: int = BATCH_RECORDS, partitions: Collection[TopicPartition] | None = None
    ) -> list[Part | Refusal]:
        """What has come, of `most` records and the rest of a batch; if there is nothing, wait up to `wait` seconds.

        `partitions` restricts the call to some of those followed. A partition that cannot be read is told of once, and
        followed no more. Raises LogError."""
        deadline = time.monotonic() + wait
        while True:
            self._changed.clear()
            wanted = [partition for partition in self._at if partitions is None or partition in partitions]
            found = self._take(wanted, most)
            behind = self._behind(wanted)
            left = deadline - time.monotonic()
            if behind:
                alone = len(behind) == len(self._at)
                patience = 0.0 if found else max(0.0, left if alone else min(left, ALONE_SECONDS))
                found += await self._read_alone(behind, patience)
            elif self._own is not None and partitions is None:
                await self._end_own()
            await give_way()
            if found or left <= 0:
                return found
            if not behind:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._changed.wait()

    async def close(self) -> None:
        """Bounded in time, and never raises."""
        sources = set(self._of.values())
        for source in sources:
            source.leave(self)
        self._at, self._of = {}, {}
        await self._end_own()
        for source in sources:
            await self._sources.leave(source)

    def _take(self, wanted: Iterable[TopicPartition], most: int) -> list[Part | Refusal]:
        """What was read for all. The partitions that gave something go to the back, so that none starves."""
        found: list[Part | Refusal] = []
        for partition in wanted:
            source = self._of[partition]
            stretch = source.stretch(self, partition)
            parts = stretch.take(self, most) if stretch is not None and most > 0 else []
            if parts:
                source.taken()
                most -= sum(len(part.records) for part in parts)
                del self._at[partition]
                self._at[partition] = parts[-1].position, parts[-1].stamp
                found += parts
            elif stretch is not None and stretch.refusal is not None and most > 0:
                found.append(stretch.refusal)
                self._drop(partition)
            elif source.failure is not None and not found:
                raise source.failure.with_traceback(None)
        return found

    def _behind(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Those in which it cannot take part yet."""
        behind = {}
        for partition in wanted:
            if partition not in self._at:
                continue
            (position, stamp), source = self._at[partition], self._of[partition]
            if source.stretch(self, partition) is not None:
                continue
            if partition in self._doubted or not source.join(self, partition, position, stamp):
                behind[partition] = position, stamp
        return behind

    async def _read_alone(self, behind: Mapping[TopicPartition, tuple[int, int]], wait: float) -> list[Part | Refusal]:
        if self._own is None:
            self._own = await self._log.reader({})
        new = {place: at for place, at in behind.items() if self._own_at.get(place) != at[0]}
        if new:
            positions = {place: position for place, (position, _) in new.items()}
            await self._own.add(positions, {place: stamp for place, (_, stamp) in new.items() if stamp != NO_STAMP})
            self._own_at |= positions
        found: list[Part | Refusal] = []
        for one in await self._own.fetch(wait, BATCH_RECORDS, behind.keys(), BATCH_BYTES):
            if isinstance(one, Refusal):
                self._drop(one.partition)
                found.append(one)
                continue
            self._own_at[one.partition] = one.position
            self._doubted.discard(one.partition)
            part = self._of[one.partition].cut(decoded(one, behind[one.partition][0]))
            self._at[one.partition] = part.position, part.stamp
            found.append(part)
        return found

    async def _end_own(self) -> None:
        own, self._own = self._own, None
        self._own_at = {}
        if own is not None:
            await own.close()

    def _drop(self, partition: TopicPartition) -> None:
        """Follow it no more."""
        self._at.pop(partition, None)
        self._own_at.pop(partition, None)
        self._doubted.discard(partition)
        source = self._of.pop(partition, None)
        if source is not None:
            source.drop(self, partition)


def decoded(batch: Batch, start: int) -> Part:
    """The records of a batch, read from `start` on, with what they hold."""
    records = [(record, event_of(record)) for record in batch.records]
    return Part(batch.partition, start, records, batch.position, batch.stamp, sum(sizes_of(batch.records)))

"""A log between the gateway and the log in memory that does what a network does: it is slow, it fails, it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from random import Random

from gateway.catalog.stream import Retention
from gateway.errors import LogUnavailable, TopicAbsent
from gateway.event import NewRecord, TopicPartition
from gateway.eventlog.memory import MemoryLog
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import FETCH_BYTES, Batch, Bounds, LogReader, LogWriter, TopicState


class FaultyLog:
    """An EventLog as one process sees it. Heals with `heal`."""

    def __init__(self, log: MemoryLog, random: Random) -> None:
        self._log = log
        self._random = random
        self.down = False
        """Nothing answers."""
        self.failing = random.choice([0.0, 0.0, 0.002, 0.02])
        """How many calls fail, of one."""
        self.slowness = random.choice([0.0, 0.0, 0.002, 0.05])
        """Seconds that a call takes, on average."""
        self.partial = random.random() < 0.3
        """Whether a read brings less than there is."""
        self.leaderless: set[str] = set()
        """Topics that are described, but whose records cannot be read."""
        self.readers = 0
        """Readers that were not closed."""

    def heal(self) -> None:
        """No more faults."""
        self.down = False
        self.failing = 0.0
        self.slowness = min(self.slowness, 0.002)
        self.leaderless.clear()

    async def cross(self) -> None:
        """The way to the log or back."""
        if self.slowness and self._random.random() < 0.7:
            # Now and then a call takes many times as long as usual.
            factor = 40 if self._random.random() < 0.01 else 1
            await asyncio.sleep(factor * self.slowness * self._random.uniform(0, 2))
        else:
            await asyncio.sleep(0)
        if self.down:
            await asyncio.sleep(self._random.choice([0.0, 0.01, 0.3]))
            raise LogUnavailable("the simulated log is away")
        if self._random.random() < self.failing:
            raise LogUnavailable("a simulated failure")

    def check_leader(self, topics: Collection[str]) -> None:
        """Raises TopicAbsent of a topic that has no leader now."""
        for topic in sorted(topics):
            if topic in self.leaderless:
                raise TopicAbsent(topic)

    async def open(self) -> None:
        await self._log.open()

    async def close(self) -> None:
        await self._log.close()

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState]:
        await self.cross()
        found = await self._log.describe(sorted(topics))
        await self.cross()
        return found

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        await self.cross()
        self.check_leader({partition.topic for partition in partitions})
        found = await self._log.bounds(partitions)
        await self.cross()
        return found

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        await self.cross()
        self.check_leader({partition.topic for partition in times})
        found = await self._log.find(times)
        await self.cross()
        return found

    async def reader(self, positions: Mapping[TopicPartition, int]) -> LogReader:
        await self.cross()
        self.readers += 1
        return FaultyReader(self, await self._log.reader(positions), self._random)

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        await self._log.create(topic, partitions, retention)

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        return await self._log.offer(topic, records)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        return await self._log.append(topic, records)

    async def writer(self, name: str) -> LogWriter:
        return await self._log.writer(name)


class FaultyReader:
    """A LogReader whose calls fail before or after they have read."""

    def __init__(self, log: FaultyLog, reader: LogReader, random: Random) -> None:
        self._log = log
        self._reader = reader
        self._random = random
        self._topics: set[str] = set()
        self._closed = False

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        await self._log.cross()
        await self._reader.assign(positions)

    @property
    def more(self) -> bool:
        return self._reader.more

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch]:
        assert not self._closed, "a closed reader was asked"
        await self._log.cross()
        if partitions is not None:
            self._log.check_leader({partition.topic for partition in partitions})
        if self._log.partial:
            max_records = min(max_records, self._random.choice([1, 2, 5, 1000]))
        batches = await self._reader.fetch(wait, max_records, partitions, max_bytes)
        self._log.check_leader({batch.partition.topic for batch in batches})
        await self._log.cross()
        return batches

    async def close(self) -> None:
        assert not self._closed, "a reader was closed twice"
        self._closed = True
        self._log.readers -= 1
        await self._reader.close()

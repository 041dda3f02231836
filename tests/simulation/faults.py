"""A log between the gateway and the log in memory that does what a network does: it is slow, it fails, it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random

from gateway.catalog.stream import Retention
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import FETCH_BYTES, NO_STAMPS, Batch, Bounds, LogReader, LogWriter, Membership, TopicState
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition

LEADERLESS = Trouble(Kind.NO_LEADER, "simulated")
FORBIDDEN = Trouble(Kind.NO_RIGHT, "simulated")
LONGEST_POLL = 0.3
"""Seconds after which a reader sees that a partition is refused."""
CONVALESCENCE = 15.0
"""Seconds after which a process has read on of a partition that is given again: its longest back-off and a trial."""
SLOW_REFUSAL = 2.0
"""Seconds at the most after which a log says of a partition that it has no leader."""


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
        self.refused: dict[TopicPartition, Trouble] = {}
        """Partitions that are described, and of which nothing is given."""
        self.unreadable: dict[TopicPartition, Trouble] = {}
        """Partitions whose bounds are told, and whose records are not given."""
        self.hidden: dict[str, Trouble] = {}
        """Topics that are not described."""
        self._healed: dict[TopicPartition | str, float] = {}
        """When a partition, or a topic as a whole, was last given again (s)."""
        self.readers = 0
        """Readers that were not closed."""

    def refuse(self, kind: str, place: TopicPartition, trouble: Trouble) -> None:
        """A partition is refused, its records alone are (`unreadable`), or its topic is `hidden`; where that was so
        already, it is given again."""
        if kind == "hidden":
            if self.hidden.pop(place.topic, None) is None:
                self.hidden[place.topic] = FORBIDDEN
            else:
                self._healed[place.topic] = asyncio.get_running_loop().time()
            return
        troubles = self.refused if kind == "refused" else self.unreadable
        if troubles.pop(place, None) is None:
            troubles[place] = trouble
        else:
            self._healed[place] = asyncio.get_running_loop().time()

    def is_sick(self, place: TopicPartition) -> bool:
        """Whether the partition is sick now."""
        return self.trouble(place) is not None or place in self.unreadable

    def was_sick(self, place: TopicPartition, since: float) -> bool:
        """Whether a partition was refused at some time since then, or the process may have been about to read on."""
        if self.is_sick(place):
            return True
        return any(self._healed.get(one, -CONVALESCENCE) + CONVALESCENCE > since for one in (place, place.topic))

    def heal(self) -> None:
        """No more faults."""
        now = asyncio.get_running_loop().time()
        self._healed |= dict.fromkeys((*self.refused, *self.unreadable, *self.hidden), now)
        self.down = False
        self.failing = 0.0
        self.slowness = min(self.slowness, 0.002)
        self.refused.clear()
        self.unreadable.clear()
        self.hidden.clear()

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

    def trouble(self, partition: TopicPartition) -> Trouble | None:
        """Why nothing is told of a partition."""
        return self.hidden.get(partition.topic) or self.refused.get(partition)

    async def hesitate(self, partitions: Collection[TopicPartition]) -> None:
        """Before it is said that there is no leader, one may be elected."""
        if any(self.trouble(partition) is LEADERLESS for partition in partitions):
            await asyncio.sleep(self._random.uniform(0, SLOW_REFUSAL))

    async def open(self) -> None:
        await self._log.open()

    async def close(self) -> None:
        await self._log.close()

    async def identity(self) -> str:
        return await self._log.identity()

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        await self.cross()
        found = await self._log.describe(sorted(topics))
        await self.cross()
        return found | {topic: self.hidden[topic] for topic in sorted(topics) if topic in self.hidden}

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        await self.cross()
        await self.hesitate(partitions)
        found = await self._log.bounds(partitions)
        await self.cross()
        return {place: self.trouble(place) or told for place, told in found.items()}

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        await self.cross()
        await self.hesitate(times.keys())
        found = await self._log.find(times)
        await self.cross()
        return {place: self.trouble(place) or told for place, told in found.items()}

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> LogReader:
        await self.cross()
        self.readers += 1
        return FaultyReader(self, await self._log.reader(positions, stamps), self._random, positions)

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        await self._log.create(topic, partitions, retention)

    @property
    def keeps_claims(self) -> bool:
        return self._log.keeps_claims

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        return await self._log.offer(topic, records)

    async def settle(self, topic: str) -> None:
        await self._log.settle(topic)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        return await self._log.append(topic, records)

    async def writer(self, name: str) -> LogWriter:
        return await self._log.writer(name)

    @property
    def erasable(self) -> bool:
        return self._log.erasable

    async def erase(self, topic: str, matches: Callable[[Record], bool]) -> int:
        return await self._log.erase(topic, matches)

    @property
    def spans_hosts(self) -> bool:
        return self._log.spans_hosts

    async def join(self, on_change: Callable[[], None]) -> Membership:
        return await self._log.join(on_change)


class FaultyReader:
    """A LogReader whose calls fail before or after they have read."""

    def __init__(self, log: FaultyLog, reader: LogReader, random: Random, places: Collection[TopicPartition]) -> None:
        self._log = log
        self._reader = reader
        self._random = random
        self._places = set(places)
        self._out: set[TopicPartition] = set()
        """Those that were refused, and are read no further."""
        self._closed = False

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        await self._log.cross()
        self._places, self._out = set(positions), set()
        await self._reader.assign(positions, stamps)

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        await self._log.cross()
        self._out -= positions.keys()
        self._places |= positions.keys()
        await self._reader.add(positions, stamps)

    @property
    def starts(self) -> Mapping[TopicPartition, int]:
        return self._reader.starts

    @property
    def more(self) -> bool:
        return self._reader.more

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        assert not self._closed, "a closed reader was asked"
        await self._log.cross()
        wanted = {place for place in self._places if partitions is None or place in partitions}
        if refusals := self._refuse(wanted):
            return refusals
        if self._log.partial:
            max_records = min(max_records, self._random.choice([1, 2, 5, 1000]))
        found = await self._reader.fetch(min(wait, LONGEST_POLL), max_records, wanted - self._out, max_bytes)
        await self._log.cross()
        self._out |= {one.partition for one in found if isinstance(one, Refusal)}
        return found

    def _refuse(self, wanted: Collection[TopicPartition]) -> list[Batch | Refusal]:
        """What is refused of these, each once."""
        found: list[Batch | Refusal] = []
        for place in sorted(wanted):
            trouble = self._log.trouble(place) or self._log.unreadable.get(place)
            if trouble is not None and place not in self._out:
                self._out.add(place)
                found.append(Refusal(place, trouble))
        return found

    async def close(self) -> None:
        assert not self._closed, "a reader was closed twice"
        self._closed = True
        self._log.readers -= 1
        await self._reader.close()

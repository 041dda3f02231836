"""Surveys the topics of the hub, once a second at most, however many clients ask.

It describes topics, and does not know who may see which. Each client's answer is put together from its own catalogue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.cooperative import together
from gateway.errors import LogError
from gateway.eventlog.port import Bounds
from gateway.eventlog.trouble import Trouble
from gateway.hub.activity import SPAN
from gateway.hub.history import ask_first_records
from gateway.hub.hub import Hub
from gateway.model.position import NOTHING_READ
from gateway.model.record import NO_TIMESTAMP, Record, TopicPartition
from gateway.observability import telemetry

INTERVAL = 1.0
"""Seconds for which a survey holds."""
SECONDS = 1.0
"""Seconds that a survey may take; what the log has not told by then is as it was before."""
READERS = 4
READER_PARTITIONS = 100
"""The most readers that look for first records at a time, and the partitions of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """`end` is the second (since the epoch) before which rates are reported: the present second is not over."""

    end: int = 0


class Surveyor:
    """One for a process. `survey` is the newest survey."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.survey = Survey()
        self._made = float("-inf")
        self._making: asyncio.Task[None] | None = None
        self._firsts: dict[TopicPartition, tuple[str, int, int]] = {}
        """The topic's identity, the start of the partition, and the time of its first record. If compaction removes
        that record, a later one becomes the first, which shows when the start moves."""

    async def look(self) -> Survey:
        """A survey that is at most a second old. Callers that ask meanwhile share it, for a while."""
        if self._hub.clock.monotonic() - self._made >= INTERVAL:
            if self._making is None:
                self._making = asyncio.create_task(self._make())
            await asyncio.wait([self._making], timeout=2 * SECONDS)
        return self.survey

    def oldest(self, topics: Collection[str]) -> int | None:
        """The time of the oldest record, in milliseconds."""
        times = [self._firsts[partition][2] for partition in self._hub.partitions(topics) if partition in self._firsts]
        return min((time for time in times if time != NO_TIMESTAMP), default=None)

    def newest(self, topics: Collection[str]) -> int | None:
        """The time of the newest record: of each partition, that which was read last."""
        ring = self._hub.ring
        tails = [tail for partition in self._hub.partitions(topics) if (tail := ring.tail(partition)) is not None]
        # A partition without records has a position of time 0, of which none was seen.
        times = [tail.timestamp for tail in tails if tail.seen or tail.timestamp > 0]
        return max((time for time in times if time != NO_TIMESTAMP), default=None)

    def rate(self, topics: Collection[str]) -> float:
        """Events a second, of the last minute, or as much of it as the hub has seen and there have been any in."""
        return round(sum(map(self._rate, topics)), 3)

    def _rate(self, topic: str) -> float:
        end, activity = self.survey.end, self._hub.activity
        seconds = covered_seconds(self._hub, (topic,), end)
        partitions = self._hub.partitions((topic,))
        if all(self._hub.discovery.origins.get(partition, NOTHING_READ).offset < 0 for partition in partitions):
            # There was nothing before; so what has just begun is not thinned by the time in which it was not there.
            seconds = int(max(1, min(seconds, end - activity.begun(topic))))
        return sum(activity.counts((topic,), end, seconds)) / seconds

    def example(self, topics: Collection[str]) -> bytes | None:
        """The newest event that is no canary, where it is kept, or the ring still holds it."""
        newest = self._hub.activity.newest(topics)
        if newest is None or newest.partition not in self._hub.ring.partitions():
            return None
        if newest.data is not None:
            return newest.data
        item = self._hub.ring.holds(newest.partition, newest.offset)
        return None if item is None else item.data

    async def close(self) -> None:
        """Look no further."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])

    async def _make(self) -> None:
        try:
            self.survey = Survey(self._hub.clock.now() // 1000)
            async with asyncio.timeout(SECONDS):
                await self._look_for_firsts()
        except (LogError, TimeoutError):
            pass
        except Exception as error:
            telemetry.mistake("catalogue", error)
        finally:
            self._made = self._hub.clock.monotonic()
            self._making = None

    async def _look_for_firsts(self) -> None:
        """Only where a partition does not begin where it did is its first record read. Raises LogError."""
        hub = self._hub
        if not hub.available:
            return
        partitions = [
            partition
            for partition in hub.ring.partitions()
            if partition.topic in hub.discovery.existing and partition not in hub.sick
        ]
        for gone in self._firsts.keys() - set(partitions):
            del self._firsts[gone]
        answers = await hub.log.bounds(partitions) if partitions else {}
        bounds = {partition: told for partition, told in answers.items() if not isinstance(told, Trouble)}
        missing: dict[TopicPartition, Bounds] = {}
        for partition, bound in bounds.items():
            if bound.start >= bound.end:
                self._firsts.pop(partition, None)
            elif self._firsts.get(partition, ("", -1, 0))[:2] != (self._identity(partition), bound.start):
                missing[partition] = bound
        permits = asyncio.Semaphore(READERS)
        names = list(missing)
        parts = [names[begin : begin + READER_PARTITIONS] for begin in range(0, len(names), READER_PARTITIONS)]
        await together(self._read({partition: missing[partition] for partition in part}, permits) for part in parts)

    async def _read(self, bounds: Mapping[TopicPartition, Bounds], permits: asyncio.Semaphore) -> None:
        async with permits:
            try:
                ends = {partition: bound.end for partition, bound in bounds.items()}
                starts = {partition: bound.start for partition, bound in bounds.items()}
                found = await ask_first_records(self._hub.log, starts, ends)
            except LogError:
                return
        for partition, record in found.items():
            if isinstance(record, Record) and partition.topic in self._hub.discovery.known:
                self._firsts[partition] = self._identity(partition), bounds[partition].start, record.timestamp
            else:
                self._firsts.pop(partition, None)

    def _identity(self, partition: TopicPartition) -> str:
        return self._hub.discovery.known[partition.topic].identity


def covered_seconds(hub: Hub, topics: Collection[str], end: int) -> int:
    """The number of seconds before `end` that the hub has seen completely for these topics, from 1 to `SPAN`. It has
    read everything later than the record at which it began."""
    origins = [
        hub.discovery.origins[partition] for partition in hub.partitions(topics) if partition in hub.discovery.origins
    ]
    # Of a time that has not come yet, nothing follows.
    begun = max((consumed.timestamp for consumed in origins if consumed.timestamp < end * 1000), default=0)
    return max(1, min(SPAN, end - begun // 1000 - 1))

"""What is known of the log's topics: which exist, their partitions, and where the hub begins to read each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.event import TopicPartition
from gateway.eventlog.port import Bounds, EventLog, TopicState
from gateway.hub.history import first_records, read_range
from gateway.hub.ring import Break, Ring
from gateway.position import NOTHING_READ, Mark

MAXIMUM_LOOK_BACK = 65536
"""Offsets before the end of a partition among which its last record is looked for (behind it may be markers)."""


@dataclass(slots=True)
class Findings:
    """What a look at the log found: whether the set of partitions changed, and where the log is not continuous."""

    changed: bool = False
    breaks: list[Break] = field(default_factory=list)


class Discovery:
    """Compares the log's topics with those held in the ring."""

    def __init__(
        self, log: EventLog, ring: Ring, by_timestamp: Mapping[str, bool], clock: Clock, ring_fill: float
    ) -> None:
        self._log = log
        self._ring = ring
        self._by_timestamp = by_timestamp
        self._clock = clock
        self._ring_fill = ring_fill
        self._findings = Findings()
        """What was found so far: kept where the log goes away in the middle of a look."""
        self.looked = False
        """Whether the log has ever told which topics exist."""
        self.known: dict[str, TopicState] = {}
        """The topics that have been seen, as they were when they existed."""
        self.existing: set[str] = set()
        self.origins: dict[TopicPartition, Mark] = {}
        """Where the hub began to read each partition."""

    def partitions(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic; partition 0 stands for a topic that was never seen."""
        state = self.known.get(topic)
        return [TopicPartition(topic, number) for number in range(state.partitions if state else 1)]

    def readable(self) -> list[TopicPartition]:
        """The partitions that can be read now."""
        return [place for place in self._ring.partitions() if place.topic in self.existing]

    async def look(self) -> Findings:
        """Ask the log for its topics. Raises LogUnavailable."""
        states = await self._log.describe(self._by_timestamp.keys())
        findings = self._findings
        findings.changed |= self.existing != states.keys()
        for topic, state in states.items():
            before = self.known.get(topic)
            if before == state and topic in self.existing:
                continue
            findings.changed = True
            if before is not None and before.identity != state.identity:
                findings.breaks += await self._replace(topic, before, state)
            first = before.partitions if before else 0
            new = [TopicPartition(topic, number) for number in range(first, state.partitions)]
            await self._add(new, from_first=self.looked)
            self.known[topic] = state
        self.existing = set(states)
        self.looked = True
        self._findings = Findings()
        return findings

    async def _replace(self, topic: str, before: TopicState, state: TopicState) -> list[Break]:
        """The topic is another one under the same name: its partitions go on by the timestamp."""
        breaks = []
        for number in range(before.partitions):
            partition = TopicPartition(topic, number)
            tail = self._ring.tail(partition)
            if number >= state.partitions or tail is None:
                self._ring.remove(partition)
                continue
            bounds = (await self._log.bounds([partition]))[partition]
            if tail.offset < 0:
                self._begin(partition, Mark(bounds.start - 1, 0), bounds.start)
            else:
                breaks.append(await self.recreated(partition, tail, bounds))
        return breaks

    async def recreated(self, partition: TopicPartition, tail: Mark, bounds: Bounds) -> Break:
        """Where to go on in a partition whose records are others than those read before."""
        offset = (await self._log.find({partition: tail.timestamp}))[partition]
        resumed = bounds.end if offset is None else offset
        mark = await mark_before(self._log, partition, resumed, bounds, tail.timestamp, self._by_timestamp)
        return Break(partition, tail.offset, resumed, "unknown", mark)

    async def _add(self, partitions: list[TopicPartition], from_first: bool) -> None:
        if not partitions:
            return
        bounds = await self._log.bounds(partitions)
        for partition in partitions:
            start, end = bounds[partition]
            if from_first:
                self._begin(partition, Mark(start - 1, 0), start)
            else:
                await self._begin_with_newest(partition, start, end)

    def _begin(self, partition: TopicPartition, mark: Mark, position: int) -> None:
        self._ring.add(partition, mark, position)
        self.origins[partition] = mark

    async def _begin_with_newest(self, partition: TopicPartition, start: int, end: int) -> None:
        """Begin with the newest part of the log, and at least with all records of its newest millisecond, so that
        what was read last, and how many records share its time, is known of every partition."""
        newest = await self.newest(partition, start, end)
        if newest is None:
            self._begin(partition, Mark(end - 1, 0), end)
            return
        since = min(newest, self._clock.now() - int(self._ring_fill * 1000))
        position = (await self._log.find({partition: since}))[partition]
        position = end if position is None else position
        mark = await mark_before(self._log, partition, position, Bounds(start, end), since, self._by_timestamp)
        self._begin(partition, mark, position)

    async def newest(self, partition: TopicPartition, start: int, end: int) -> int | None:
        """The timestamp of the last record, or None where there is none within reach."""
        distance = 1
        while start < end:
            first = max(start, end - distance)
            records = await read_range(self._log, partition, first, end)
            if records:
                return records[-1].timestamp
            if first == start or distance >= MAXIMUM_LOOK_BACK:
                break
            distance *= 4
        return None


async def mark_before(
    log: EventLog,
    partition: TopicPartition,
    position: int,
    bounds: Bounds,
    since: int,
    by_timestamp: Mapping[str, bool],
) -> Mark:
    """The mark of a reader whose next record is at `position`, the first record at or after `since` (ms).

    By offset it carries the timestamp of the record before, so that it can be trusted later; where that record is
    gone, or the partition is resumed by timestamp, `since` itself.
    """
    if position <= 0:
        return NOTHING_READ
    if by_timestamp[partition.topic] or position <= bounds.start:
        return Mark(position - 1, since)
    record = (await first_records(log, {partition: position - 1}, {partition: position}))[partition]
    found = record is not None and record.offset == position - 1
    return Mark(position - 1, record.timestamp if found and record is not None else since)

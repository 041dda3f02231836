"""What is known of the log's topics: which exist, their partitions, and where the hub begins to read each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.clock import Clock
from gateway.event import TopicPartition
from gateway.eventlog.port import Bounds, EventLog, TopicState
from gateway.hub.history import first_records, read_range
from gateway.hub.ring import Break, Ring
from gateway.position import NOTHING_READ, Mark

MAXIMUM_LOOK_BACK = 65536
"""Offsets before the end of a partition among which its last record is looked for (behind it may be markers)."""


class Beginning(NamedTuple):
    """Where the hub begins to read a partition: what counts as read, the next offset, and the end of what is there."""

    mark: Mark
    position: int
    end: int


@dataclass(slots=True)
class Findings:
    """What a look at the log found: whether the set of partitions changed, and where the log is not continuous."""

    changed: bool = False
    breaks: list[Break] = field(default_factory=list)
    behind: dict[TopicPartition, int] = field(default_factory=dict)
    """The partitions that are begun at their newest part, with the offset at which it ends."""


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
        self.sought: set[str] = set()
        """The topics of which the log has told whether they exist. One that it did not have then, and has later, is
        read from its first record; the others are begun at their newest part."""
        self.known: dict[str, TopicState] = {}
        """The topics that have been seen, as they were when they existed."""
        self.existing: set[str] = set()
        self.origins: dict[TopicPartition, Mark] = {}
        """Where the hub began to read each partition."""

    def partitions(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic; partition 0 stands for a topic that was never seen."""
        state = self.known.get(topic)
        return _places(topic, 0, state.partitions if state else 1)

    def readable(self) -> list[TopicPartition]:
        """The partitions that can be read now."""
        return [place for place in self._ring.partitions() if place.topic in self.existing]

    async def look(self) -> Findings:
        """Ask the log for its topics. Raises LogUnavailable, and TopicAbsent of a topic that is gone again meanwhile;
        what is known is then as before."""
        # Others may be asked for while the log answers.
        topics = list(self._by_timestamp)
        states = await self._log.describe(topics)
        findings = Findings(changed=self.existing != states.keys() or not self.sought.issuperset(topics))
        begins: dict[TopicPartition, Beginning] = {}
        for topic, state in states.items():
            before = self.known.get(topic)
            if before == state:
                continue
            findings.changed = True
            if before is not None and before.identity != state.identity:
                for place in _places(topic, 0, min(before.partitions, state.partitions)):
                    await self._replace(place, findings.breaks, begins)
            new = _places(topic, before.partitions if before else 0, state.partitions)
            begins |= await self._begins(new, from_first=topic in self.sought)
        findings.behind = {
            place: begin.end
            for place, begin in begins.items()
            if place.topic not in self.sought and begin.position < begin.end
        }
        self._take(topics, states, begins)
        return findings

    def _take(self, topics: list[str], states: dict[str, TopicState], begins: dict[TopicPartition, Beginning]) -> None:
        """Go by what was found from now on."""
        for place in list(self._ring.partitions()):
            if place.topic in states and place.partition >= states[place.topic].partitions:
                self._ring.remove(place)
        for place, (mark, position, _) in begins.items():
            self._ring.add(place, mark, position)
            self.origins[place] = mark
        self.known |= states
        self.existing = set(states)
        self.sought.update(topics)

    async def _replace(
        self, partition: TopicPartition, breaks: list[Break], begins: dict[TopicPartition, Beginning]
    ) -> None:
        """The topic is another one under the same name: the partition goes on by the timestamp."""
        tail = self._ring.tail(partition)
        assert tail is not None
        bounds = (await self._log.bounds([partition]))[partition]
        if tail.offset < 0:
            begins[partition] = _first(bounds)
        else:
            breaks.append(await self.recreated(partition, tail, bounds))

    async def recreated(self, partition: TopicPartition, tail: Mark, bounds: Bounds) -> Break:
        """Where to go on in a partition whose records are others than those read before."""
        offset = (await self._log.find({partition: tail.timestamp}))[partition]
        resumed = bounds.end if offset is None else offset
        mark = await mark_before(self._log, partition, resumed, bounds, tail.timestamp, self._by_timestamp)
        return Break(partition, tail.offset, resumed, "unknown", mark)

    async def _begins(self, partitions: list[TopicPartition], from_first: bool) -> dict[TopicPartition, Beginning]:
        if not partitions:
            return {}
        bounds = await self._log.bounds(partitions)
        if from_first:
            return {place: _first(bounds[place]) for place in partitions}
        return {place: await self._newest_part(place, bounds[place]) for place in partitions}

    async def _newest_part(self, partition: TopicPartition, bounds: Bounds) -> Beginning:
        """The newest part of the log, and at least all records of its newest millisecond, so that what was read last,
        and how many records share its time, is known of every partition."""
        newest = await self.newest(partition, *bounds)
        if newest is None:
            return Beginning(Mark(bounds.end - 1, 0), bounds.end, bounds.end)
        since = min(newest, self._clock.now() - int(self._ring_fill * 1000))
        position = (await self._log.find({partition: since}))[partition]
        position = bounds.end if position is None else position
        mark = await mark_before(self._log, partition, position, bounds, since, self._by_timestamp)
        return Beginning(mark, position, bounds.end)

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


def _first(bounds: Bounds) -> Beginning:
    return Beginning(Mark(bounds.start - 1, 0), bounds.start, bounds.end)


def _places(topic: str, first: int, end: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(first, end)]


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

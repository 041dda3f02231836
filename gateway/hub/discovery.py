"""Discovers the log's topics: which exist, their partitions, and where the hub begins to read each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from gateway.clock import Clock
from gateway.cooperative import together
from gateway.errors import OffsetOutOfRange, Refused, TopicAbsent
from gateway.eventlog.port import Bounds, EventLog, TopicState
from gateway.eventlog.trouble import Kind, Trouble, absent, beyond, demand
from gateway.hub.history import consumed_before, read_parts
from gateway.hub.parting import find_cut
from gateway.hub.ring import Ring
from gateway.hub.seek import seek
from gateway.hub.segment import ITEM_OVERHEAD, Break
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition
from gateway.observability import telemetry

MAXIMUM_LOOK_BACK = 65536
"""Offsets before the end of a partition among which its last record is looked for (behind it may be markers)."""
BEGIN_SECONDS = 5.0
"""A partition of which it is not known by then where to begin is sick."""
MOST_DAMAGED = 8
"""After this many unreadable batches a partition begins at its end."""
BEGIN_TOGETHER = 8
"""Partitions that are begun at a time."""

Found = TypeVar("Found")


class Beginning(NamedTuple):
    """Where the hub begins to read a partition: what counts as read, the next offset, and the end of what is there."""

    consumed: ConsumedPosition
    position: int
    end: int


@dataclass(slots=True)
class Findings:
    """The result of a look at the log: whether the set of partitions changed, and where the log is not continuous."""

    changed: bool = False
    breaks: list[Break] = field(default_factory=list)
    behind: dict[TopicPartition, int] = field(default_factory=dict)
    """The partitions that are begun at their newest part, with the offset at which it ends."""
    begun: list[TopicPartition] = field(default_factory=list)
    refused: dict[TopicPartition, Trouble] = field(default_factory=dict)
    """Those that should have been begun, and cannot be now."""


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
        """The topics that are there; one of which the log tells no more is taken to be."""
        self.hidden: dict[str, Trouble] = {}
        """The topics of which the log does not tell whether they exist."""
        self.unbegun: dict[TopicPartition, bool] = {}
        """The partitions that exist and could not be begun, and whether they begin at their first record."""
        self.log_identity = ""
        """That of the log, empty while it is not known."""
        self.origins: dict[TopicPartition, ConsumedPosition] = {}
        """Where the hub began to read each partition."""

    def partitions(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic; partition 0 stands for a topic that was never seen."""
        state = self.known.get(topic)
        return _partitions(topic, 0, state.partitions if state else 1)

    def readable(self) -> list[TopicPartition]:
        """The partitions that can be read now."""
        return [partition for partition in self._ring.partitions() if partition.topic in self.existing]

    @property
    def answered(self) -> set[str]:
        """The topics that the log has described, or refused to describe."""
        return self.sought | self.hidden.keys()

    async def look(self, may_try: Callable[[TopicPartition], bool] = lambda partition: True) -> Findings:
        """Ask the log for its topics, and begin what is new, or may be tried again. Raises LogUnavailable; what is
        known is then as before."""
        # Others may be asked for while the log answers.
        topics = list(self._by_timestamp)
        answers = await self._log.describe(topics)
        states = {topic: answer for topic, answer in answers.items() if not isinstance(answer, Trouble)}
        hidden = {topic: answer for topic, answer in answers.items() if isinstance(answer, Trouble)}
        wanted: dict[TopicPartition, bool] = {}
        replaced: list[TopicPartition] = []
        for topic, state in states.items():
            before = self.known.get(topic)
            another = before is not None and before.identity != state.identity
            held = self._ring.partitions()
            for partition in _partitions(topic, 0, state.partitions):
                if another and partition in held:
                    replaced.append(partition)
                elif partition in self.unbegun:
                    if another or may_try(partition):
                        wanted[partition] = another or self.unbegun[partition]
                elif partition not in held:
                    wanted[partition] = topic in self.sought
        begins = await self._begins(wanted)
        self.log_identity = await self._log.identity()
        findings = Findings()
        await self._replace(replaced, begins, findings)
        self._take([topic for topic in topics if topic not in hidden], states, hidden, begins, findings, wanted)
        return findings

    async def others(self, topics: Collection[str]) -> set[str]:
        """Those of the topics that are not there any more, or others than at the last look. Raises LogUnavailable."""
        answers = await self._log.describe(topics)
        return {
            topic
            for topic in topics
            if not isinstance(told := answers.get(topic), Trouble)
            and (told is None or told.identity != self.known[topic].identity)
        }

    def _take(
        self,
        told: list[str],
        states: dict[str, TopicState],
        hidden: dict[str, Trouble],
        begins: dict[TopicPartition, Beginning | Trouble],
        findings: Findings,
        wanted: Mapping[TopicPartition, bool],
    ) -> None:
        """Go by what was found from now on."""
        existing = {*states, *(self.existing & hidden.keys())}
        findings.changed = (
            existing != self.existing
            or hidden.keys() != self.hidden.keys()
            or not self.sought.issuperset(told)
            or any(self.known.get(topic) != state for topic, state in states.items())
        )
        for partition in list(self._ring.partitions()):
            if partition.topic in states and partition.partition >= states[partition.topic].partitions:
                self._ring.remove(partition)
        for partition, begin in begins.items():
            if isinstance(begin, Trouble):
                findings.refused[partition] = begin
                self.unbegun[partition] = wanted.get(partition, True)
                continue
            self._ring.add(partition, begin.consumed, begin.position)
            self.origins[partition] = begin.consumed
            self.unbegun.pop(partition, None)
            findings.begun.append(partition)
            findings.changed = True
            if not wanted.get(partition, True) and begin.position < begin.end:
                findings.behind[partition] = begin.end
        self.known |= states
        self.existing, self.hidden = existing, hidden
        self.sought.update(told)
        self.unbegun = {
            partition: first
            for partition, first in self.unbegun.items()
            if partition.topic in existing and partition.partition < self.known[partition.topic].partitions
        }

    async def _replace(
        self, partitions: list[TopicPartition], begins: dict[TopicPartition, Beginning | Trouble], findings: Findings
    ) -> None:
        """The topics were recreated: their partitions continue by the timestamp. If the log cannot say where that is
        for one, it is dropped and begins again once possible; its readers are then resolved again."""
        if not partitions:
            return
        for partition, bounds in (await self._log.bounds(partitions)).items():
            tail = self._ring.tail(partition)
            assert tail is not None
            if not isinstance(bounds, Trouble) and tail.offset < 0:
                begins[partition] = _first(bounds)
                continue
            found = await self.attempt_recreated(partition, bounds)
            if isinstance(found, Trouble):
                self._ring.remove(partition)
                begins[partition] = found
            else:
                findings.breaks.append(found)

    async def attempt_recreated(self, partition: TopicPartition, bounds: Bounds | Trouble) -> Break | Trouble:
        """The position to continue at in a partition that the ring holds, if its records differ from those read
        before."""
        tail = self._ring.tail(partition)
        assert tail is not None
        return await self._attempt(partition, bounds, lambda given: self._recreated(partition, tail, given))

    async def attempt_cut(self, partition: TopicPartition, bounds: Bounds, parting: int) -> Break | Trouble:
        """The position to continue at in a truncated partition; `parting` as `find_cut` has it."""
        return await self._attempt(
            partition, bounds, lambda given: find_cut(self._log, self._ring, partition, given, parting)
        )

    async def _recreated(self, partition: TopicPartition, tail: ConsumedPosition, bounds: Bounds) -> Break:
        resumed = await seek(self._log, partition, tail.timestamp, bounds)
        by_timestamp = self._by_timestamp[partition.topic]
        consumed = await consumed_before(self._log, partition, resumed, bounds, tail.timestamp, by_timestamp)
        return Break(partition, tail.offset, resumed, "unknown", consumed)

    async def _begins(self, wanted: Mapping[TopicPartition, bool]) -> dict[TopicPartition, Beginning | Trouble]:
        if not wanted:
            return {}
        answers = await self._log.bounds(list(wanted))
        room = asyncio.Semaphore(BEGIN_TOGETHER)

        async def begin(partition: TopicPartition) -> Beginning | Trouble:
            async with room:
                return await self._attempt(
                    partition, answers[partition], lambda bounds: self._begin(partition, bounds, wanted[partition])
                )

        return dict(zip(wanted, await together(begin(partition) for partition in wanted), strict=True))

    async def _begin(self, partition: TopicPartition, bounds: Bounds, from_first: bool) -> Beginning:
        return _first(bounds) if from_first else await self._newest_part(partition, bounds)

    async def _attempt(
        self, partition: TopicPartition, bounds: Bounds | Trouble, ask: Callable[[Bounds], Awaitable[Found]]
    ) -> Found | Trouble:
        """The answer for one partition, or the reason why there is none. It is bounded in time, because the others
        wait."""
        if isinstance(bounds, Trouble):
            return bounds
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                return await ask(bounds)
        except Refused as refused:
            trouble: Trouble = refused.troubles[partition]
            return trouble
        except (TopicAbsent, OffsetOutOfRange):
            return absent(partition.topic)
        except TimeoutError:
            return Trouble(Kind.UNAVAILABLE, f"it does not say within {BEGIN_SECONDS:g} s where to begin")

    async def _newest_part(self, partition: TopicPartition, bounds: Bounds) -> Beginning:
        """The newest part of the log; of one with a batch that cannot be read, what lies behind that."""
        start = bounds.start
        for _ in range(MOST_DAMAGED):
            if start >= bounds.end:
                break
            try:
                return await self._newest_since(partition, Bounds(start, bounds.end))
            except Refused as refused:
                trouble = refused.troubles[partition]
                if trouble.kind is not Kind.UNREADABLE:
                    raise
                start = beyond(trouble, start, bounds.end)
                telemetry.passed_over(partition, trouble, start)
        return Beginning(ConsumedPosition(bounds.end - 1, 0), bounds.end, bounds.end)

    async def _newest_since(self, partition: TopicPartition, bounds: Bounds) -> Beginning:
        """The newest part, and at least all records of its newest millisecond. So the last record read, and the
        number of records that share its time, are known for every partition."""
        newest = await self.newest(partition, *bounds)
        if newest is None:
            return Beginning(ConsumedPosition(bounds.end - 1, 0), bounds.end, bounds.end)
        since = self._clock.now() - int(self._ring_fill * 1000)
        if 0 <= newest < since:
            since = newest
        found = demand(await self._log.find({partition: since}))[partition]
        position = bounds.end if found is None else max(found, bounds.start)
        by_timestamp = self._by_timestamp[partition.topic]
        if not by_timestamp:
            # A record from the year 3000 is at or after every time that is asked for, wherever it stands. More than the
            # ring can hold is not read.
            position = max(position, bounds.end - self._ring.capacity // ITEM_OVERHEAD)
        consumed = await consumed_before(self._log, partition, position, bounds, since, by_timestamp)
        return Beginning(consumed, position, bounds.end)

    async def newest(self, partition: TopicPartition, start: int, end: int) -> int | None:
        """The timestamp of the last record, or None where there is none within reach."""
        distance = 1
        while start < end:
            first = max(start, end - distance)
            newest = None
            async with aclosing(read_parts(self._log, partition, first, end)) as parts:
                async for records, _ in parts:
                    newest = records[-1].timestamp if records else newest
            if newest is not None:
                return newest
            if first == start or distance >= MAXIMUM_LOOK_BACK:
                break
            distance *= 4
        return None


def _first(bounds: Bounds) -> Beginning:
    return Beginning(ConsumedPosition(bounds.start - 1, 0), bounds.start, bounds.end)


def _partitions(topic: str, first: int, end: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(first, end)]

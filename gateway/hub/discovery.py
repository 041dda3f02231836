"""Discovers the log's topics: which exist, their partitions, and where the hub begins to read each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.errors import OffsetOutOfRange, Refused, TopicAbsent
from gateway.eventlog.port import Bounds, EventLog, TopicState
from gateway.eventlog.trouble import Kind, Trouble, absent
from gateway.hub.beginnings import Beginning, Beginnings, at_first, changed, gone_meanwhile, parted
from gateway.hub.last import consumed_before_each
from gateway.hub.parting import find_cut
from gateway.hub.ring import Ring
from gateway.hub.seek import seek_each
from gateway.hub.segment import Break
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition

BEGIN_SECONDS = 5.0
"""A truncated partition of which it is not known by then where to begin is sick."""


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
    erased: set[str] = field(default_factory=set)
    """The topics of which records were emptied since the last look."""


class Discovery:
    """Compares the log's topics with those held in the ring."""

    def __init__(
        self, log: EventLog, ring: Ring, by_timestamp: Mapping[str, bool], clock: Clock, ring_fill: float
    ) -> None:
        self._log = log
        self._ring = ring
        self._by_timestamp = by_timestamp
        self._beginnings = Beginnings(log, by_timestamp, clock, ring_fill, ring.capacity)
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
        self.log_identity = await self._log.identity()
        continued = await self._replaced(replaced, states)
        # The last that is asked of the log: what takes long to find is not lost with what fails after it.
        begins = await self._beginnings.find(wanted, states)
        findings = Findings(erased=self._erased(states))
        for partition, place in continued.items():
            if isinstance(place, Break):
                findings.breaks.append(place)
                continue
            begins[partition] = place
            if isinstance(place, Trouble):
                # It begins again once that is possible; its readers are then resolved again.
                self._ring.remove(partition)
        self._take([topic for topic in topics if topic not in hidden], states, hidden, begins, findings, wanted)
        return findings

    def _erased(self, states: Mapping[str, TopicState]) -> set[str]:
        """The topics of which records were emptied since the last look. One that was created again is another."""
        return {
            topic
            for topic, state in states.items()
            if (before := self.known.get(topic)) is not None
            and before.identity == state.identity
            and before.erasures != state.erasures
        }

    async def others(self, topics: Collection[str]) -> set[str]:
        """Those of the topics that are not there any more, or others than at the last look. Raises LogUnavailable."""
        return await changed(self._log, topics, self.known)

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

    async def _replaced(
        self, partitions: list[TopicPartition], states: Mapping[str, TopicState]
    ) -> dict[TopicPartition, Break | Beginning | Trouble]:
        """Where partitions of recreated topics continue, by the timestamp; one that held nothing begins. Of a topic
        that was created once more meanwhile, the answers do not belong together."""
        if not partitions:
            return {}
        tails: dict[TopicPartition, ConsumedPosition] = {}
        bounds: dict[TopicPartition, Bounds] = {}
        found: dict[TopicPartition, Break | Beginning | Trouble] = {}
        for partition, told in (await self._log.bounds(partitions)).items():
            tail = self._ring.tail(partition)
            assert tail is not None
            if isinstance(told, Trouble):
                found[partition] = told
            elif tail.offset < 0:
                found[partition] = at_first(told)
            else:
                tails[partition], bounds[partition] = tail, told
        found |= await self._recreated(tails, bounds)
        return found | await gone_meanwhile(self._log, partitions, states)

    async def _recreated(
        self, tails: Mapping[TopicPartition, ConsumedPosition], bounds: Mapping[TopicPartition, Bounds]
    ) -> dict[TopicPartition, Break | Trouble]:
        """The position to continue at in partitions that the ring holds, if their records differ from those read
        before."""
        times = {partition: tail.timestamp for partition, tail in tails.items()}
        resumed, troubles = parted(await seek_each(self._log, times, bounds))
        consumed, unread = parted(await consumed_before_each(self._log, resumed, bounds, times, self._by_timestamp))
        breaks = {
            partition: Break(partition, tails[partition].offset, resumed[partition], "unknown", read)
            for partition, read in consumed.items()
        }
        return {**troubles, **unread, **breaks}

    async def attempt_cut(self, partition: TopicPartition, bounds: Bounds, parting: int) -> Break | Trouble:
        """The position to continue at in a truncated partition, or the reason why it is not known; `parting` as
        `find_cut` has it. Bounded in time: the others wait."""
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                return await find_cut(self._log, self._ring, partition, bounds, parting)
        except Refused as refused:
            trouble: Trouble = refused.troubles[partition]
            return trouble
        except (TopicAbsent, OffsetOutOfRange):
            return absent(partition.topic)
        except TimeoutError:
            return Trouble(Kind.UNAVAILABLE, f"it does not say within {BEGIN_SECONDS:g} s where to begin")


def _partitions(topic: str, first: int, end: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(first, end)]

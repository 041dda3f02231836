"""Recovers partitions that the log does not give: those that are sick, and topics that are new or recreated.

It looks for them, tries them again and brings them back while the reading continues without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import LogUnavailable
from gateway.eventlog.port import NO_STAMP, Bounds, EventLog, LogReader
from gateway.eventlog.trouble import FACTS, Kind, Trouble, absent, beyond
from gateway.hub.discovery import Discovery
from gateway.hub.partitions import Ward
from gateway.hub.ring import Ring
from gateway.hub.segment import Break
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition
from gateway.observability import telemetry

TEND_WAIT = 0.1
"""Seconds between two looks at what is due to be tried again."""


class Reading(Protocol):
    """The hub, as far as it is needed here."""

    available: bool
    filled: asyncio.Event
    catching_up: dict[TopicPartition, int]

    def flush(self) -> None:
        """Deliver what has been read."""
        ...

    def interrupt(self, gap: Break) -> None:
        """Continue in a partition where its log does, and notify every live client."""
        ...

    def replace(self, gap: Break) -> None:
        """The same where the topic is another one."""
        ...

    def cut(self, gap: Break) -> None:
        """The same for a truncated log."""
        ...

    def erased(self, topics: Collection[str]) -> None:
        """Keep nothing of these topics, of which records were emptied."""
        ...

    def partitions_changed(self) -> None:
        """The set of partitions is another one."""
        ...

    def tell_change(self) -> None:
        """Wake who waits for news of the log."""
        ...


class Recovery:
    """Knows which partitions are unreadable, and which must be read again. Looks for topics every `interval`
    seconds."""

    def __init__(
        self, reading: Reading, log: EventLog, ring: Ring, discovery: Discovery, clock: Clock, interval: float
    ) -> None:
        self._reading = reading
        self._log = log
        self._ring = ring
        self._discovery = discovery
        self._clock = clock
        self._interval = interval
        self.ward = Ward()
        self.sick: dict[TopicPartition, Trouble] = {}
        """The unreadable partitions, and why. Records read before are in the ring."""
        self.joining: set[TopicPartition] = set()
        """The partitions to read from the end of the ring: their records are useless until the reader knows."""
        self._ignored: set[TopicPartition] = set()
        """The partitions whose records come from another topic than the one known by the name."""
        self._looking = asyncio.Lock()
        self.stamps: dict[TopicPartition, tuple[int, int]] = {}
        """By partition, a position and its stamp: those of what was read last."""
        self.doubted: set[TopicPartition] = set()
        """Of these it is not known yet whether the log, which was away, is still the one that was read."""
        self.failure: LogUnavailable | None = None
        """The log did not answer here; the reading must start again."""
        self.next_look = 0.0
        self._erased: set[str] = set()
        """The topics of which the last look has found that records were emptied."""

    def look_again(self) -> None:
        """Look for topics soon."""
        self.next_look = 0.0

    async def tend(self) -> None:
        """Look for what is new, and try what the log did not give: beside the reading, which waits for none of it."""
        await self._reading.filled.wait()
        while True:
            await asyncio.sleep(min(TEND_WAIT, self._interval))
            if self.ward.settle(self._clock.monotonic()):
                self._tell_sick()
            if not self._reading.available or self.failure is not None:
                continue
            try:
                now = self._clock.monotonic()
                due = self.ward.due(now)
                if now >= self.next_look or any(partition in self._discovery.unbegun for partition in due):
                    await self.look()
                if known := [partition for partition in due if partition in self._ring.partitions()]:
                    await self._examine(known)
            except LogUnavailable as error:
                self.failure = error
            except Exception as error:
                telemetry.mistake("hub", error)

    async def look(self) -> None:
        """Look for topics and partitions that are new, gone or others, and begin those that can be begun."""
        async with self._looking:
            self.next_look = self._clock.monotonic() + self._interval
            # What has been read is delivered before anything that is found can make the ring forget it.
            self._reading.flush()
            found = await self._discovery.look(lambda partition: self.ward.is_due(partition, self._clock.monotonic()))
            if self._reading.filled.is_set():
                self._reading.catching_up |= found.behind
            for gap in found.breaks:
                self._reading.replace(gap)
            # Once more at the next look: what was being read at this one came into memory behind it.
            self._erased, erased = found.erased, found.erased | self._erased
            if erased:
                self._reading.erased(erased)
            for partition in found.begun:
                self.stamps.pop(partition, None)
            now = self._clock.monotonic()
            for partition, trouble in found.refused.items():
                self.ward.refuse(partition, trouble, now)
            held = self._ring.partitions()
            for partition in found.begun:
                self.ward.try_again(partition, now)
            for partition in self.ward.troubles:
                if partition.topic not in self._discovery.existing or (
                    partition not in held and partition not in self._discovery.unbegun
                ):
                    self.ward.dismiss(partition)
            self.joining.update(found.begun, (gap.partition for gap in found.breaks))
            self.joining &= set(held)
            if found.changed:
                self._reading.partitions_changed()
            self._tell_sick()

    def positions(self) -> dict[TopicPartition, int]:
        """The next offset of each partition that can be read."""
        return {
            partition: self._ring.end(partition)
            for partition in self._discovery.readable()
            if not self.ward.is_shut(partition)
        }

    def is_foreign(self, partition: TopicPartition) -> bool:
        """Whether what was fetched of a partition is not what the hub reads there now."""
        return partition in self.joining or partition in self._ignored or partition not in self._ring.partitions()

    async def join(self, reader: LogReader) -> None:
        """Have partitions read from where the ring ends; but of the topics that are known. One that was created again
        since the last look is left alone until the next."""
        joining, self.joining = sorted(self.joining.intersection(self._ring.partitions())), set()
        positions = {partition: self._ring.end(partition) for partition in joining}
        known = {partition: self.stamps.get(partition, (-1, NO_STAMP)) for partition in joining}
        stamps = {
            partition: stamp for partition, (position, stamp) in known.items() if position == positions[partition]
        }
        await reader.add(positions, stamps)
        self.doubted -= positions.keys() - stamps.keys()
        self._ignored.difference_update(joining)
        others = await self._discovery.others({partition.topic for partition in joining})
        for partition in joining:
            if partition.topic in others:
                self._ignored.add(partition)
                self.refuse(partition, absent(partition.topic))

    def doubt(self) -> None:
        """The log is away, and may be another one when it is back."""
        self.doubted.update(self.stamps)

    def refuse(self, partition: TopicPartition, trouble: Trouble) -> None:
        """The log does not give a partition; it is tried again later."""
        self.ward.refuse(partition, trouble, self._clock.monotonic())
        if partition in self.stamps:
            self.doubted.add(partition)
        if trouble.kind in FACTS:
            self.look_again()
        self._tell_sick()

    def refuse_to_read(self, partition: TopicPartition, trouble: Trouble) -> bool:
        """The log does not serve the next records. In the newest part with which a partition begins, an unreadable
        batch is skipped; only clients from before it wait for it. Returns whether it was skipped."""
        catching_up, position = self._reading.catching_up, self._ring.end(partition)
        end = catching_up.get(partition, 0)
        if trouble.kind is not Kind.UNREADABLE or position >= end:
            self.refuse(partition, trouble)
            return False
        begin = beyond(trouble, position, end)
        tail = self._ring.tail(partition)
        consumed = ConsumedPosition(begin - 1, tail.timestamp if tail is not None else 0)
        telemetry.passed_over(partition, trouble, begin)
        self._reading.flush()
        self._ring.add(partition, consumed, begin)
        self._discovery.origins[partition] = consumed
        if begin >= end:
            del catching_up[partition]
        self.joining.add(partition)
        self._reading.tell_change()
        return True

    def dismiss(self, partition: TopicPartition) -> None:
        """A record came of it: it is well; but for what was read before it was refused."""
        if not self.ward.is_shut(partition) and self.ward.dismiss(partition):
            self._tell_sick()

    def _tell_sick(self) -> None:
        """Renew the set of unreadable partitions. A topic that is merely gone, or a repaired position, is no
        trouble."""
        hidden = {
            TopicPartition(topic, 0): trouble
            for topic, trouble in self._discovery.hidden.items()
            if topic not in self._discovery.known
        }
        sick = hidden | {
            partition: trouble for partition, trouble in self.ward.troubles.items() if trouble.kind not in FACTS
        }
        if sick == self.sick:
            return
        before, self.sick = self.sick, sick
        telemetry.partitions_refused(
            {partition: trouble for partition, trouble in sick.items() if partition not in before},
            before.keys() - sick.keys(),
        )
        self._reading.tell_change()

    async def _examine(self, partitions: Collection[TopicPartition]) -> None:
        """Ask for partitions that the ring holds whether they can be read again, and read those from where it ends."""
        for partition, bounds in (await self._log.bounds(partitions)).items():
            tail = self._ring.tail(partition)
            if tail is None or partition.topic not in self._discovery.existing:
                self.ward.dismiss(partition)
            elif isinstance(bounds, Trouble):
                self.refuse(partition, bounds)
            elif not await self._mend(partition, tail, bounds):
                self.refuse(partition, self.ward.troubles.get(partition, absent(partition.topic)))
            else:
                self.ward.try_again(partition, self._clock.monotonic())
                self.joining.add(partition)
        self._tell_sick()

    async def _mend(self, partition: TopicPartition, tail: ConsumedPosition, bounds: Bounds) -> bool:
        """If the hub's own position is gone, continue where the log does, and notify every live client. False if
        that place is not known."""
        position, trouble = self._ring.end(partition), self.ward.troubles.get(partition)
        if trouble is not None and trouble.kind is Kind.CUT:
            parting = trouble.offset
        elif position > bounds.end:
            parting = -1
        else:
            if position < bounds.start:
                consumed = ConsumedPosition(bounds.start - 1, tail.timestamp)
                self._reading.interrupt(Break(partition, tail.offset, bounds.start, "expired", consumed))
            return True
        if await self._discovery.others({partition.topic}):
            # The look tells of another topic, once and of all its partitions.
            self.look_again()
            return False
        # What was told of a partition that is not there any more was told of another log.
        parting = parting if parting <= bounds.end else -1
        # Only what was read can differ: behind it, the log is read as ever.
        bounds = bounds._replace(end=max(bounds.start, min(bounds.end, position)))
        gap = await self._discovery.attempt_cut(partition, bounds, parting)
        if isinstance(gap, Trouble):
            return False
        self._reading.cut(gap)
        if trouble is not None and trouble.offset == gap.resumed:
            self.stamps[partition] = (gap.resumed, trouble.stamp)
        return True

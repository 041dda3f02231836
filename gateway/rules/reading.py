"""Reads the topics of a rule from its position, through outages, new partitions and lost records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from gateway.cooperative import Yielder
from gateway.derive.engine import Event
from gateway.derive.sources import Follower, Sources
from gateway.derive.stretch import Part
from gateway.errors import LogError
from gateway.eventlog.port import Batch, EventLog, LogReader, TopicState
from gateway.eventlog.trouble import Kind, Refusal, Trouble, demand
from gateway.model.record import Record, TopicPartition
from gateway.observability import telemetry
from gateway.rules.window import Place, Window

BATCH_RECORDS = 500
BATCH_BYTES = 1024 * 1024
"""What is read at once, and not yet taken up."""
WAIT_SECONDS = 1.0
"""For which a fetch waits for records."""
SURVEY_SECONDS = 5.0
"""So often it is asked which topics and partitions there are, and what could not be read is tried again."""
LONGEST_PAUSE = 10.0
"""Seconds between two tries to open the log where it is away."""

Take = Callable[[Record, Event, Window], Awaitable[None]]
"""Takes a record, with what it holds where it was decoded already."""


class Reading:
    """Some topics of a rule, in one reader. With `sources` they are streams, read together with others that read them:
    what was there before the rule began, at `since` (ms), is none of its business. Without, they are its own."""

    def __init__(
        self,
        rule: str,
        log: EventLog,
        topics: Collection[str],
        take: Take,
        since: int,
        sources: Sources | None = None,
    ) -> None:
        self._rule = rule
        self._log = log
        self._topics = tuple(topics)
        self._take = take
        self._sources = sources
        self._since = since
        self._identities: dict[str, str] = {}
        self._absent: set[str] = set()
        """Topics that were looked for and were not there: what comes in them is new."""
        self._late: set[TopicPartition] = set()
        """Partitions that were sick when the rule began: they are begun at the records of that time."""
        self._windows: dict[TopicPartition, Window] = {}
        self._stamps: dict[TopicPartition, int] = {}
        self._read: set[TopicPartition] = set()
        """Those that the reader has."""
        self._looked = float("-inf")

    def restore(self, places: Collection[Place]) -> None:
        """Go on at these, as far as they are of these topics."""
        for place in places:
            if place.topic not in self._topics:
                continue
            if place.partition < 0:
                self._absent.add(place.topic)
            else:
                self._identities[place.topic] = place.identity
                self._windows[place.where] = Window(place.low, place.settled)

    def places(self) -> list[Place]:
        """How far they are settled."""
        found = [
            Place(topic, self._identities.get(topic, ""), partition, window.low(), window.settled())
            for (topic, partition), window in self._windows.items()
        ]
        return found + [Place(topic, "", -1, 0) for topic in sorted(self._absent)]

    async def prepare(self) -> None:
        """Learn where to begin. Raises LogError."""
        await self._survey()

    async def run(self) -> None:
        """Read for ever."""
        pause = 0.1
        while True:
            try:
                reader = await self._open()
                try:
                    while True:
                        await self._step(reader)
                        pause = 0.1
                finally:
                    await reader.close()
            except LogError as error:
                telemetry.rule_waits(self._rule, str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _open(self) -> LogReader | Follower:
        self._read.clear()
        await self._survey()
        return await self._log.reader({}) if self._sources is None else self._sources.follower()

    async def _step(self, reader: LogReader | Follower) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked >= SURVEY_SECONDS:
            await self._survey()
        if new := [partition for partition in self._windows if partition not in self._read]:
            if isinstance(reader, Follower):
                reader.add(self._positions(new), self._identities, self._stamps)
            else:
                await reader.add(self._positions(new), self._stamps)
            self._read.update(new)
        if not self._read:
            await asyncio.sleep(WAIT_SECONDS)
            return
        for found in await self._fetch(reader):
            if isinstance(found, Refusal):
                await self._refused(found)
            else:
                await self._batch(found)

    @staticmethod
    async def _fetch(reader: LogReader | Follower) -> Sequence[Batch | Part | Refusal]:
        if isinstance(reader, Follower):
            return await reader.fetch(WAIT_SECONDS, BATCH_RECORDS)
        return await reader.fetch(WAIT_SECONDS, BATCH_RECORDS, max_bytes=BATCH_BYTES)

    def _positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self._windows[partition].read_to for partition in partitions}

    async def _batch(self, batch: Batch | Part) -> None:
        window = self._windows[batch.partition]
        work = Yielder()
        records = batch.records if isinstance(batch, Part) else [(record, None) for record in batch.records]
        for record, event in records:
            await work.give_way()
            await self._take(record, event, window)
        window.move(batch.position)
        self._stamps[batch.partition] = batch.stamp

    async def _survey(self) -> None:
        """Which topics and partitions there are; begin those that are new, or new again. Raises LogError."""
        states = await self._log.describe(self._topics)
        for topic in self._topics:
            state = states.get(topic)
            if isinstance(state, TopicState):
                await self._found(topic, state)
            elif state is None:
                self._absent.add(topic)
        self._looked = asyncio.get_running_loop().time()

    async def _found(self, topic: str, state: TopicState) -> None:
        known = self._identities.get(topic)
        recreated = known is not None and known != state.identity
        everything = self._sources is None or known is not None or topic in self._absent
        partitions = [TopicPartition(topic, number) for number in range(state.partitions)]
        new = [one for one in partitions if recreated or one not in self._windows]
        bounds = await self._log.bounds(new) if new else {}
        if recreated and any(isinstance(found, Trouble) for found in bounds.values()):
            return
        for partition, found in bounds.items():
            if isinstance(found, Trouble):
                # One that is sick keeps nobody waiting: it is begun at a later look.
                telemetry.rule_waits(self._rule, str(found))
                if not everything:
                    self._late.add(partition)
            elif partition in self._late:
                at = (await self._log.find({partition: self._since}))[partition]
                self._begin(partition, at if isinstance(at, int) else found.end)
            else:
                self._begin(partition, found.start if everything else found.end)
        if recreated:
            telemetry.rule_gap(self._rule, topic, "recreated")
        self._identities[topic] = state.identity
        self._absent.discard(topic)

    def _begin(self, partition: TopicPartition, position: int) -> None:
        """Read it from here on, whatever was read of it before."""
        self._windows[partition] = Window(position)
        self._late.discard(partition)
        self._stamps.pop(partition, None)
        self._read.discard(partition)

    async def _refused(self, refusal: Refusal) -> None:
        """What is gone is told and passed over; what is sick is tried again by and by."""
        partition, trouble = refusal
        if trouble.kind in (Kind.OUT_OF_RANGE, Kind.CUT):
            bounds = demand(await self._log.bounds([partition]))[partition]
            at = self._windows[partition].read_to
            cut = trouble.offset if trouble.kind is Kind.CUT and trouble.offset >= 0 else bounds.end
            position = bounds.start if at < bounds.start else min(cut, bounds.end)
            telemetry.rule_gap(self._rule, partition.topic, trouble.kind)
            self._begin(partition, position)
            return
        telemetry.rule_waits(self._rule, str(trouble))
        loop = asyncio.get_running_loop()
        # It is added again at the next look.
        loop.call_later(SURVEY_SECONDS, self._read.discard, partition)


async def read_all(log: EventLog, places: Collection[Place], take: Callable[[Record], None]) -> None:
    """All that is not settled of these partitions now. Raises LogError."""
    windows = {place.where: Window(place.low, place.settled) for place in places if place.partition >= 0}
    bounds = await log.bounds(list(windows))
    ends = {one: found.end for one, found in bounds.items() if not isinstance(found, Trouble)}
    left = {one for one, end in ends.items() if windows[one].read_to < end}
    reader = await log.reader({one: windows[one].read_to for one in left})
    work = Yielder()
    try:
        while left:
            for found in await reader.fetch(WAIT_SECONDS, BATCH_RECORDS, max_bytes=BATCH_BYTES):
                if isinstance(found, Refusal):
                    left.discard(found.partition)
                    continue
                for record in found.records:
                    await work.give_way()
                    if windows[found.partition].begin(record.offset):
                        take(record)
                if found.position >= ends[found.partition]:
                    left.discard(found.partition)
    finally:
        with suppress(LogError):
            await reader.close()

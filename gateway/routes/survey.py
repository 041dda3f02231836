"""What there is in the topics of the hub: looked at once a second at the most, however many ask.

It tells of topics, and nothing of who may see which: what a client is told is put together from its own catalogue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gateway import telemetry
from gateway.cooperative import together
from gateway.errors import LogError
from gateway.event import NO_TIMESTAMP, Record, TopicPartition
from gateway.eventlog.port import Bounds
from gateway.eventlog.trouble import Trouble
from gateway.hub.history import ask_first_records
from gateway.hub.hub import Hub
from gateway.hub.ring import Item

INTERVAL = 1.0
"""Seconds for which a survey holds."""
SECONDS = 1.0
"""Seconds that a survey may take; what the log has not told by then is as it was before."""
RATE_SPAN = 60_000
"""Milliseconds over which the rate of a topic is counted."""
MOST_RECORDS = 20_000
"""Records of the ring that are looked at."""
STEP_RECORDS = 1000
"""After so many others have their turn."""
READERS = 4
READER_PARTITIONS = 100
"""So many readers look for first records at once, each in so many partitions at the most."""


@dataclass(slots=True)
class Survey:
    """By topic: the records of the last minute, and the newest event that is no canary: when it was read, as its
    segment and index, and where it stands in the log."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[int, int, TopicPartition, int]] = field(default_factory=dict)


class Surveyor:
    """One for a process. `survey` is the newest survey."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.survey = Survey()
        self._made = float("-inf")
        self._making: asyncio.Task[None] | None = None
        self._firsts: dict[TopicPartition, tuple[str, int, int]] = {}
        """The topic's identity, where the partition began, and the time of its first record. Whoever compacts the first
        record away makes a later one the first, which is seen when the partition's start moves."""

    async def look(self) -> Survey:
        """A survey that is no older than a second. Whoever asks meanwhile waits for the same, for a while."""
        if self._hub.clock.monotonic() - self._made >= INTERVAL:
            if self._making is None:
                self._making = asyncio.create_task(self._make())
            await asyncio.wait([self._making], timeout=2 * SECONDS)
        return self.survey

    def oldest(self, topics: Collection[str]) -> int | None:
        """The time of the oldest record, in milliseconds."""
        times = [self._firsts[place][2] for place in self._hub.partitions(topics) if place in self._firsts]
        return min((time for time in times if time != NO_TIMESTAMP), default=None)

    def newest(self, topics: Collection[str]) -> int | None:
        """The time of the newest record: of each partition, that which was read last."""
        ring = self._hub.ring
        tails = [tail for place in self._hub.partitions(topics) if (tail := ring.tail(place)) is not None]
        # A partition without records has a mark of 0, of which none was seen.
        times = [tail.timestamp for tail in tails if tail.seen or tail.timestamp > 0]
        return max((time for time in times if time != NO_TIMESTAMP), default=None)

    def rate(self, topics: Collection[str]) -> float:
        """Events a second."""
        return round(sum(self.survey.counts[topic] for topic in topics) * 1000 / RATE_SPAN, 3)

    def example(self, topics: Collection[str]) -> bytes | None:
        """The newest event that is no canary, where the ring still holds it."""
        found = max((self.survey.examples[topic] for topic in topics if topic in self.survey.examples), default=None)
        if found is None:
            return None
        _, _, place, offset = found
        item = self._hub.ring.holds(place, offset)
        return None if item is None else item.data

    async def close(self) -> None:
        """Look no further."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])

    async def _make(self) -> None:
        try:
            self.survey = await self._count()
            async with asyncio.timeout(SECONDS):
                await self._look_for_firsts()
        except (LogError, TimeoutError):
            pass
        except Exception as error:
            telemetry.mistake("catalogue", error)
        finally:
            self._made = self._hub.clock.monotonic()
            self._making = None

    async def _count(self) -> Survey:
        """From the newest segment back. The ring may forget segments meanwhile, and then tells of no older ones."""
        survey, ring = Survey(), self._hub.ring
        since = self._hub.clock.now() - RATE_SPAN
        looked_at = step = 0
        number = ring.open.number - 1
        while (segment := ring.segment(number)) is not None and looked_at < MOST_RECORDS:
            for index in range(len(segment.items) - 1, -1, -1):
                _note(survey, segment.items[index], (number, index), since)
            looked_at += len(segment.items)
            step += len(segment.items)
            number -= 1
            if step >= STEP_RECORDS:
                step = 0
                await asyncio.sleep(0)
        return survey

    async def _look_for_firsts(self) -> None:
        """Only where a partition does not begin where it did is its first record read. Raises LogError."""
        hub = self._hub
        if not hub.available:
            return
        places = [
            place for place in hub.ring.partitions() if place.topic in hub.discovery.existing and place not in hub.sick
        ]
        for gone in self._firsts.keys() - set(places):
            del self._firsts[gone]
        answers = await hub.log.bounds(places) if places else {}
        bounds = {place: told for place, told in answers.items() if not isinstance(told, Trouble)}
        missing: dict[TopicPartition, Bounds] = {}
        for place, bound in bounds.items():
            if bound.start >= bound.end:
                self._firsts.pop(place, None)
            elif self._firsts.get(place, ("", -1, 0))[:2] != (self._identity(place), bound.start):
                missing[place] = bound
        turns = asyncio.Semaphore(READERS)
        names = list(missing)
        parts = [names[begin : begin + READER_PARTITIONS] for begin in range(0, len(names), READER_PARTITIONS)]
        await together(self._read({place: missing[place] for place in part}, turns) for part in parts)

    async def _read(self, bounds: Mapping[TopicPartition, Bounds], turns: asyncio.Semaphore) -> None:
        async with turns:
            try:
                ends = {place: bound.end for place, bound in bounds.items()}
                starts = {place: bound.start for place, bound in bounds.items()}
                found = await ask_first_records(self._hub.log, starts, ends)
            except LogError:
                return
        for place, record in found.items():
            if isinstance(record, Record) and place.topic in self._hub.discovery.known:
                self._firsts[place] = self._identity(place), bounds[place].start, record.timestamp
            else:
                self._firsts.pop(place, None)

    def _identity(self, place: TopicPartition) -> str:
        return self._hub.discovery.known[place.topic].identity


def _note(survey: Survey, item: Item, place: tuple[int, int], since: int) -> None:
    topic = item.partition.topic
    if item.mark.timestamp >= since:
        survey.counts[topic] += 1
    if item.data is not None and not item.canary:
        survey.examples.setdefault(topic, (*place, item.partition, item.mark.offset))

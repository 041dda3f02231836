"""Writes the sample of `wiki` into a log: an hour of history, then live, so that there is something to subscribe to."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.cooperative import give_way
from gateway.demo.wiki import Event, WikiSample
from gateway.errors import ConfigurationError, LogError, LogUnavailable, Refused
from gateway.eventlog.port import EventLog
from gateway.eventlog.trouble import Refusal, Trouble, demand, refuse
from gateway.intake.validate import key_of
from gateway.model.record import NewRecord, TopicPartition

CHANGES = "wiki/change"
"""The schema_title of the stream of changes."""

HISTORY = 3_600_000
"""Milliseconds of history that are filled in at the most."""

RATE = 20
"""Events a second, on the average."""

BATCH = 2000
"""Events of one append while filling: some tens of milliseconds of work between two turns of the event loop."""

SHORTEST_GAP, LONGEST_GAP = 1, 500
"""Milliseconds between two events."""

LONGEST_DELAY = 10_000
"""Milliseconds that live events may be late, as while the server starts; what is later (after sleep) is left out."""

RETRY = 1.0
"""Seconds until an append is tried again that the log could not take."""

TRIES = 10
"""How often an append of the history is tried: a machine that has much to do at the moment may need longer."""

LAST_RECORD_WAIT = 2.0
"""Seconds in which the newest record of the log is looked for."""

_log = logging.getLogger(__name__)


class SampleFeed:
    """A feed into the streams whose schema_title is wiki/change and (where there is one) wiki/page-create.

    `seed` makes the events repeatable; `sleep` waits so many seconds; `history` is in milliseconds. Raises
    ConfigurationError where the catalogue has no stream for changes.
    """

    def __init__(
        self,
        log: EventLog,
        catalog: Catalog,
        clock: Clock,
        *,
        seed: int | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        history: int = HISTORY,
    ) -> None:
        changes = stream_of(CHANGES, catalog)
        if changes is None:
            raise ConfigurationError([f"the sample feed needs a stream; give one the schema_title {CHANGES}"])
        self._log = log
        self._catalog = catalog
        self._clock = clock
        self._sleep = sleep
        self._history = history
        self._changes = changes
        self._creations = stream_of("wiki/page-create", catalog)
        self._random = random.Random(seed)
        self._seed = self._random.getrandbits(64)
        self._sample: WikiSample | None = None
        self._newest = 0

    @property
    def changes(self) -> Stream:
        """The stream of changes."""
        return self._changes

    @property
    def history(self) -> int:
        """Milliseconds of history that `fill` fills in at the most."""
        return self._history

    async def create(self) -> None:
        """Create the topics of all streams, where they are not there yet. Raises LogError."""
        for stream in self._catalog.streams.values():
            for topic in stream.topics:
                await self._log.create(topic, stream.partitions, stream.retention)

    def past(self, count: int, begin: int, end: int) -> list[tuple[str, list[NewRecord]]]:
        """So many changes between these times (ms), by topic with their creations, changes first. What `fill` and
        `run` write continues them: it changes the same pages."""
        sample = self._sample = WikiSample(self._seed, begin)
        width = (end - begin) / count
        times = [begin + int((number + self._random.random()) * width) for number in range(count)]
        return self._records([sample.next(time) for time in times], times)

    async def fill(self) -> int:
        """Create the topics, and append what is missing of the history; returns the number of changes appended.

        Raises LogError.
        """
        await self.create()
        last = await self._last_timestamp()
        time = max(self._clock.now() - self._history, last)
        self._newest = last
        sample = self._sample = self._sample or WikiSample(self._seed, time)
        filled = 0
        batch: list[tuple[Event, Event | None]] = []
        times: list[int] = []
        # The clock is asked each time: filling takes seconds, and they are to be no hole before the live events.
        while (time := time + self._gap()) < self._clock.now():
            batch.append(sample.next(time))
            times.append(time)
            if len(batch) == BATCH:
                filled += await self._append(batch, times)
                batch, times = [], []
                await give_way()
        return filled + await self._append(batch, times)

    async def run(self) -> None:
        """Append live events until cancelled. While the log is away, it is tried again."""
        sample = self._sample or WikiSample(self._seed, self._clock.now())
        due = self._newest
        while True:
            due = max(due + self._gap(), self._clock.now() - LONGEST_DELAY)
            await self._sleep(max(0, due - self._clock.now()) / 1000)
            # Never below what is in the log: clients of the sample may rely on timestamps that do not go back.
            time = max(due, self._newest)
            # Topic by topic: what one has taken is not given to it again because another could not.
            for topic, records in self._records([sample.next(time)], [time]):
                while not await self._appended(topic, records):
                    await self._sleep(RETRY)
            self._newest = time

    async def _appended(self, topic: str, records: list[NewRecord]) -> bool:
        try:
            await self._log.append(topic, records)
        except LogError as error:
            _log.warning("the sample feed waits for the log: %s", error)
            return False
        return True

    async def _append(self, batch: list[tuple[Event, Event | None]], times: list[int]) -> int:
        if not batch:
            return 0
        for topic, records in self._records(batch, times):
            await self._fill(topic, records)
        self._newest = max(self._newest, times[-1])
        return len(batch)

    async def _fill(self, topic: str, records: list[NewRecord]) -> None:
        for left in reversed(range(TRIES)):
            try:
                await self._log.append(topic, records)
            except LogUnavailable as error:
                if left == 0:
                    raise
                _log.warning("the history waits for the log: %s", error)
                await self._sleep(RETRY)
            else:
                return

    def _records(self, batch: list[tuple[Event, Event | None]], times: list[int]) -> list[tuple[str, list[NewRecord]]]:
        """The changes, and the creations among them, by topic; not validated, since the tests have done that."""
        changes, creations = self._changes, self._creations
        result = [
            (
                changes.topics[0],
                [_record(change, changes, time) for (change, _), time in zip(batch, times, strict=True)],
            )
        ]
        if creations is not None:
            created = [
                _record(creation, creations, time)
                for (_, creation), time in zip(batch, times, strict=True)
                if creation is not None
            ]
            if created:
                result.append((creations.topics[0], created))
        return result

    def _gap(self) -> int:
        """Milliseconds until the next event: irregular, as of people who do not know of each other."""
        return max(SHORTEST_GAP, min(LONGEST_GAP, round(self._random.expovariate(RATE / 1000))))

    async def _last_timestamp(self) -> int:
        """The newest timestamp of the changes in the log (milliseconds since the epoch), or 0."""
        topic = self._changes.topics[0]
        state = (await self._log.describe([topic])).get(topic)
        if state is None:
            return 0
        if isinstance(state, Trouble):
            raise Refused({TopicPartition(topic, 0): state})
        places = [TopicPartition(topic, number) for number in range(state.partitions)]
        bounds = demand(await self._log.bounds(places))
        # A compacted or transactional log may hold no record at its very end: a few are read.
        positions = {
            place: max(bound.start, bound.end - 10) for place, bound in bounds.items() if bound.end > bound.start
        }
        if not positions:
            return 0
        newest = 0
        reader = await self._log.reader(positions)
        try:
            deadline = self._clock.monotonic() + LAST_RECORD_WAIT
            while any(positions[place] < bounds[place].end for place in positions):
                if self._clock.monotonic() > deadline:
                    break
                batches = await reader.fetch(LAST_RECORD_WAIT)
                if not batches:
                    break
                for batch in batches:
                    if isinstance(batch, Refusal):
                        refuse({batch.partition: batch.trouble})
                        continue
                    positions[batch.partition] = batch.position
                    newest = max([newest, *(record.timestamp for record in batch.records)])
                await give_way()
        finally:
            await reader.close()
        return newest


def stream_of(schema_title: str, catalog: Catalog) -> Stream | None:
    """The first stream with this schema_title."""
    return next((stream for stream in catalog.streams.values() if stream.schema_title == schema_title), None)


def _record(event: Event, stream: Stream, time: int) -> NewRecord:
    # The stream may be called otherwise in the configuration.
    event["meta"]["stream"] = stream.name
    return NewRecord(orjson.dumps(event), key_of(event, stream), time)

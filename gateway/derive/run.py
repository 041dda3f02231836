"""Runs one derived stream over a log: reads its sources, stores its rows and its position together.

A process that starts reads again what the one before held in memory: from the position's `since` to its `next`. It
drops the rows of that part, which were stored with the position. The writer decides who runs a stream: the newest
one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.derive.clock import BEGINNING
from gateway.derive.engine import Engine, event_of
from gateway.derive.operator import DEFAULT_BOUNDS, DeriveBounds
from gateway.derive.position import PartitionPosition, Position, decode, encode
from gateway.derive.refusal import error_record
from gateway.derive.row import Refused, Results, Row
from gateway.errors import GatewayError, LogError, LogForbids, LogUnavailable, WriterFenced
from gateway.eventlog.port import Batch, EventLog, LogReader, LogWriter, TopicState
from gateway.eventlog.trouble import Refusal, Trouble, demand, refuse
from gateway.intake.validate import InvalidEvent
from gateway.model.record import NewRecord, TopicPartition
from gateway.observability import telemetry

BATCH = 500
"""Records that are derived from in one step: about 10 ms."""
WAIT = 1.0
"""Seconds that a fetch waits for records."""
POLL = 2.0
"""Seconds between two looks at sources that are not there."""
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before the next try where the log is away."""


class ReplayTooLong(GatewayError):
    """What was held would have to be read again from further back than is allowed, or than the log reaches."""


class _Found(NamedTuple):
    """The sources as they are: the partitions of each topic, and its identity."""

    partitions: list[TopicPartition]
    identities: dict[str, str]
    first: int
    """How many partitions the first source has."""


class Runner:
    """One derived stream. `say` takes what an operator should know."""

    def __init__(
        self,
        stream: Stream,
        derivation: Derivation,
        definitions: Definitions,
        log: EventLog,
        clock: Clock,
        say: Callable[[str], None],
        bounds: DeriveBounds = DEFAULT_BOUNDS,
    ) -> None:
        self._stream = stream
        self._derivation = derivation
        self._definitions = definitions
        self._log = log
        self._clock = clock
        self._say = say
        self._bounds = bounds
        self._partitions = 1
        """Of its topic."""
        self._told_refused = 0
        self.read = 0
        """Records of its sources, without those that were read again."""
        self.replayed = 0
        self.stored = 0
        """Rows."""

    @property
    def name(self) -> str:
        """That of the stream."""
        return self._stream.name

    async def run(self, stop: asyncio.Event) -> None:
        """Derive until the event is set. While the log is away, try again. Raises WriterFenced when another process has
        taken over, and what cannot pass by itself: PositionRefused, ReplayTooLong, TooMuchHeld, LogForbids."""
        delay = FIRST_DELAY
        while not stop.is_set():
            before = self.read
            try:
                await self._run_once(stop)
            except (WriterFenced, LogForbids):
                raise
            except LogError as error:
                if self.read > before:
                    delay = FIRST_DELAY
                self._say(f"{self._stream.name}: {error}; trying again in {delay:g} s")
                await _rest(stop, delay)
                delay = min(2 * delay, LONGEST_DELAY)

    async def _run_once(self, stop: asyncio.Event) -> None:
        found = await self._sources(stop)
        if found is None:
            return
        await self._create(found)
        writer = await self._log.writer(f"derive {self._stream.topics[0]}")
        try:
            places = await self._places(found, writer.position)
            engine = self._engine(found.partitions)
            engine.begin(Position(places, found.identities))
            reader = await self._log.reader({place: at.since for place, at in places.items()})
            try:
                await self._replay(engine, reader, places, stop)
                await reader.assign({place: at.next for place, at in places.items()})
                while not stop.is_set():
                    await self._step(engine, reader, writer, found.identities)
            finally:
                await reader.close()
        finally:
            await writer.close()

    async def _sources(self, stop: asyncio.Event) -> _Found | None:
        """Its sources, once all topics are there; None where it is stopped before."""
        streams = self._definitions.catalog.streams
        topics = list(dict.fromkeys(topic for name in self._derivation.inputs for topic in streams[name].topics))
        told = False
        while not stop.is_set():
            states = await self._log.describe(topics)
            refuse(
                {TopicPartition(name, 0): state for name, state in states.items() if not isinstance(state, TopicState)}
            )
            known = {name: state for name, state in states.items() if isinstance(state, TopicState)}
            missing = [topic for topic in topics if topic not in known]
            if not missing:
                places = [
                    TopicPartition(topic, number) for topic in topics for number in range(known[topic].partitions)
                ]
                identities = {topic: known[topic].identity for topic in topics}
                return _Found(places, identities, known[topics[0]].partitions)
            if not told:
                self._say(f"{self._stream.name}: waiting for the topic {missing[0]}")
                told = True
            await _rest(stop, POLL)
        return None

    async def _create(self, found: _Found) -> None:
        """Its topic, with as many partitions as the first source has where no number is declared; and the errors'."""
        source = self._definitions.catalog.streams[self._derivation.sources[0]]
        own = self._stream.partitions
        await self._log.create(
            self._stream.topics[0], found.first if own == source.partitions else own, self._stream.retention
        )
        errors = self._definitions.error_stream_of(self._stream)
        if errors is not None:
            await self._log.create(errors.topics[0], errors.partitions, errors.retention)
        state = (await self._log.describe(self._stream.topics)).get(self._stream.topics[0])
        if not isinstance(state, TopicState):
            raise LogUnavailable(f"nothing is known of its topic: {state or 'it is not there'}")
        self._partitions = state.partitions

    async def _places(self, found: _Found, stored: bytes | None) -> dict[TopicPartition, PartitionPosition]:
        """Where to begin in each partition. A partition that is new, or whose topic was created again, begins with its
        first record."""
        bounds = demand(await self._log.bounds(found.partitions))
        places = {place: PartitionPosition(at.start, at.start, BEGINNING) for place, at in bounds.items()}
        if stored is None:
            return await self._begin(places)
        position = decode(stored, self._derivation)
        length = 0
        for place, at in position.partitions.items():
            if place not in bounds:
                continue
            if position.identities.get(place.topic) != found.identities[place.topic]:
                self._say(f"{self._stream.name}: the topic {place.topic} is another one; it is read from its beginning")
                continue
            if at.next > bounds[place].end:
                raise ReplayTooLong(
                    f"{place.topic}, partition {place.partition}, ends at offset {bounds[place].end}, and was read up "
                    f"to {at.next}: the log has lost records; another version derives them again"
                )
            if at.since < bounds[place].start and at.newest != BEGINNING:
                self._say(
                    f"{self._stream.name}: {place.topic}, partition {place.partition}, begins at offset "
                    f"{bounds[place].start}, and was needed from {at.since}: windows that were open lack events"
                )
            since = max(at.since, bounds[place].start)
            places[place] = PartitionPosition(max(at.next, since), since, at.newest)
            length += places[place].next - since
        if length > self._bounds.derive_replay_bound:
            raise ReplayTooLong(
                f"{length} records would have to be read again, and {self._bounds.derive_replay_bound} are allowed "
                "(derive_replay_bound)"
            )
        return places

    async def _begin(self, places: dict[TopicPartition, PartitionPosition]) -> dict[TopicPartition, PartitionPosition]:
        """The first start: at the first record, or so far back as `since` says. What is looked into is read whole."""
        since = self._derivation.since
        if since is None:
            return places
        streams = self._definitions.catalog.streams
        sources = {topic for name in self._derivation.sources for topic in streams[name].topics}
        chosen = [place for place in places if place.topic in sources]
        offsets = demand_offsets(await self._log.find(dict.fromkeys(chosen, self._clock.now() - since)))
        ends = demand(await self._log.bounds(chosen))
        for place in chosen:
            at = offsets[place]
            first = ends[place].end if at is None else at
            places[place] = PartitionPosition(first, first, BEGINNING)
        return places

    def _engine(self, partitions: Sequence[TopicPartition]) -> Engine:
        schema = None if self._derivation.passes else self._definitions.schemas.taken_by(self._stream)
        return Engine(
            self._stream.name,
            self._derivation,
            self._definitions.catalog.streams,
            partitions,
            uri=None if schema is None else schema.uri,
            faults=None if schema is None else schema.faults,
            bounds=self._bounds,
        )

    async def _replay(
        self, engine: Engine, reader: LogReader, places: Mapping[TopicPartition, PartitionPosition], stop: asyncio.Event
    ) -> None:
        """Read again what was read before, up to where that was."""
        left = {place: at.next for place, at in places.items() if at.since < at.next}
        while left and not stop.is_set():
            for batch in _batches(await reader.fetch(WAIT, BATCH, list(left))):
                end = left[batch.partition]
                records = [(record, event_of(record)) for record in batch.records if record.offset < end]
                engine.take(batch.partition, records, min(batch.position, end))
                self.replayed += len(records)
                telemetry.derive_replayed(self._stream.name, len(records))
                if batch.position >= end:
                    del left[batch.partition]
                engine.forget()
        engine.forget()

    async def _step(self, engine: Engine, reader: LogReader, writer: LogWriter, identities: Mapping[str, str]) -> None:
        """What has come, and one append for it."""
        batches = _batches(await reader.fetch(WAIT, BATCH))
        for batch in batches:
            engine.take(batch.partition, [(record, event_of(record)) for record in batch.records], batch.position)
        if not batches:
            telemetry.derive_lag(self._stream.name, 0.0)
            return
        results, canary = engine.results, engine.canary()
        topic = self._stream.topics[0]
        made = [(topic, self._record(row)) for row in results.rows]
        if canary is not None:
            made += [(topic, self._record(canary._replace(partition=number))) for number in range(self._partitions)]
        made += self._errors(results.refused)
        await writer.append(made, encode(engine.position(identities), self._derivation))
        self.read += sum(len(batch.records) for batch in batches)
        self.stored += len(results.rows)
        self._measure(batches, results)
        engine.forget()

    def _measure(self, batches: Sequence[Batch], results: Results) -> None:
        """What was stored, and how far it is behind."""
        late = sum(one.kind == "late" for one in results.refused)
        telemetry.derive_stored(self._stream.name, len(results.rows), late, len(results.refused) - late)
        newest = [batch.records[-1].timestamp for batch in batches if batch.records]
        if newest:
            telemetry.derive_lag(self._stream.name, max(0.0, (self._clock.now() - min(newest)) / 1000))

    def _record(self, row: Row) -> NewRecord:
        # A row is in the partition of its key, as its event is; without a key, in one of the same number.
        partition = row.partition if row.key is None else None
        if partition is not None:
            partition %= self._partitions
        return NewRecord(row.value, row.key, max(row.timestamp, 0), partition)

    def _errors(self, refused: Sequence[Refused]) -> list[tuple[str, NewRecord]]:
        """What was refused, for the error stream."""
        if not refused:
            return []
        target = self._definitions.error_stream_of(self._stream)
        schema = None if target is None else self._definitions.schemas.taken_by(target)
        made = []
        for one in refused:
            if target is None or schema is None:
                self._lost(one.reason)
                continue
            try:
                record = error_record(one, self._stream.name, self._derivation, target, schema, self._clock.now())
            except InvalidEvent as error:
                self._lost(f"{error}: {one.reason}")
            else:
                made.append((target.topics[0], record))
        return made

    def _lost(self, reason: str) -> None:
        self._told_refused += 1
        if self._told_refused == 1:
            self._say(f"{self._stream.name}: refused, and there is no error stream that takes it: {reason}")


def demand_offsets(answers: Mapping[TopicPartition, object]) -> dict[TopicPartition, int | None]:
    """The offsets that were found; raises Refused."""
    refuse({place: answer for place, answer in answers.items() if isinstance(answer, Trouble)})
    return {place: answer if isinstance(answer, int) else None for place, answer in answers.items()}


def _batches(fetched: Sequence[Batch | Refusal]) -> list[Batch]:
    """What was fetched; a partition that cannot be read holds all others back, and is tried again with them."""
    for one in fetched:
        if isinstance(one, Refusal):
            raise LogUnavailable(f"{one.partition.topic}, partition {one.partition.partition}: {one.trouble}")
    return [one for one in fetched if isinstance(one, Batch)]


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()

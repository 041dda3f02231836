"""Runs one derived stream, or a lane of it, over a log: reads its sources, stores its rows and its position together.

A process that starts reads again what the one before held in memory: from the position's `since` to its `next`. It
drops the rows of that part, which were stored with the position. The writer decides who runs a stream: the newest
one does. If the sources are no more what they were, it continues from the position with what is there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.derive.clock import BEGINNING
from gateway.derive.engine import Engine, event_of
from gateway.derive.lanes import LANES, Work, whole_name
from gateway.derive.operator import DEFAULT_BOUNDS, DeriveBounds
from gateway.derive.position import (
    PartitionPosition,
    Position,
    before_lanes,
    decode,
    divided,
    encode,
    is_divided,
)
from gateway.derive.row import Results
from gateway.derive.sources import BATCH_RECORDS, Follower, Sources
from gateway.derive.stretch import Part
from gateway.derive.target import Target
from gateway.errors import GatewayError, LogError, LogForbids, LogUnavailable, WriterFenced
from gateway.eventlog.port import Batch, EventLog, LogWriter, TopicState
from gateway.eventlog.trouble import Refusal, Trouble, demand, refuse
from gateway.model.record import TopicPartition
from gateway.observability import telemetry

Found = TypeVar("Found", Batch, Part)

WAIT = 1.0
"""Seconds that a fetch waits for records."""
MUCH = 2_000
"""Items held, with which partitions that are behind are read first."""
CATCH_UP_SECONDS, REST_SECONDS = 0.1, 0.5
"""Seconds that a fetch waits for those, and until the next one of those that gave nothing."""
POLL = 2.0
"""Seconds between two looks at sources that are not there."""
LOOK = 5.0
"""Seconds between two looks whether the sources have more partitions, or are other topics."""
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
    """One derived stream, or a lane of it. `say` takes what an operator should know."""

    def __init__(
        self,
        work: Work,
        definitions: Definitions,
        log: EventLog,
        clock: Clock,
        say: Callable[[str], None],
        bounds: DeriveBounds = DEFAULT_BOUNDS,
        sources: Sources | None = None,
    ) -> None:
        """`sources` are shared with the other streams of the process."""
        assert work.stream.derive is not None
        self._shared = sources or Sources(log)
        self._work = work
        self._stream = work.stream
        self._derivation = work.stream.derive
        self._slice = (0, 1) if work.lane is None else (work.lane, LANES)
        self._definitions = definitions
        self._log = log
        self._clock = clock
        self._say = say
        self._target = Target(work, definitions, clock, lambda what: say(f"{self.told}: {what}"))
        self._bounds = bounds
        self._silent_until: dict[TopicPartition, float] = {}
        """When partitions that were behind, and gave nothing, are asked before the others again."""
        self._looked = 0.0
        self.read = 0
        """Records of its sources, without those that were read again."""
        self.replayed = 0
        self.stored = 0
        """Rows."""

    @property
    def told(self) -> str:
        """How messages call it."""
        lane = self._work.lane
        return self._stream.name if lane is None else f"{self._stream.name}, lane {lane}"

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
                self._say(f"{self.told}: {error}; trying again in {delay:g} s")
                await _rest(stop, delay)
                delay = min(2 * delay, LONGEST_DELAY)

    async def _run_once(self, stop: asyncio.Event) -> None:
        found = await self._sources(stop)
        if found is None:
            return
        await self._target.create(self._log, found.first, found.partitions)
        writer = await self._log.writer(self._work.name)
        try:
            position = await self._position(writer)
            places = await self._places(found, position)
            engine = self._engine(found.partitions)
            engine.begin(Position(places, found.identities, BEGINNING if position is None else position.low))
            await self._replay(engine, places, stop)
            engine.resume()
            follower = self._shared.follower()
            try:
                follower.add({place: at.next for place, at in places.items()}, found.identities)
                self._looked = self._clock.monotonic()
                while not stop.is_set() and await self._are_same(found):
                    await self._step(engine, follower, writer, found)
            finally:
                await follower.close()
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
            places = [
                TopicPartition(topic, number)
                for topic, state in known.items()
                for number in range(state.partitions)
                if self._work.holds(number)
            ]
            if places and not missing:
                identities = {topic: known[topic].identity for topic in topics}
                return _Found(places, identities, known[topics[0]].partitions)
            if missing and not told:
                self._say(f"{self.told}: waiting for the topic {missing[0]}")
                told = True
            await _rest(stop, POLL)
        return None

    async def _are_same(self, found: _Found) -> bool:
        """Whether the sources are still the topics that they were, with as many partitions. Looks now and then."""
        now = self._clock.monotonic()
        if now - self._looked < LOOK:
            return True
        self._looked = now
        states = await self._log.describe(found.identities)
        if not all(isinstance(state, TopicState) for state in states.values()):
            return True  # It tells nothing of them for now; whoever reads notices what is gone.
        known = {topic: state for topic, state in states.items() if isinstance(state, TopicState)}
        counts = Counter(place.topic for place in found.partitions)
        return known.keys() == found.identities.keys() and all(
            state.identity == found.identities[topic]
            and sum(map(self._work.holds, range(state.partitions))) == counts[topic]
            for topic, state in known.items()
        )

    async def _position(self, writer: LogWriter) -> Position | None:
        """Where it was, by the writer's position. A lane that has none yet goes on where the whole stream was."""
        if writer.position is not None:
            return decode(writer.position, self._derivation, *self._slice)
        if self._work.lane is None:
            return None
        whole = await self._log.writer(whole_name(self._stream))
        try:
            stored = whole.position
            if not is_divided(stored):
                stored = divided(stored, self._derivation)
                await whole.append([], stored)
        except WriterFenced as error:
            raise LogUnavailable(f"another lane begins at the same time: {error}") from error
        finally:
            await whole.close()
        position = before_lanes(stored or b"", self._derivation)
        own = {place: at for place, at in position.partitions.items() if self._work.holds(place.partition)}
        return Position(own, position.identities, position.low) if own else None

    async def _places(self, found: _Found, position: Position | None) -> dict[TopicPartition, PartitionPosition]:
        """Where to begin in each partition. A partition that is new, or whose topic was created again, begins with its
        first record."""
        bounds = demand(await self._log.bounds(found.partitions))
        places = {place: PartitionPosition(at.start, at.start, BEGINNING) for place, at in bounds.items()}
        if position is None:
            return await self._begin(places)
        length = 0
        for place, at in position.partitions.items():
            if place not in bounds:
                continue
            if position.identities.get(place.topic) != found.identities[place.topic]:
                self._say(f"{self.told}: the topic {place.topic} is another one; it is read from its beginning")
                continue
            if at.next > bounds[place].end:
                raise ReplayTooLong(
                    f"{place.topic}, partition {place.partition}, ends at offset {bounds[place].end}, and was read up "
                    f"to {at.next}: the log has lost records; another version derives them again"
                )
            if at.since < bounds[place].start and at.newest != BEGINNING:
                self._say(
                    f"{self.told}: {place.topic}, partition {place.partition}, begins at offset "
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
        self, engine: Engine, places: Mapping[TopicPartition, PartitionPosition], stop: asyncio.Event
    ) -> None:
        """Read again what was read before, up to where that was."""
        left = {place: at.next for place, at in places.items() if at.since < at.next}
        if not left:
            return
        reader = await self._log.reader({place: places[place].since for place in left})
        try:
            while left and not stop.is_set():
                wanted = engine.furthest_behind(left) if engine.held > MUCH else list(left)
                for batch in _granted(await reader.fetch(WAIT, BATCH_RECORDS, wanted)):
                    end = left[batch.partition]
                    records = [(record, event_of(record)) for record in batch.records if record.offset < end]
                    engine.take(batch.partition, records, min(batch.position, end))
                    self.replayed += len(records)
                    telemetry.derive_replayed(self._stream.name, len(records))
                    if batch.position >= end:
                        del left[batch.partition]
                    engine.forget()
        finally:
            await reader.close()

    async def _step(self, engine: Engine, follower: Follower, writer: LogWriter, found: _Found) -> None:
        """What has come, and one append for it."""
        parts = _granted(await self._fetch(engine, follower, found.partitions))
        for part in parts:
            engine.take(part.partition, part.records, part.position)
        results = engine.results
        if not parts:
            telemetry.derive_lag(self._stream.name, 0.0, self._work.lane)
            if not (results.rows or results.refused):
                return
        made = self._target.records(results, engine.canary())
        await writer.append(made, encode(engine.position(found.identities), self._derivation, *self._slice))
        self.read += sum(len(part.records) for part in parts)
        self.stored += len(results.rows)
        self._measure(parts, results)
        telemetry.derive_held_back(self._stream.name, engine.held_back / 1000)
        engine.forget()

    async def _fetch(
        self, engine: Engine, follower: Follower, partitions: Sequence[TopicPartition]
    ) -> list[Part | Refusal]:
        """What has come. If much waits for partitions that are behind, those come first: else all events of a source
        could be waiting, before the stream that they are looked up in is read."""
        found = await self._fetch_behind(engine, follower, partitions) if engine.held > MUCH else []
        return found or await follower.fetch(WAIT)

    async def _fetch_behind(
        self, engine: Engine, follower: Follower, partitions: Sequence[TopicPartition]
    ) -> list[Part | Refusal]:
        """What has come in the partitions that are furthest behind, or else in others that are behind. One that was
        silent is not waited for each time: it might be the furthest behind for ever."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        behind = engine.behind(one for one in partitions if self._silent_until.get(one, now) <= now)
        furthest = engine.furthest_behind(behind)
        for some in (furthest, [one for one in behind if one not in furthest]):
            if not some:
                continue
            found = await follower.fetch(CATCH_UP_SECONDS, partitions=some)
            if found:
                return found
            self._silent_until |= dict.fromkeys(some, loop.time() + REST_SECONDS)
        return []

    def _measure(self, parts: Sequence[Part], results: Results) -> None:
        """What was stored, and how far it is behind."""
        late = sum(one.kind == "late" for one in results.refused)
        telemetry.derive_stored(self._stream.name, len(results.rows), late, len(results.refused) - late)
        newest = [part.records[-1][0].timestamp for part in parts if part.records]
        if newest:
            telemetry.derive_lag(self._stream.name, max(0.0, (self._clock.now() - min(newest)) / 1000), self._work.lane)


def demand_offsets(answers: Mapping[TopicPartition, object]) -> dict[TopicPartition, int | None]:
    """The offsets that were found; raises Refused."""
    refuse({place: answer for place, answer in answers.items() if isinstance(answer, Trouble)})
    return {place: answer if isinstance(answer, int) else None for place, answer in answers.items()}


def _granted(fetched: Sequence[Found | Refusal]) -> list[Found]:
    """What was fetched; a partition that cannot be read holds all others back, and is tried again with them."""
    found: list[Found] = []
    for one in fetched:
        if isinstance(one, Refusal):
            raise LogUnavailable(f"{one.partition.topic}, partition {one.partition.partition}: {one.trouble}")
        found.append(one)
    return found


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()

"""Builds a view: reads its topic from the position in its store, and stores what follows.

A view whose definition has changed is built beside the old one, which continues until the new one has caught up.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from gateway.catalog.view import View
from gateway.clock import Clock
from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.port import Batch, Bounds, EventLog, LogReader, TopicState
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import TopicPartition
from gateway.observability import telemetry
from gateway.state.files import node_of, others, path_of, remove, stand_ins
from gateway.state.place import Place, Places
from gateway.state.store import Read, Store, TooManyKeys

BATCH_RECORDS = 1000
WAIT = 1.0
"""Seconds that a fetch waits for records."""
SURVEY_SECONDS = 5.0
"""So often it is looked for new partitions, for those that could not be read, and for history to forget."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LOCK_SECONDS = 1.0
"""Between two tries to be the one that writes a store."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Rebuild(Exception):
    """The log is not the one that the store was made of, or the store is gone: the view is built anew."""


async def keep_building(
    view: View, log: EventLog, directory: Path, most_keys: int, clock: Clock, stop: asyncio.Event
) -> None:
    """Build a view until `stop` is set. `log` is open. What cannot continue is restarted after a pause."""
    telemetry.view_begins(view.name)
    aside: list[asyncio.Task[None]] = []
    done = asyncio.Event()

    async def replace() -> None:
        """Once the view has caught up, those of other definitions are of no use."""
        done.set()
        await asyncio.gather(*aside, return_exceptions=True)
        for path in others(directory, view):
            remove(path)

    try:
        for state, path in stand_ins(directory, view):
            old = Builder(state.view, log, path, most_keys, clock)
            aside.append(asyncio.create_task(old.keep(done)))
        await Builder(view, log, path_of(directory, view), most_keys, clock, replace).keep(stop)
    finally:
        done.set()
        await asyncio.gather(*aside, return_exceptions=True)
        telemetry.view_ends(view.name)


class Builder:
    """Builds one file."""

    def __init__(
        self,
        view: View,
        log: EventLog,
        path: Path,
        most_keys: int,
        clock: Clock,
        on_ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._view = view
        self._log = log
        self._most_keys = most_keys
        self._clock = clock
        self._path = path
        self._on_ready = on_ready
        self._sick: set[int] = set()
        self._node: int | None = None
        self._targets: dict[int, int] | None = {}
        """What has to be read for the view to have caught up; None once it has."""
        self.places: Places = {}

    async def keep(self, stop: asyncio.Event) -> None:
        """Build until `stop` is set, whatever fails meanwhile."""
        pause = FIRST_PAUSE
        while not stop.is_set():
            before = dict(self.places)
            try:
                async with self._alone(stop) as is_alone:
                    if is_alone:
                        await self._build(stop)
            except Rebuild as error:
                telemetry.view_says(self._view.name, f"{error}; it is built anew")
                remove(self._path)
            except TooManyKeys as error:
                telemetry.view_says(self._view.name, f"it has stopped: {error}")
                await stop.wait()
            except Exception as error:
                if not isinstance(error, LogError | sqlite3.Error | OSError):
                    telemetry.mistake("views", error)
                pause = FIRST_PAUSE if self.places != before else pause
                telemetry.view_halted(self._view.name, str(error) or type(error).__name__, pause)
                await _rest(stop, pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    @asynccontextmanager
    async def _alone(self, stop: asyncio.Event) -> AsyncIterator[bool]:
        """Be the only one on this machine that writes the file; False where it is stopped before. The lock ends with
        the process."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            while not stop.is_set():
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await _rest(stop, LOCK_SECONDS)
                else:
                    yield True
                    return
            yield False
        finally:
            os.close(file)

    async def _build(self, stop: asyncio.Event) -> None:
        topic = await self._topic(stop)
        if topic is None:
            return
        store = await _in_thread(Store, self._path, self._view)
        self._node = node_of(self._path)
        try:
            if (await _in_thread(lambda: store.identity)) not in (None, topic.identity):
                raise Rebuild(f"the topic {self._view.topic} is another one")
            bounds = await self._bounds(range(topic.partitions))
            begin = {number: Place(at.start, at.start - 1) for number, at in bounds.items()}
            self.places = await _in_thread(store.begin, begin, topic.identity, self._clock.now())
            telemetry.view_stored(self._view.name, 0, 0, await _in_thread(lambda: store.keys))
            self._targets = {number: at.end for number, at in bounds.items()}
            reader = await self._log.reader({})
            try:
                await self._add(reader, bounds)
                await self._read(store, reader, topic.identity, stop)
            finally:
                await reader.close()
        finally:
            store.close()

    async def _topic(self, stop: asyncio.Event) -> TopicState | None:
        """The topic, once it is there. Raises LogError where the events of a key may be anywhere in it."""
        told = False
        while not stop.is_set():
            found = await self._describe()
            if found is not None:
                return found
            if not told:
                telemetry.view_says(self._view.name, f"waiting for the topic {self._view.topic}")
                told = True
            await _rest(stop, SURVEY_SECONDS)
        return None

    async def _describe(self) -> TopicState | None:
        topic = self._view.topic
        found = (await self._log.describe([topic])).get(topic)
        if isinstance(found, Trouble):
            raise LogUnavailable(str(found))
        if found is not None and found.partitions > 1 and not self._view.determined:
            raise LogUnavailable(
                f"{topic} has {found.partitions} partitions, and the events of a key may be in several of them: the "
                "key has to name the stream's message_key_fields"
            )
        return found

    async def _bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        """Of those that can be read."""
        numbers = [TopicPartition(self._view.topic, number) for number in partitions]
        found: dict[int, Bounds] = {}
        for partition, answer in (await self._log.bounds(numbers)).items():
            if isinstance(answer, Trouble):
                self._sick.add(partition.partition)
            else:
                found[partition.partition] = answer
        return found

    async def _add(self, reader: LogReader, bounds: Mapping[int, Bounds]) -> None:
        """Read these partitions too. Raises Rebuild where the log is shorter than what was read of it."""
        positions: dict[TopicPartition, int] = {}
        for number, at in bounds.items():
            place = self.places.get(number, Place(at.start))
            if place.next > at.end:
                raise Rebuild(f"partition {number} ends at {at.end}, and was read up to {place.next}")
            if place.next < at.start and place.offset >= 0:
                telemetry.view_lost(self._view.name, at.start - place.next, f"partition {number}, from {place.next}")
            positions[TopicPartition(self._view.topic, number)] = max(place.next, at.start)
        self._sick.difference_update(bounds)
        await reader.add(positions)

    async def _read(self, store: Store, reader: LogReader, identity: str, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        surveyed, known = loop.time(), {*self.places} | self._sick
        while not stop.is_set():
            await self._check_ready(store)
            batches = self._batches(await reader.fetch(WAIT, BATCH_RECORDS))
            if batches:
                await self._apply(store, batches, stop)
            else:
                telemetry.view_lag(self._view.name, 0.0)
            if loop.time() - surveyed >= SURVEY_SECONDS:
                surveyed = loop.time()
                known |= await self._survey(reader, identity, known)
                await self._forget(store)

    def _batches(self, fetched: list[Batch | Refusal]) -> list[Batch]:
        found: list[Batch] = []
        for one in fetched:
            if isinstance(one, Refusal):
                if one.trouble.kind is Kind.CUT:
                    raise Rebuild(str(one.trouble))
                self._sick.add(one.partition.partition)
                telemetry.view_says(self._view.name, f"partition {one.partition.partition}: {one.trouble}")
            else:
                found.append(one)
        return found

    async def _apply(self, store: Store, batches: list[Batch], stop: asyncio.Event) -> None:
        rest: list[Read] = [(batch.partition.partition, batch.records, batch.position) for batch in batches]
        while rest and not stop.is_set():
            try:
                applied = await _in_thread(store.apply, self.places, rest, self._most_keys)
            except TooManyKeys as error:
                await _in_thread(store.say, None, str(error))
                raise
            self.places, rest = applied.places, applied.rest
            telemetry.view_stored(self._view.name, applied.changes, sum(applied.passed.values()), applied.keys)
        newest = max((batch.records[-1].timestamp for batch in batches if batch.records), default=None)
        if newest is not None:
            telemetry.view_lag(self._view.name, max(0.0, (self._clock.now() - newest) / 1000))

    async def _check_ready(self, store: Store) -> None:
        if self._targets is None or any(
            number not in self._sick and self.places.get(number, Place(0)).next < end
            for number, end in self._targets.items()
        ):
            return
        self._targets = None
        await _in_thread(store.say, True)
        if self._on_ready is not None:
            await self._on_ready()

    async def _survey(self, reader: LogReader, identity: str, known: set[int]) -> set[int]:
        """Take up partitions that are new, or can be read again; those that are new. Raises Rebuild."""
        if node_of(self._path) != self._node:
            raise Rebuild("its file was taken away")
        found = await self._describe()
        if found is None or found.identity != identity:
            raise Rebuild(f"the topic {self._view.topic} was deleted or created again")
        new = set(range(found.partitions)) - known
        if wanted := new | self._sick:
            await self._add(reader, await self._bounds(sorted(wanted)))
        return new

    async def _forget(self, store: Store) -> None:
        history = self._view.history
        time = None if history is None else self._clock.now() - history
        starts: dict[int, int] = {}
        if time is None:
            starts = {number: at.start for number, at in (await self._bounds(sorted(self.places))).items()}
        more = True
        while more:
            more = await _in_thread(store.forget, time, starts)


async def _in_thread(
    call: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs
) -> Result:
    """The result of a call that blocks. One that is cancelled meanwhile has ended before this does."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()

"""A rule at work: reads its events, tries each, and stores what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway.catalog.catalog import Catalog
from gateway.clock import Clock
from gateway.derive.engine import Event
from gateway.derive.sources import Sources
from gateway.errors import BadRecord, LogError, WriterFenced
from gateway.eventlog.port import EventLog, LogWriter
from gateway.intake.validate import InvalidEvent
from gateway.limits.rates import spend
from gateway.model.record import NewRecord, Record
from gateway.observability import telemetry
from gateway.rules.attempt import Answer, Sender, Verdict, judge
from gateway.rules.commits import Commits, Finished, PositionMoved
from gateway.rules.dead import Dead, dead_record
from gateway.rules.lane import STREAM, Item, Lane
from gateway.rules.reading import Reading, read_all
from gateway.rules.rule import Produce, Rule, replay_topic, retry_topic, writer_name
from gateway.rules.template import Unfillable
from gateway.rules.tries import Tries, as_in_stream, first_tries, tries_of, with_tries
from gateway.rules.window import Place, Window, decode_position, encode_position
from gateway.rules.work import Work
from gateway.schemas.repository import SchemaRepository

ROOM_EVENTS = 1_000
ROOM_BYTES = 16 * 1024 * 1024
"""Events in hand, and bytes of them: those of the streams, and as many again of the rule's own topics."""
MOST_UNSTORED = 250
"""Outcomes that the log does not have yet; with more, no try begins. A process that is killed repeats at most these,
and the tries under way."""
FOLLOWS = 100
"""Events that are put behind others in one go; then the loop is left to others."""
DRAIN_SECONDS = 10.0
"""At a stop, requests that are under way have so long to be answered."""
LOOK_SECONDS = 1.0
"""So often the clock is looked at by what waits for a time of day."""
LONGEST_PAUSE = 30.0
"""Seconds between two beginnings of a rule that fails."""


class Room:
    """For so many events, and bytes of them; one that is larger than all of it has it alone."""

    def __init__(self, events: int, size: int) -> None:
        self._most = events, size
        self.events = self._size = 0
        self._freed = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Wait until there is room."""
        while self.events and (self.events >= self._most[0] or self._size + size > self._most[1]):
            self._freed.clear()
            await self._freed.wait()
        self.events += 1
        self._size += size

    def leave(self, size: int) -> None:
        """Make room again."""
        self.events -= 1
        self._size -= size
        self._freed.set()


class Means(NamedTuple):
    """What a rule works with."""

    log: EventLog
    catalog: Catalog
    schemas: SchemaRepository
    sender: Sender
    clock: Clock
    sources: Sources
    """Read together with all that is derived in this process."""


class Runner:
    """One rule, in one process; the newest process that runs it has it for itself."""

    def __init__(self, rule: Rule, means: Means) -> None:
        self._rule = rule
        self._means = means
        self._work = Work(rule, means.catalog, means.schemas)
        self._streams = [topic for name in rule.sources for topic in means.catalog.streams[name].topics]
        self._begin()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises WriterFenced where another process has taken the rule over."""
        pause = 0.5
        while not stop.is_set():
            try:
                await self._run(stop)
                return
            except WriterFenced:
                raise
            except (LogError, PositionMoved) as error:
                telemetry.rule_waits(self._rule.name, str(error))
            finally:
                await self._end()
            await wait_for(stop, pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            self._begin()

    def _begin(self) -> None:
        """As if nothing were known."""
        rule = self._rule
        self._lane = Lane(rule.concurrency, rule.ordered and bool(rule.policy.delays))
        self._rooms = Room(ROOM_EVENTS, ROOM_BYTES), Room(ROOM_EVENTS, ROOM_BYTES)
        self._readings: list[Reading] = []
        self._commits = Commits(rule.name, self._writer, self._position, self._stored)
        self._in_hand: dict[Item, None] = {}
        """Events of the streams that were taken up, the oldest first."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()
        self._due = 0.0
        self._paused = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False

    async def _run(self, stop: asyncio.Event) -> None:
        places = decode_position(await self._commits.open())
        delays = self._delays(places)
        means = self._means
        read = partial(Reading, self._rule.name, means.log, since=means.clock.now())
        self._readings = [read(self._streams, partial(self._take, STREAM, 0), sources=means.sources)]
        for topic, (level, delay) in delays.items():
            self._readings.append(read([topic], partial(self._take, level, delay)))
        for reading in self._readings:
            reading.restore(places)
            await reading.prepare()
        # What is done at a start holds from now on: a new rule is about what comes after it.
        await self._commits.flush()
        if self._rule.ordered:
            await self._recall(delays)
        working = [asyncio.create_task(reading.run()) for reading in self._readings]
        working += [asyncio.create_task(self._commits.run()), asyncio.create_task(self._measure())]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*working, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping = True
            await _cancel([*working, stopped])
        for task in working:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        await _cancel(self._tasks)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._commits.flush()
        except TimeoutError:
            telemetry.rule_waits(self._rule.name, "the log did not take the last position")

    async def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await _cancel(self._tasks)
        await self._commits.close()

    def _delays(self, places: Collection[Place]) -> dict[str, tuple[int, int]]:
        """The rule's own topics, the level of each and its delay: also those of delays that the rule had before, for
        as long as there is something in them."""
        name, delays = self._rule.name, self._rule.policy.delays
        found = {retry_topic(name, delay): (level, delay) for level, delay in enumerate(delays)}
        found[replay_topic(name)] = (STREAM, 0)
        for place in places:
            if place.topic not in found and place.topic.startswith(f"{name}.retry-"):
                found[place.topic] = (max(0, len(delays) - 1), 0)
        return found

    async def _writer(self) -> LogWriter:
        log, rule = self._means.log, self._rule
        target = self._means.catalog.streams[rule.dead_stream]
        made = [self._means.catalog.streams[one.stream] for one in rule.actions if isinstance(one, Produce)]
        for stream in (target, *made):
            await log.create(stream.topics[0], stream.partitions, stream.retention)
        for topic in (replay_topic(rule.name), *(retry_topic(rule.name, one) for one in rule.policy.delays)):
            await log.create(topic)
        return await log.writer(writer_name(rule.name))

    def _position(self) -> bytes:
        """How far all is settled."""
        return encode_position([place for reading in self._readings for place in reading.places()])

    async def _measure(self) -> None:
        """Tell for ever how far the rule is behind, also while an append waits for the log."""
        while True:
            oldest = next((item.record.timestamp for item in self._in_hand), -1)
            lag = (self._means.clock.now() - oldest) / 1000 if oldest >= 0 else 0.0
            telemetry.rule_lag(self._rule.name, max(0.0, lag))
            await asyncio.sleep(LOOK_SECONDS)

    async def _recall(self, delays: dict[str, tuple[int, int]]) -> None:
        """Which events of which keys wait in the rule's topics."""
        found: list[tuple[bytes, int, int]] = []

        def note(record: Record) -> None:
            tries = tries_of(record)
            if tries is None or not tries.sequence:
                return
            origin = as_in_stream(record, tries)
            try:
                event = self._work.event(origin)
            except BadRecord:
                return
            key = None if event is None else self._work.key(event, origin)
            if key is not None:
                found.append((key, tries.sequence, delays[record.topic][0]))

        await read_all(self._means.log, [one for reading in self._readings[1:] for one in reading.places()], note)
        self._lane.recall(found)

    # Events in.

    async def _take(self, level: int, delay: int, record: Record, event: Event, window: Window) -> None:
        """One record of a stream, with what it holds, or of one of the rule's own topics, where it waits until its
        delay is over."""
        if not window.begin(record.offset):
            return
        own = record.topic not in self._streams
        tries = tries_of(record) if own else first_tries(self._rule.name, record)
        item = None if tries is None else self._item(record, event, window, tries, level)
        if item is None:
            window.settle(record.offset)
            return
        if delay:
            await self._sleep_until(min(record.timestamp, self._means.clock.now()) + delay)
        await self._rooms[own].enter(item.size)
        while not own and self._lane.is_full:
            self._emptied.clear()
            await self._emptied.wait()
        if not own:
            self._in_hand[item] = None
        self._lane.take(item)
        self._pump()

    async def _sleep_until(self, time: int) -> None:
        """Wait for a time of day, also where the clock is set meanwhile."""
        while (left := (time - self._means.clock.now()) / 1000) > 0:  # noqa: ASYNC110  # no event tells of a clock
            await asyncio.sleep(min(left, LOOK_SECONDS))

    def _item(self, record: Record, found: Event, window: Window, tries: Tries, level: int) -> Item | None:
        """The event, where the rule is about it."""
        origin = as_in_stream(record, tries)
        try:
            event = self._work.event(origin, found)
        except BadRecord as error:
            telemetry.rule_bad(self._rule.name, record.topic, record.offset, str(error))
            return None
        if event is None:
            return None
        size = len(record.value or b"") + len(record.key or b"")
        return Item(record, event, window, tries, self._work.key(event, origin), level, size)

    def _pump(self) -> None:
        """Begin what can be begun."""
        followed = 0
        while not self._stopping and self._commits.unstored < MOST_UNSTORED and (step := self._lane.next()):
            if step.kind == "follow":
                self._follow(step.item, step.level)
                followed += 1
                if followed >= FOLLOWS:
                    self._wake(0)
                    return
                continue
            wait = self._wait()
            if wait > 0:
                self._lane.put_back(step.item)
                self._wake(wait)
                return
            task = asyncio.create_task(self._try(step.item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _wake(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._pump)

    def _wait(self) -> float:
        """Seconds until another try may begin; where there are none, one is counted."""
        now = self._means.clock.monotonic()
        if now < self._paused:
            return self._paused - now
        if self._rule.limit.limited:
            spent = spend(self._rule.limit, self._due, now, 1)
            self._due = spent.due
            return spent.wait
        return 0.0

    # What becomes of them.

    def _follow(self, item: Item, level: int) -> None:
        number = self._lane.follow(item, level)
        first = item.tries.first or self._means.clock.now()
        tries = replace(item.tries, sequence=number, first=first)
        self._finish(Finished(item, [self._later(item, tries, level)], partial(self._dead, item, tries)))

    async def _try(self, item: Item) -> None:
        """One try. Never raises but for a cancellation: no event ends the work on the others."""
        produced: list[tuple[str, NewRecord]] = []
        tries = item.tries
        try:
            tries, verdict, answer = await self._attempt(item, produced)
        except Exception as error:
            telemetry.mistake("rules", error)
            verdict, answer = Verdict("dead", reason="the gateway made a mistake"), Answer(None)
        if verdict.pause:
            self._paused = max(self._paused, self._means.clock.monotonic() + verdict.pause / 1000)
        smaller: Callable[[str], list[tuple[str, NewRecord]]] | None = None
        if verdict.kind == "retry":
            number = self._lane.retry(item, verdict.delay)
            tries = replace(tries, sequence=number, told=answer.told)
            produced.append(self._later(item, tries, verdict.delay))
            smaller = partial(self._dead, item, tries)
        else:
            self._lane.done(item)
        if verdict.kind == "dead":
            dead = Dead(verdict.reason, answer.status, answer.body)
            produced += self._dead_of(item, tries, dead)
            smaller = partial(self._dead, item, tries)
        self._finish(Finished(item, produced, smaller))
        self._pump()

    async def _attempt(self, item: Item, produced: list[tuple[str, NewRecord]]) -> tuple[Tries, Verdict, Answer]:
        """Do what is left to be done, up to what fails; the events that come of it go into `produced`."""
        origin = as_in_stream(item.record, item.tries)
        clock, rule = self._means.clock, self._rule
        tries = replace(item.tries, first=item.tries.first or clock.now())
        verdict, answer = Verdict("done"), Answer(None)
        while tries.action < len(self._work.actions):
            _, prepare, make = self._work.actions[tries.action]
            tries = replace(tries, tries=tries.tries + 1)
            try:
                if prepare is not None:
                    answer = await self._means.sender.send(prepare(item.event, origin, tries))
                    verdict = judge(answer, tries.tries, tries.first, clock.now(), rule.policy)
                elif make is not None:
                    produced.append(make(item.event, origin, tries, clock.now()))
                    verdict = Verdict("done")
            except (Unfillable, InvalidEvent) as error:
                answer, verdict = Answer(None), Verdict("dead", reason=str(error))
            telemetry.rule_requests(rule.name, verdict.kind)
            if verdict.kind in ("retry", "dead"):
                return tries, verdict, answer
            tries = replace(tries, tries=0, action=tries.action + 1, told="")
        return tries, verdict, answer

    def _later(self, item: Item, tries: Tries, level: int) -> tuple[str, NewRecord]:
        return retry_topic(self._rule.name, self._rule.policy.delays[level]), with_tries(item.record, tries)

    def _dead(self, item: Item, tries: Tries, reason: str) -> list[tuple[str, NewRecord]]:
        """In the place of a record that the log does not take."""
        if item.key is not None and tries.sequence:
            self._lane.forget(item.key, tries.sequence)
        return self._dead_of(item, tries, Dead(f"it cannot be kept for another try: {reason}"), whole=False)

    def _dead_of(self, item: Item, tries: Tries, dead: Dead, whole: bool = True) -> list[tuple[str, NewRecord]]:
        means, rule = self._means, self._rule
        try:
            made = dead_record(
                item.record, item.event, tries, dead, rule.dead_stream,
                means.catalog, means.schemas, means.clock.now(), whole,
            )  # fmt: skip
        except InvalidEvent as error:
            telemetry.rule_lost(rule.name, f"{dead.reason}; the dead stream does not take it: {error}")
            return []
        telemetry.rule_dead(rule.name, dead.reason)
        return [made]

    def _finish(self, finished: Finished) -> None:
        self._commits.put(finished)
        self._emptied.set()

    def _stored(self, item: Item) -> None:
        own = item.record.topic not in self._streams
        self._in_hand.pop(item, None)
        self._rooms[own].leave(item.size)
        self._pump()


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel what is not done, and wait for its end."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


async def wait_for(stop: asyncio.Event, seconds: float) -> None:
    """Wait this long, or until `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()

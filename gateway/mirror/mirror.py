"""Copies an event stream from elsewhere into a stream of the log, each event once, even if a process is killed.

One task reads the source and another writes. While an append is under way, new events gather for the next one. The log
stores the position after the events in the same transaction. So the next process that opens the mirror resumes there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

from gateway.catalog.stream import Stream
from gateway.client import State, StreamEvent, Subscription, bare
from gateway.clock import Clock
from gateway.cooperative import give_way
from gateway.errors import InvalidPosition, LogError, LogUnavailable, Refused, TopicAbsent
from gateway.eventlog.port import EventLog, LogWriter, shown_identity
from gateway.mirror.meter import Meter
from gateway.mirror.record import Recorder, SourcePosition
from gateway.mirror.returns import MirrorsItself, Returns
from gateway.model.position import parse_position
from gateway.model.record import NewRecord
from gateway.text import counted

GATHERED_BYTES = 4 * 1024 * 1024
"""The source is not read while this many bytes wait to be written."""

APPEND_RECORDS, APPEND_BYTES = 1_000, 1024 * 1024
"""No more is put into one append. A log gives each the same time: a large one may fail as often as it is tried."""

POSITION_SECONDS = 5.0
"""A position that moved without events is stored not more often than this."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds before the log is tried again: at first, and at the most. Each is twice the one before, until it has stored
something."""

CLOSE_SECONDS = 10.0
"""How long the events that were read may take to be stored at the end."""

TOLD_ONCE = 20
"""The most kinds of foreign events of the source that are reported, each once."""
EXCERPT_BYTES = 500
"""The part of an event's data that is shown."""

RETURNED = (
    "events come again that were copied before, with the same meta.id: they are left out. Either the source has them "
    "twice, or mirrors form a circle, so that what this one writes comes back to its source"
)

Subscribe = Callable[[str, Callable[[State], None]], Subscription]
"""(position, on_state): a subscription to the source from this position on; from where it likes when it is empty."""


def default_name(url: str, stream: Stream) -> str:
    """The default name of the position: the stream, and the source without its query."""
    return f"mirror {stream.name} {bare(url)}"


class PositionMoved(Exception):
    """While the log was away, another mirror with this name was there, and stored something."""


class Gathered(NamedTuple):
    """Records that were read at once, their bytes, and the position of the source after them."""

    records: list[NewRecord]
    size: int
    position: SourcePosition


class Mirror:
    """One source into one stream. `name` is that of the position: a mirror that is started under the name of another
    takes over from it. `say` tells people what happens."""

    def __init__(
        self,
        stream: Stream,
        log: EventLog,
        name: str,
        subscribe: Subscribe,
        clock: Clock,
        meter: Meter,
        say: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stream = stream
        self._topic = stream.topics[0]
        self._log = log
        self._identity = ""
        """The identity of the log; empty if there is none."""
        self._name = name
        self._subscribe = subscribe
        self._clock = clock
        self._meter = meter
        self._say = say
        self._sleep = sleep
        self._writer: LogWriter | None = None
        self._gathered: deque[Gathered] = deque()
        """What is read and not stored, the oldest first."""
        self._size = 0
        self._position = SourcePosition()
        """Of all that is read."""
        self._stored = SourcePosition()
        self._stored_at = clock.monotonic()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._over = False
        self._told: set[str] = set()
        self._away = False
        self._pause = FIRST_PAUSE
        self._left = asyncio.Event()
        """Set at a stop: nothing is tried again any more."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until the source ends or `stop` is set; records read by then are stored. Raises ClientError for a
        lasting error of the source, also if it is the target itself. Raises WriterFenced when another mirror has
        taken over, and LogError."""
        stopped = asyncio.create_task(stop.wait())
        opening = asyncio.create_task(self._open())
        try:
            await asyncio.wait([stopped, opening], return_when=asyncio.FIRST_COMPLETED)
            while opening.done() and not stopped.done():
                opening.result()
                try:
                    await self._copy(stopped)
                    return
                except PositionMoved:
                    self._say("another mirror has written meanwhile; resuming after its position")
        finally:
            await _cancel([stopped, opening])
            await self._leave_writer()

    async def _copy(self, stopped: asyncio.Task[Any]) -> None:
        """From the position that is stored, until `stopped` is done or the source has ended."""
        self._position = self._stored
        self._gathered.clear()
        self._size, self._over = 0, False
        reading, writing = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        try:
            await asyncio.wait([stopped, reading, writing], return_when=asyncio.FIRST_COMPLETED)
            await _cancel([reading])
            self._over = True
            self._arrived.set()
            # Where the source has ended, what was read is stored, however long the log is away.
            await asyncio.wait([stopped, writing], return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                # What is read and not stored is read again by the next, from the position that is stored.
                self._left.set()
            await asyncio.wait([writing], timeout=CLOSE_SECONDS)
        finally:
            await _cancel([reading, writing])
        for task in (writing, reading):
            if not task.cancelled():
                task.result()

    # Reading.

    async def _read(self) -> None:
        if self._stored.events:
            self._say(f"resuming after {counted(self._stored.events, 'event')}")
        subscription = self._subscribe(self._stored.id, self._on_state)
        recorder = Recorder(self._stream, self._stored.id)
        returns = Returns()
        async with aclosing(subscription.batches()) as batches:
            async for batch in batches:
                events = [event for event in batch if event.event == "message"]
                if len(events) < len(batch):
                    self._tell_others(batch)
                if self._identity and subscription.log == self._identity:
                    self._check_topics(subscription.last_event_id)
                self._gather(events, recorder, returns, subscription.last_event_id)
                while self._size >= GATHERED_BYTES:
                    self._room.clear()
                    await self._room.wait()

    def _check_topics(self, position: str) -> None:
        """The source is read from the log that is written to: from other topics of it. Raises MirrorsItself."""
        try:
            named = any(place.topic == self._topic for place in parse_position(position))
        except InvalidPosition:
            return
        if named:
            raise MirrorsItself(
                f"the source is read from the topic {self._topic!r} of the same log, which is the one that "
                f"{self._stream.name} is written to: the mirror would copy its own copies"
            )

    def _gather(self, events: list[StreamEvent], recorder: Recorder, returns: Returns, position: str) -> None:
        now = self._clock.now()
        records: list[NewRecord] = []
        size = 0
        returns.begin_batch()
        for event in events:
            record, time = recorder.record(event, now)
            self._meter.note(time, now)
            if returns.has_returned(event.data, time):
                self._meter.returned += 1
                self._tell_once("returned", RETURNED)
                continue
            records.append(record)
            size += len(event.data)
            if len(records) >= APPEND_RECORDS or size >= APPEND_BYTES:
                self._reach(event.id, records, size)
                records, size = [], 0
        if not events:
            self._meter.idle()
        elif not position:
            self._tell_once("", "the source names no positions: what it sends while the mirror is away will be missing")
        self._reach(position, records, size)

    def _reach(self, position: str, records: list[NewRecord], size: int) -> None:
        """The source has been read up to here; these records, of so many bytes, are what is new."""
        self._position = SourcePosition(position, self._position.events + len(records))
        if records:
            self._gathered.append(Gathered(records, size, self._position))
            self._size += size
        self._arrived.set()

    def _tell_others(self, batch: list[StreamEvent]) -> None:
        """Report events that do not belong to the stream itself."""
        for event in batch:
            if event.event == "gap":
                self._meter.gaps += 1
                gone = "" if event.left_out else ", the source no longer has them"
                self._say(f"GAP: events are missing here{gone}: {excerpt(event.data)}")
            elif event.event != "message":
                self._tell_once(event.event, f"events called {event.event[:50]!r} are left out: {excerpt(event.data)}")

    def _tell_once(self, key: str, message: str) -> None:
        if key not in self._told and len(self._told) < TOLD_ONCE:
            self._told.add(key)
            self._say(message)

    def _on_state(self, state: State) -> None:
        if state.name == "waiting":
            self._say(f"no connection to the source; trying again in {state.wait:.1f} s: {state.reason}")
        elif state.name == "open":
            self._say("reading the source")
        self._meter.state = state.name

    # Writing.

    async def _write(self) -> None:
        while True:
            await give_way()
            await self._due()
            if self._position == self._stored:
                return
            records, position = self._take()
            if not await self._store(records, position):
                return

    def _take(self) -> tuple[list[NewRecord], SourcePosition]:
        """What to append next, and the position after it."""
        records: list[NewRecord] = []
        size, position = 0, self._position
        while self._gathered:
            oldest = self._gathered[0]
            if records and (len(records) + len(oldest.records) > APPEND_RECORDS or size + oldest.size > APPEND_BYTES):
                break
            self._gathered.popleft()
            records += oldest.records
            size += oldest.size
            position = oldest.position
        if not self._gathered:
            position = self._position
        self._size -= size
        self._room.set()
        return records, position

    async def _due(self) -> None:
        """Wait until there is something to store, or nothing more comes."""
        while not self._gathered and not self._over:
            self._arrived.clear()
            moved = self._position != self._stored
            left = self._stored_at + POSITION_SECONDS - self._clock.monotonic()
            if moved and (left <= 0 or not self._stored.id):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left if moved else None):
                    await self._arrived.wait()

    async def _store(self, records: list[NewRecord], position: SourcePosition) -> bool:
        """Append once, for as long as that takes; False where it is left alone. After a failure the log says itself
        whether it has the records."""
        while True:
            try:
                if self._writer is None:
                    before = self._stored
                    if not await self._open():
                        return False
                    if self._stored == position:
                        break
                    if self._stored != before:
                        raise PositionMoved
                assert self._writer is not None
                await self._writer.append([(self._topic, new) for new in records], position.encode())
                break
            except (LogUnavailable, TopicAbsent, Refused) as error:
                self._log_is_away(error)
                await self._leave_writer()
                if not await self._rest():
                    return False
        self._log_is_back()
        self._pause = FIRST_PAUSE
        self._stored = position
        self._stored_at = self._clock.monotonic()
        self._meter.stored(len(records))
        return True

    async def _rest(self) -> bool:
        """Wait before the log is tried again, longer each time; False where it is not to be tried any more."""
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        ways = [asyncio.ensure_future(self._sleep(pause)), asyncio.ensure_future(self._left.wait())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(ways)
        return not self._left.is_set()

    async def _open(self) -> bool:
        """Become the writer of the name, and learn the position of the one before. Waits for the log, and gives up
        (False) at a stop."""
        while True:
            try:
                await self._log.create(self._topic, self._stream.partitions, self._stream.retention)
                self._identity = shown_identity(await self._log.identity())
                self._writer = await self._log.writer(self._name)
                break
            except (LogUnavailable, Refused) as error:
                self._log_is_away(error)
                if not await self._rest():
                    return False
        self._stored = SourcePosition.decode(self._writer.position)
        self._log_is_back()
        return True

    def _log_is_away(self, error: LogError) -> None:
        if not self._away:
            self._say(f"waiting for the log: {error}")
        self._away = True

    def _log_is_back(self) -> None:
        if self._away:
            self._say("the log answers again")
        self._away = False

    async def _leave_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()


async def _cancel(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel what is not done, and wait for its end."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def excerpt(data: bytes) -> str:
    """The beginning of an event's data."""
    text = data[:EXCERPT_BYTES].decode(errors="replace")
    return text if len(data) <= EXCERPT_BYTES else text + "…"

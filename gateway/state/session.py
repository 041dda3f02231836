"""A session of a view: the async side of one client that follows it. It waits, reads from the store, and writes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from random import Random

import orjson

from gateway.catalog.view import View
from gateway.clock import Clock
from gateway.cooperative import give_way
from gateway.errors import MISTAKE, LogError, Problem
from gateway.feed.held import Held, Holding
from gateway.feed.packer import PLAIN, Gzip, Plain
from gateway.hub.hub import Hub
from gateway.model.position import DEFAULT_IDS, Ids
from gateway.model.record import TopicPartition
from gateway.observability import telemetry
from gateway.state.frames import ALL_KEYS, Frames, Range, Resumed, whole_groups
from gateway.state.key import read
from gateway.state.lookup import PAGE_BYTES, Forgotten, Lookup, State
from gateway.state.place import Place, Places, covers, cut_of
from gateway.state.resolving import places_of
from gateway.state.serving import Chunk, Serving, Views
from gateway.subscription.response_writer import WRITE_BYTES, Nobody, Sink
from gateway.subscription.seen import Counting
from gateway.subscription.session import UNKNOWN, Visitor
from gateway.times import iso_time
from gateway.wire.format import Format
from gateway.wire.sse import SSE

LOOKS = 2000
"""Keys that one read of the store looks at for a snapshot."""
ROWS = 500
CHANGES = 500
RETRY_SECONDS = 0.5
LOOK_SECONDS = 1.0
"""So often a session looks whether another file answers."""
BUILDING = b"the view is being built"
AGE_SPREAD, RETRY_SPREAD = (0.75, 1.0), (0.5, 1.5)
"""As streams do: those that began together end apart, and come back apart."""

Pace = Callable[[int], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class ViewServices:
    """What all sessions of a process share."""

    hub: Hub
    views: Views
    clock: Clock
    heartbeat: float
    retry: int
    longest: float = 0.0
    random: Random = field(default_factory=Random)
    counting: Counting = field(default_factory=Counting)
    held: Held = field(default_factory=Held)
    """The bytes that all sessions hold for their clients, those of streams too."""


@dataclass(frozen=True, slots=True)
class Following:
    """What a client has asked for."""

    view: View
    form: Format
    keys: Range = ALL_KEYS
    resumed: Resumed | None = None
    gzip: bool = False
    ids: Ids = DEFAULT_IDS


class ViewSession:
    """Carries one client from its first byte to its last: it begins, has its snapshot, and follows."""

    def __init__(
        self,
        services: ViewServices,
        following: Following,
        find: Callable[[], View | None],
        pace: Pace | None = None,
        visitor: Visitor = UNKNOWN,
    ) -> None:
        """`find` gives the view as it is declared now; None where there is none that the client may read."""
        self._services = services
        self._find = find
        self.following = following
        self.visitor = visitor
        self.since = services.clock.now()
        """When it was opened (ms)."""
        self._pace = pace
        self._holding = Holding(services.held)
        self._sink: Sink = Nobody()
        self._packer: Plain | Gzip = Gzip() if following.gzip else PLAIN
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written = services.clock.monotonic()
        self._resumed = following.resumed
        self._frames: Frames | None = None
        """None before the client has been told where it begins."""
        self._after: bytes | None = None
        self._is_ready = False
        """Whether the snapshot is behind the client; before, it has the rows up to `_after`."""
        self.is_live = False
        """Whether the client has been told all that there is."""
        self._has_caught_up = False
        """Whether that was so once: what comes before then is history, which is paced."""
        self._opened = self._greeted = False
        self._serving: Serving | None = None
        self.ends_at = inf
        """When the client has been here for long enough, on the clock for durations."""
        if services.longest:
            self.ends_at = services.clock.monotonic() + services.longest * services.random.uniform(*AGE_SPREAD)

    def stop(self) -> None:
        """End the response soon."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    @property
    def transport(self) -> object:
        """The connection, where it is known."""
        return self._sink.transport

    @property
    def identifier(self) -> bytes:
        """How far the client has come; empty before it has begun."""
        return b"" if self._frames is None else self._identifier(self._frames)

    @property
    def view(self) -> View:
        """The view as the client is told it, which a reload may change."""
        return self.following.view if self._frames is None else self._frames.view

    @property
    def next_offsets(self) -> dict[TopicPartition, int]:
        """What comes next of each partition, as far as the client has been told."""
        topic, places = self.view.topic, {} if self._frames is None else self._frames.places
        return {TopicPartition(topic, partition): place.next for partition, place in places.items()}

    @property
    def _over(self) -> bool:
        return self._sink.gone.done() or self._stopping.done()

    async def run(self, sink: Sink) -> None:
        """Serve until the client leaves or the process stops."""
        self._sink = self._holding.connection = sink
        telemetry.stream_opened()
        try:
            while not self._over:
                await self._serve()
                await give_way()
        except Exception as error:
            telemetry.stream_failed(error)
            document = orjson.dumps(Problem(500, "Internal error", MISTAKE).document())
            with suppress(Exception):
                await self._write(self._failure(document))
        else:
            await self._say_farewell()
        finally:
            with suppress(Exception):
                if not sink.gone.done():
                    await sink.write(self._packer.finish())
            self._holding.close()
            telemetry.stream_closed()

    def _failure(self, document: bytes) -> bytes:
        """An `error`. Before the client has begun no id is known: with none it keeps the one that it has."""
        form = self.following.form
        if self._frames is None and form is SSE:
            return b"event: error\ndata: %b\n\n" % document
        return form.notice(b"error", self.identifier, document)

    async def _say_farewell(self) -> None:
        services, frames = self._services, self._frames
        if frames is not None and not self._sink.gone.done():
            retry = round(services.retry * services.random.uniform(*RETRY_SPREAD))
            await self._write(self.following.form.farewell(self._identifier(frames), retry))

    def _identifier(self, frames: Frames) -> bytes:
        if self._is_ready:
            return frames.identifier
        return frames.within(None if self._after is None else read(self._after, frames.members))

    async def _serve(self) -> None:
        """Serve from one file until another answers, its history is gone, or it cannot be read."""
        view = self._find()
        if view is None:
            self.stop()  # It is not declared any more, or its stream is none for this client.
            return
        try:
            serving = await self._services.views.serving(view)
            if serving is None:
                await self._wait_for_first()
                return
            if self._serving is not None and serving is not self._serving:
                self._begin_again()
            self._serving = serving
            if self._frames is None:
                self._frames = await self._begin(serving)
            if self._frames is not None and not self._is_ready:
                await self._send_rows(serving, self._frames)
            if self._frames is not None and self._is_ready:
                await self._follow(serving, self._frames)
        except Forgotten:
            self._begin_again()
        except (LogError, sqlite3.Error, OSError):
            await self._greet()
            await self._rest(RETRY_SECONDS)
            await self._beat()
        finally:
            self._holding.release()

    def _begin_again(self) -> None:
        """What the client has leads nowhere: it is told everything anew."""
        self._resumed = Resumed({}, lost=True)
        self._frames, self._after = None, None
        self._is_ready = self.is_live = self._has_caught_up = False

    async def _wait_for_first(self) -> None:
        await self._greet()
        await self._rest(LOOK_SECONDS)
        await self._beat(BUILDING)

    async def _greet(self) -> None:
        """The first bytes come at once, also where there is no id to be named yet."""
        if not self._greeted and not self._opened:
            self._greeted = True
            await self._write(b": %b\n\n" % BUILDING if self.following.form is SSE else b"\n")

    # -- where it begins ------------------------------------------------------------------------------------------

    async def _begin(self, serving: Serving) -> Frames | None:
        """Tell the client where it begins; None where that is not known yet."""
        resumed, kind = self._resumed, b"snapshot"
        state = await self._state(serving)
        if resumed is not None and not resumed.lost:
            places = await places_of(self._services.hub, self._services.counting, resumed, state)
            if places is None:
                kind = b"reset"
            else:
                return await self._resume(serving, resumed, places, state)
        elif resumed is not None:
            kind = b"reset"
        frames = self._frames_of(state.view, state.places)
        self._resumed = None
        await self._open(frames.within(None))
        earliest = None if state.earliest is None else iso_time(state.earliest)
        await self._write(frames.snapshot(kind, earliest))
        return frames

    async def _resume(self, serving: Serving, resumed: Resumed, places: Places, state: State) -> Frames | None:
        cut = cut_of(places)
        if not covers(cut, state.horizon):
            raise Forgotten
        if resumed.within and not covers(cut_of(state.places), cut):
            # Another gateway is further: what it began to tell is not known here yet.
            await serving.wait(serving.mark, LOOK_SECONDS, self._sink.gone, self._stopping)
            await self._beat(BUILDING)
            return None
        frames = self._frames_of(state.view, places)
        frames.sent, self._after, self._is_ready = resumed.rows, resumed.after, not resumed.within
        await self._open(self._identifier(frames))
        return frames

    async def _state(self, serving: Serving) -> State:
        state = await serving.run(Lookup.state)
        if state is None:
            raise Forgotten
        return state

    def _frames_of(self, view: View, places: Places) -> Frames:
        hub = self._services.hub
        every = {partition.partition: Place(0) for partition in hub.partitions((view.topic,))} | places
        following = self.following
        by_timestamp = hub.by_timestamp.get(view.topic, False)
        return Frames(following.form, view, by_timestamp, every, following.keys, following.ids)

    async def _open(self, identifier: bytes) -> None:
        if not self._opened:
            self._opened = True
            await self._write(self.following.form.opening(identifier, self._services.retry))

    # -- the snapshot, and what follows ---------------------------------------------------------------------------

    async def _send_rows(self, serving: Serving, frames: Frames) -> None:
        keys = self.following.keys
        cut = cut_of(frames.places)
        while self._continues(serving):
            if not await self._reserve():
                return
            # An id may be of a client that asked for other keys.
            start, behind = keys.start, False
            if self._after is not None and self._after >= start:
                start, behind = self._after, True
            found, last = await serving.walk(Lookup.rows, cut, start, behind, keys.end, LOOKS, ROWS)
            await self._write(frames.rows(found))
            self._holding.release()
            if last is None:
                self._is_ready = True
                await self._write(frames.ready())
                return
            self._after = last
            await self._beat()

    async def _follow(self, serving: Serving, frames: Frames) -> None:
        seq = await serving.run(Lookup.before, cut_of(frames.places))
        complete = False
        while self._continues(serving):
            # What is new is made once for all; what came before is made for one.
            if not complete and not await self._reserve():
                return
            mark = serving.mark
            data, frames_places, seq, complete = await self._chunk(serving, frames, seq)
            frames.advance(frames_places)
            self.is_live = complete
            if data:
                await self._write(data)
            else:
                await self._beat()
            self._holding.release()
            if complete:
                self._has_caught_up = True
                await serving.wait(mark, self._idle_seconds(), self._sink.gone, self._stopping)
                if not await self._is_current(serving):
                    return
            await give_way()

    def _continues(self, serving: Serving) -> bool:
        """Whether more of this file may be told. A reload ends that for who may not read the stream any more."""
        return not self._over and not serving.retired and self._find() is not None

    async def _is_current(self, serving: Serving) -> bool:
        """Whether the client may still read the view, and this file answers for it."""
        view = self._find()
        return view is not None and await self._services.views.serving(view) is serving

    async def _chunk(self, serving: Serving, frames: Frames, seq: int) -> Chunk:
        """The next frames, which are made once for all who are at the same place."""
        key = (seq, serving.mark, frames.identifier, self.following.form.content_type, self.following.keys)
        known = serving.chunks.get(key)
        if known is not None:
            return known
        state, versions = await serving.run(Lookup.changes, seq, CHANGES)
        complete = not versions or versions[-1].seq == state.seq
        group = whole_groups(versions, complete)
        data = frames.follow(group)
        if complete:
            frames.advance(state.places)
        chunk = data, dict(frames.places), state.seq if complete else group[-1].seq, complete
        serving.chunks.put(key, chunk, len(data))
        return chunk

    # -- writing --------------------------------------------------------------------------------------------------

    def _idle_seconds(self) -> float:
        left = self._written + self._services.heartbeat - self._services.clock.monotonic()
        return max(0.001, min(left, LOOK_SECONDS))

    async def _beat(self, comment: bytes | None = None) -> None:
        """Send a heartbeat where nothing was sent for the heartbeat interval."""
        if self._services.clock.monotonic() - self._written < self._services.heartbeat:
            return
        if self._frames is not None:
            await self._write(self.following.form.heartbeat(self._identifier(self._frames), comment))
        else:
            await self._write(b"\n" if self.following.form is not SSE else b": %b\n\n" % (comment or BUILDING))

    async def _write(self, data: bytes) -> None:
        """Send frames. A client that reads history faster than it may is slowed."""
        if not data:
            return
        self._written = self._services.clock.monotonic()
        packed = self._packer.pack(data)
        for begin in range(0, len(packed), WRITE_BYTES):
            self._holding.count(len(packed) - begin)
            await self._sink.write(packed[begin : begin + WRITE_BYTES])
        self._holding.count()
        self._written = self._services.clock.monotonic()
        if self._pace is not None and not self._has_caught_up:
            await self._rest(await self._pace(len(data)))

    async def _reserve(self) -> bool:
        """Wait for room for a page. The client receives heartbeats meanwhile. False if the response ends before."""
        held = self._services.held
        room = held.take(self._holding, PAGE_BYTES)
        if room is None:
            return True
        kept = False
        try:
            ways: set[asyncio.Future[None]] = {room, self._sink.gone, self._stopping}
            while not room.done() and not self._over:
                await asyncio.wait(ways, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                held.press()
                await self._beat()
            kept = room.done() and not self._over
        finally:
            if not kept:
                held.withdraw(self._holding, PAGE_BYTES, room)
        return kept

    async def _rest(self, seconds: float) -> None:
        if seconds > 0:
            endings = {self._sink.gone, self._stopping}
            await asyncio.wait(endings, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

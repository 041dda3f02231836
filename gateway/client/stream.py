"""`subscribe`: the events of streams one by one. An event counts as processed when the next one is asked for."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpx

from gateway.client.advice import QueryWarning
from gateway.client.duplicates import Duplicates, RecentIds
from gateway.client.errors import EventsMissing, EventTooLarge
from gateway.client.event import Event
from gateway.client.frame import StreamEvent
from gateway.client.gap import TOO_LARGE, Gap, read_gap
from gateway.client.parser import MAXIMUM_EVENT_BYTES
from gateway.client.query import Time, make_query, stream_address
from gateway.client.stores import MemoryPositions, PositionStore
from gateway.client.subscription import State, Subscription, Token
from gateway.clock import Clock, SystemClock

STORE_SECONDS = 1.0
"""Between two times that the position is stored, where nothing else is said."""


def subscribe(
    url: str,
    streams: str | Sequence[str] | None = None,
    *,
    since: Time | None = None,
    until: Time | None = None,
    limit: int | None = None,
    filter: str | None = None,  # noqa: A002
    fields: str | Sequence[str] | None = None,
    canary: bool = False,
    last_event_id: str = "",
    store: PositionStore | None = None,
    store_seconds: float = STORE_SECONDS,
    auto_commit: bool = True,
    on_gap: Callable[[Gap], object] | None = None,
    on_state: Callable[[State], None] | None = None,
    on_warning: Callable[[QueryWarning], None] | None = None,
    recent_ids: RecentIds | None = None,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    idle_seconds: float | None = None,
    maximum_event_bytes: int = MAXIMUM_EVENT_BYTES,
    transport: httpx.AsyncBaseTransport | None = None,
) -> EventStream:
    """The events of `streams` on the server at `url`; without `streams`, those of the stream whose address `url` is.

        async with subscribe("http://127.0.0.1:8080", "wiki.change", since="10m", filter="!event.bot") as events:
            async for event in events:
                print(event.json["title"])

    since, until, limit, filter, fields, canary
        As in the URL; a server that does not know them leaves their work to the client. `limit` counts over
        all connections.
    last_event_id, store
        The position to go on after, and where it is kept. What the store holds goes before `last_event_id`, and this
        before `since`.
    auto_commit, store_seconds
        An event counts as processed when the next one is asked for; the position after it is stored within
        `store_seconds`, with 0 before the next event is handed over, and at the end. With `auto_commit=False`
        only `commit()` counts. Either way what was not processed comes again, and what was processed
        may, up to where the position was stored last: at least once.
    on_gap
        Called with each Gap; a coroutine is awaited. Without it EventsMissing is raised, after which the stream may be
        iterated on.
    on_state
        Called with what becomes of the connection. Without it a lost connection is logged.
    on_warning
        Called with each QueryWarning: a part of the query that the schemas of the streams exclude. Without it, it is
        a warning of Python (`warnings`).
    recent_ids
        Events whose `meta.id` was processed lately are left out, also by other subscriptions that share it. Those that
        a server repeats by their offset are left out always.
    token, headers
        A bearer token (RFC 6750), or a function that gives one for each connection; headers of one's own.
    idle_seconds
        Silence after which a connection counts as lost: without it three of the heartbeats that the server says it
        sends, or 45 s where it says nothing.
    maximum_event_bytes
        The largest event that is read. One that is larger is left out, and told as a Gap of reason `too_large`, where
        nobody takes gaps as EventTooLarge; the stream goes on behind it.
    transport
        How requests are sent, as in httpx.AsyncHTTPTransport(verify=…).

    Raises InvalidQuery. The connection is made when the first event is asked for, and again, with growing waits,
    whenever it is lost.
    """
    clock = SystemClock()
    query = make_query(clock.now(), since, until, limit, filter, fields, canary)
    subscription = Subscription(
        url if streams is None else stream_address(url, streams),
        query,
        last_event_id=last_event_id,
        on_state=on_state,
        on_warning=on_warning,
        transport=transport,
        idle_seconds=idle_seconds,
        maximum_event_bytes=maximum_event_bytes,
        token=token,
        headers=headers,
        duplicates=Duplicates(recent=recent_ids),
    )
    return EventStream(
        subscription, store=store, store_seconds=store_seconds, auto_commit=auto_commit, on_gap=on_gap, clock=clock
    )


class EventStream:
    """Events of a subscription, one after the other.

    Whoever is cancelled while waiting for an event loses none: iterate on. After an error likewise; it goes on where it
    was. Leaving the block, or `aclose()`, closes the connection at once.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        store: PositionStore | None = None,
        store_seconds: float = STORE_SECONDS,
        auto_commit: bool = True,
        on_gap: Callable[[Gap], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._subscription = subscription
        self._store: PositionStore = MemoryPositions() if store is None else store
        self._store_seconds = store_seconds
        self._auto_commit = auto_commit
        self._on_gap = on_gap
        self._clock = clock or SystemClock()
        self._batches: AsyncGenerator[list[StreamEvent], None] | None = None
        self._reading: asyncio.Task[list[StreamEvent] | None] | None = None
        self._duplicates = subscription.duplicates or Duplicates()
        self._pending: deque[tuple[Event | Gap, str]] = deque()
        """What was read and not handed over, each with its `meta.id` where that is wanted."""
        self._read = ""
        """The position after all that is in `_pending`."""
        self._before = ""
        """The id of the last event in it."""
        self._handed = ""
        """The position after what was handed over."""
        self._newest = ""
        """The id of the event that was handed over last."""
        self._settled = ""
        """The position after what was processed."""
        self._stored = ""
        self._due = 0.0
        self._loaded = self._over = False

    @property
    def position(self) -> str:
        """The position after all that was processed: what is stored."""
        return self._settled

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = self.ready()
            if event is not None:
                return event
            if self._is_due():
                await self._save()
            elif self._pending:
                await self._tell_gap()
            elif self._over:
                if self._is_unsaved():
                    await self._save()
                raise StopAsyncIteration
            else:
                await self._fill()

    def ready(self) -> Event | None:
        """The next event where it can be had without waiting, as `anext` would give it."""
        if self._auto_commit:
            self._settled = self._handed
            self._duplicates.settle()
        if not self._pending or self._is_due():
            return None
        return self._hand_over()

    async def batch(self) -> list[Event]:
        """The next events, those that came together; empty at the end. All of them count as processed when more is
        asked for."""
        try:
            events = [await anext(self)]
        except StopAsyncIteration:
            return []
        while self._pending and (event := self._hand_over()) is not None:
            events.append(event)
        return events

    async def commit(self, event: Event | None = None) -> None:
        """Store the position after all events that were handed over, or after this one and those before it."""
        newest = event is None or event.id == self._newest
        self._settled = self._handed if newest or event is None else event.id
        self._duplicates.settle(None if newest else self._settled)
        await self._save()

    async def aclose(self) -> None:
        """Close the connection, and store the position; what was read and not handed over comes again next time."""
        self._over = True
        self._pending.clear()
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})
        if self._batches is not None:
            await self._batches.aclose()
        if self._is_unsaved():
            await self._save()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.aclose()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"The position was not stored: {failure}")

    def __del__(self) -> None:
        # Cancelled while it waited, and left without being closed.
        if self._reading is not None:
            with suppress(RuntimeError):
                self._reading.get_loop().call_soon_threadsafe(self._reading.cancel)

    def _hand_over(self) -> Event | None:
        """The first that is pending, unless it is a gap. What another subscription has processed meanwhile is passed
        over."""
        while self._pending:
            event, meta_id = self._pending[0]
            if isinstance(event, Gap):
                return None
            self._pending.popleft()
            if self._duplicates.hand_over(event.id, meta_id):
                self._newest = event.id
                self._handed = self._after(event)
                return event
            self._pass(self._after(event))
        return None

    def _after(self, pending: Event | Gap) -> str:
        """The position after what has just been taken from those that are pending."""
        return pending.id if self._pending else self._read

    def _pass(self, position: str) -> None:
        """Move on to a position without an event. It counts as processed where all before it does."""
        settled = self._settled == self._handed
        self._handed = position
        if settled:
            self._settled = position

    async def _tell_gap(self) -> None:
        gap, _ = self._pending.popleft()
        assert isinstance(gap, Gap)
        settled = self._settled == self._handed
        self._handed = self._after(gap)
        if self._on_gap is None:
            raise EventTooLarge(gap) if gap.reason == TOO_LARGE else EventsMissing(gap)
        told = self._on_gap(gap)
        if inspect.isawaitable(told):
            await told
        if settled:
            self._settled = self._handed

    async def _fill(self) -> None:
        """Wait for the next event, in a task that continues if the caller is cancelled."""
        if not self._loaded:
            await self._load()
        if self._reading is None:
            self._batches = self._batches or self._subscription.batches()
            self._reading = asyncio.create_task(_next(self._batches))
        reading = self._reading
        if self._is_unsaved():
            await asyncio.wait({reading}, timeout=self._due - self._clock.monotonic())
            if not reading.done():
                return  # The position is due before anything comes.
        await asyncio.wait({reading})
        if self._reading is not reading:
            return  # Closed, or another task that waits has taken it.
        self._reading = None
        if reading.cancelled():
            self._over = True
            return
        if reading.exception() is not None:
            self._batches = None
        batch = reading.result()
        self._over = self._over or batch is None
        self._take(batch or [])

    def _take(self, batch: list[StreamEvent]) -> None:
        for event in batch:
            if event.event == "gap":
                self._pending.append((read_gap(event), ""))
            else:
                self._pending.append((Event(event.data, event.id, self._before, event.event), event.meta_id))
            self._before = event.id
        self._read = self._subscription.last_event_id
        if not batch:
            # The position alone has moved: past all that was handed over.
            self._pass(self._read)

    async def _load(self) -> None:
        loaded = self._store.load()
        position = loaded if isinstance(loaded, str) else await loaded
        self._loaded = True
        self._stored = position
        self._subscription.last_event_id = position or self._subscription.last_event_id
        self._read = self._handed = self._settled = self._subscription.last_event_id
        self._before = self._settled

    def _is_unsaved(self) -> bool:
        return self._settled != self._stored

    def _is_due(self) -> bool:
        return self._is_unsaved() and self._clock.monotonic() >= self._due

    async def _save(self) -> None:
        # Where it fails, the next try is not at once.
        self._due = self._clock.monotonic() + self._store_seconds
        position = self._settled
        saved = self._store.save(position)
        if isinstance(saved, Awaitable):
            await saved
        self._stored = position


async def _next(batches: AsyncGenerator[list[StreamEvent], None]) -> list[StreamEvent] | None:
    """The next event, None at the end."""
    return await anext(batches, None)

"""Replay: a client that is older than the ring reads the log, a bounded number of clients at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.errors import OffsetOutOfRange
from gateway.event import Record, TopicPartition
from gateway.hub.decode import decode
from gateway.hub.history import History
from gateway.hub.hub import Hub
from gateway.subscription.resolve import Resolver
from gateway.subscription.responder import WRITE_BYTES, Responder
from gateway.subscription.subscription import Subscription

TURN_RECORDS = 20_000
"""Records after which a reader of history makes room for one that waits."""


class ReplayTurns:
    """Lets so many clients read history at once. One whose socket is full gives up its turn while others wait."""

    def __init__(self, readers: int) -> None:
        self._places = asyncio.Semaphore(readers)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a turn."""
        return self._places.locked()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn; waits for one first come, first served."""
        async with self._places:
            yield


class Replay:
    """One turn of one client: it reads the log, merged by timestamp, until the ring holds what comes next.

    `is_current` says whether the position still means what it did; `at_end` is awaited where the log has been read to
    its end, and says whether there is more to wait for.
    """

    def __init__(
        self,
        hub: Hub,
        responder: Responder,
        subscription: Subscription,
        is_current: Callable[[], bool],
        at_end: Callable[[], Awaitable[bool]],
    ) -> None:
        self._hub = hub
        self._responder = responder
        self._subscription = subscription
        self._is_current = is_current
        self._at_end = at_end

    async def run(self, turns: ReplayTurns, wait: float) -> None:
        """Read; `wait` (seconds) bounds one call of the log. Raises what the log raises, and StalledError."""
        positions = self._readable()
        await Resolver(self._hub).confirm(positions)
        bounds = await self._hub.log.bounds(list(positions))
        for place, position in positions.items():
            if position < bounds[place].start:
                raise OffsetOutOfRange(place.topic, place.partition, position)
        reader = await self._hub.log.reader(positions)
        try:
            history = History(reader, positions, {place: bounds[place].end for place in positions})
            await self._read(history, turns, wait)
        finally:
            await reader.close()

    def _readable(self) -> dict[TopicPartition, int]:
        return self._subscription.readable(self._hub.discovery.existing)

    async def _read(self, history: History, turns: ReplayTurns, wait: float) -> None:
        subscription = self._subscription
        read = 0
        while self._is_current():
            records = await history.fetch(wait)
            read += len(records)
            await self._send(records)
            for place in list(history.ends):
                if place in subscription.open_partitions():
                    subscription.positions[place] = max(subscription.positions[place], history.positions[place])
                else:
                    history.leave(place)
            if not self._is_current() or self._hub.ring.place(self._readable()) is not None:
                return
            if read >= TURN_RECORDS and turns.wanted:
                return
            if history.finished and not await self._go_on_behind(history):
                return
            await self._responder.beat(subscription.identifier, waiting=not self._hub.available)

    async def _go_on_behind(self, history: History) -> bool:
        """At the end of what was the log, and the ring is not there yet: look for more."""
        bounds = await self._hub.log.bounds(list(history.ends))
        for place in history.ends:
            history.ends[place] = bounds[place].end
        return not history.finished or await self._at_end()

    async def _send(self, records: list[Record]) -> None:
        subscription = self._subscription
        selection = subscription.request.selection
        reads = selection.reads
        marks = subscription.cursor.marks
        # A record's first two members are equal to its partition; a look-up is cheaper than making one.
        places: dict[tuple[str, int], TopicPartition] = {place: place for place in marks}
        frames: list[bytes] = []
        size = 0
        for record in records:
            place = places[record[:2]]
            decoded = decode(record)
            data = selection.choose(decoded.data, decoded.canary, decoded.subject(record) if reads else None)
            subscription.offer(place, marks[place].after(record.offset, record.timestamp), data, frames)
            size += len(data) if data else 0
            if size >= WRITE_BYTES:
                await self._responder.write_or_stall(b"".join(frames))
                await asyncio.sleep(0)
                frames.clear()
                size = 0
                if self._responder.over:
                    return
        if frames:
            await self._responder.write_or_stall(b"".join(frames))
        await asyncio.sleep(0)

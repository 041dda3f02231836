"""The response writer: writes for a session, and notices when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from gateway.clock import Clock
from gateway.feed.held import LOOK_SECONDS, ClientConnection, Held, Holding
from gateway.feed.live_clients import SocketSend, Transport
from gateway.feed.packer import PLAIN, Gzip, Plain
from gateway.hub.hub import Hub
from gateway.model.record import TopicPartition
from gateway.subscription.subscription import Request

WRITE_BYTES = 65536
"""Bytes that are gathered for one write where there are many frames to send."""


class Sink(ClientConnection, Protocol):
    """Where a session writes: one response."""

    gone: asyncio.Future[None]
    """Done when the client has left."""
    transport: Transport | None
    """The connection itself, where frames may be written past the server, or None."""
    send: SocketSend | None
    """The socket's own `send`, where the transport has one."""

    async def write(self, data: bytes) -> None:
        """Send, waiting while the client does not read."""
        ...


class Nobody:
    """The sink of a response that has not begun."""

    transport: Transport | None = None
    send: SocketSend | None = None

    def __init__(self) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def write(self, data: bytes) -> None:
        """Never called: nothing is sent before the response has begun."""
        raise AssertionError(f"{len(data)} bytes were written before the response had begun")

    def unsent(self) -> int:
        """Nothing."""
        return 0

    def cut(self) -> None:
        """There is nothing to break off."""


class ResponseWriter:
    """Packs and writes, remembers when it last did, and waits for what may come next."""

    __slots__ = (
        "_clock",
        "_format",
        "_heartbeat",
        "_held",
        "_hub",
        "_topics",
        "_waiting",
        "holding",
        "lacking",
        "packer",
        "sink",
        "stopping",
        "written",
    )

    def __init__(self, request: Request, hub: Hub, clock: Clock, heartbeat: float, held: Held) -> None:
        self._held = held
        self.holding = Holding(held)
        self.sink: Sink = Nobody()
        self.packer: Plain | Gzip = Gzip() if request.gzip else PLAIN
        self.stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.written = clock.monotonic()
        self.lacking: Collection[TopicPartition] = ()
        """The trouble that this client waits for, which includes that the hub can continue to read."""
        self._format = request.format
        self._topics = request.selection.topics
        self._waiting = b""
        """Packed bytes that go with the next write."""
        self._hub = hub
        self._clock = clock
        self._heartbeat = heartbeat

    def begin(self, sink: Sink) -> None:
        """Write here from now on."""
        self.sink = self.holding.connection = sink

    def stop(self) -> None:
        """End the response soon."""
        if not self.stopping.done():
            self.stopping.set_result(None)

    @property
    def over(self) -> bool:
        """Whether the client has left, or the process stops."""
        return self.sink.gone.done() or self.stopping.done()

    async def pause(self, seconds: float) -> None:
        """Wait this many seconds, or until something happens: the hub has news, the client leaves, the process
        stops."""
        await self.flush()
        endings = {self._hub.change(), self.sink.gone, self.stopping}
        await asyncio.wait(endings, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)

    async def beat(self, identifier: bytes) -> None:
        """Send a heartbeat where nothing was sent for the heartbeat interval; it tells what is waited for."""
        if self._clock.monotonic() - self.written >= self._heartbeat:
            await self.write(self._format.heartbeat(identifier, self._hub.waits_for(self._topics, self.lacking)))

    async def write(self, data: bytes) -> None:
        """Send frames of this client alone."""
        await self.write_packed(self.packer.pack(data))

    def write_with_next(self, data: bytes) -> None:
        """Send frames of this client alone together with what follows at once: a system call fewer for each client that
        comes back. `flush` is due before anything is waited for."""
        self._waiting += self.packer.pack(data)

    async def flush(self) -> None:
        """Send what waits for the next write."""
        if self._waiting:
            await self.write_packed(b"")

    async def write_packed(self, data: bytes) -> None:
        """Write piece by piece, so that what a connection holds unsent stays small however large an event is."""
        data, self._waiting = self._waiting + data, b""
        step = WRITE_BYTES if len(data) > 2 * WRITE_BYTES else max(1, len(data))
        for begin in range(0, len(data), step):
            self.holding.count(len(data) - begin)
            await self.sink.write(data[begin : begin + step])
        self.holding.count()
        self.written = self._clock.monotonic()

    async def drain(self) -> None:
        """Wait until the client has taken what it was sent, but for a little."""
        await self.sink.write(b"")
        self.holding.count()

    async def reserve(self, size: int, identifier: Callable[[], bytes]) -> bool:
        """Wait for room for this many bytes. The client receives heartbeats meanwhile, with this id. False if the
        response ends before there is room. Return the room with `release`."""
        room = self._held.take(self.holding, size)
        if room is None:
            return True
        await self.flush()
        kept = False
        try:
            ways: set[asyncio.Future[None]] = {room, self.sink.gone, self.stopping}
            while not room.done() and not self.over:
                step = min(self._heartbeat, LOOK_SECONDS)
                await asyncio.wait(ways, timeout=step, return_when=asyncio.FIRST_COMPLETED)
                self._held.press()
                await self.beat(identifier())
            kept = room.done() and not self.over
        finally:
            if not kept:
                self._held.withdraw(self.holding, size, room)
        return kept

    def release(self) -> None:
        """The reserved bytes are written."""
        self.holding.release()

    def close(self) -> None:
        """The response is over: nothing is held for it any more."""
        self.holding.close()

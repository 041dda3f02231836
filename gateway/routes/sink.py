"""The write side of a response: ASGI's `send`, or the connection itself if the server gives it away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from starlette.types import Receive, Scope, Send

from gateway.cooperative import give_way
from gateway.feed.live_clients import SocketSend, Transport
from gateway.subscription.response_writer import Sink

EXTENSION = "gateway.take_over"
"""The key in `scope["extensions"]` under which our server offers to give its connection away: a `TakeOver`."""
EXCHANGE = "gateway.exchange"
"""The same of a request and its answer in one step each: an `Exchange`."""
CONNECTION = "gateway.connection"
"""The same of the connection itself, which tells what it holds: an `asyncio.WriteTransport`."""

HALF_CLOSED = "gateway.half_closed"
"""The key of an `asyncio.Event`: the client has sent all that it is going to. It may wait for more, or be gone."""
PROBE_SECONDS = (0.0, 0.05, 0.5, 4.0)
"""The delays before the checks whether such a client still reads. A client that is gone answers the first check with
a reset, which the next check meets. After these its heartbeats do the same."""


class Response(Sink, Protocol):
    """A sink with an end."""

    async def finish(self) -> None:
        """End the response in order."""
        ...

    async def abort(self) -> None:
        """Break it off."""
        ...


class Exchange(Protocol):
    """A request that has come whole, and its answer."""

    def take_body(self) -> bytes | None:
        """The whole body, for which nobody may ask then; None where some of it has not come yet."""
        ...

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], content: bytes) -> bool:
        """Answer in one write, with these headers and a length; False where that is not to be done, and nothing was
        sent. The headers are our own: nothing in them comes from outside unchecked."""
        ...

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Send the head of a response in chunks that takes the connection over; False as in `answer`."""
        ...


TakeOver = Callable[[bytes], Response]
"""Called just before the head of the response is sent, which waits for the first bytes of the body. Only that head
may be sent from then on. It receives bytes that mean nothing wherever a frame may begin."""


def take_over(scope: Scope) -> TakeOver | None:
    """The server's offer. Only HTTP/1.1 has chunks, in which frames are written past the server."""
    offered: TakeOver | None = scope.get("extensions", {}).get(EXTENSION)
    return offered if scope["http_version"] == "1.1" else None


class SendSink:
    """A response through ASGI's `send`, with any server. `probe` says nothing wherever a frame may begin;
    `half_closed`: see HALF_CLOSED."""

    __slots__ = ("_connection", "_probing", "_send", "_watch", "_writing", "gone", "send", "transport")

    def __init__(
        self,
        receive: Receive,
        send: Send,
        probe: bytes = b"",
        half_closed: asyncio.Event | None = None,
        connection: asyncio.WriteTransport | None = None,
    ) -> None:
        self._connection = connection
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: Transport | None = None
        self.send: SocketSend | None = None
        self._send = send
        self._writing = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = asyncio.create_task(self._wait_for_disconnect(receive))
        self._probing = None if half_closed is None else asyncio.create_task(self._probe(half_closed, probe))

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            await give_way()
        if not self.gone.done():
            self.gone.set_result(None)

    async def _probe(self, half_closed: asyncio.Event, probe: bytes) -> None:
        await half_closed.wait()
        for seconds in PROBE_SECONDS:
            await asyncio.sleep(seconds)
            if not self._writing.locked():
                await self.write(probe)

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read."""
        async with self._writing:
            if not self.gone.done():
                await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def unsent(self) -> int:
        """Bytes that wait for the kernel to take them, where the server tells."""
        if self._connection is None or self.gone.done():
            return 0
        return self._connection.get_write_buffer_size()

    def cut(self) -> None:
        """Break the connection off, and let go of what waits in it."""
        if self._connection is not None and not self.gone.done():
            self._connection.abort()

    async def finish(self) -> None:
        """End the response."""
        async with self._writing:
            if not self.gone.done():
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self.abort()

    async def abort(self) -> None:
        """Stop watching the connection; the server breaks off what is not finished."""
        # A task that was cancelled holds its last frame, which refers to this, until the collector finds both.
        tasks = [task for task in (self._watch, self._probing) if task is not None]
        self._watch = self._probing = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

"""The write side of a response: ASGI's `send`, or the connection itself where the server gives it away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.types import Receive, Scope, Send

from gateway.cooperative import give_way
from gateway.subscription import recipients
from gateway.subscription.responder import Outlet

EXTENSION = "gateway.take_over"
"""The key in `scope["extensions"]` under which our server offers to give its connection away: a `TakeOver`."""
CONNECTION = "gateway.connection"
"""The same of the connection itself, which tells what it holds: an `asyncio.WriteTransport`."""


class Response(Outlet, Protocol):
    """An outlet with an end."""

    async def finish(self) -> None:
        """End the response in order."""
        ...

    async def abort(self) -> None:
        """Break it off."""
        ...


TakeOver = Callable[[], Response]
"""Called just before the head of the response is sent, which waits for the first bytes of the body and goes with them.
Nothing but that head may be sent any more."""


def take_over(scope: Scope) -> TakeOver | None:
    """The server's offer. Only HTTP/1.1 has chunks, in which frames are written past the server."""
    offered: TakeOver | None = scope.get("extensions", {}).get(EXTENSION)
    return offered if scope["http_version"] == "1.1" else None


def connection_of(scope: Scope) -> asyncio.WriteTransport | None:
    """The connection under a response, where the server tells."""
    found: asyncio.WriteTransport | None = scope.get("extensions", {}).get(CONNECTION)
    return found


class SendOutlet:
    """A response through ASGI's `send`, with any server."""

    __slots__ = ("_send", "_transport", "_watch", "gone", "pipe", "send")

    def __init__(self, receive: Receive, send: Send, transport: asyncio.WriteTransport | None = None) -> None:
        self._transport = transport
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pipe: recipients.Pipe | None = None
        self.send: recipients.Send | None = None
        self._send = send
        self._watch = asyncio.create_task(self._wait_for_disconnect(receive))

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            await give_way()
        if not self.gone.done():
            self.gone.set_result(None)

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read."""
        if not self.gone.done():
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def unsent(self) -> int:
        """Bytes that wait for the kernel to take them, where the server tells."""
        if self._transport is None or self.gone.done():
            return 0
        return self._transport.get_write_buffer_size()

    def cut(self) -> None:
        """Break the connection off, and let go of what waits in it."""
        if self._transport is not None and not self.gone.done():
            self._transport.abort()

    async def finish(self) -> None:
        """End the response."""
        if not self.gone.done():
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self.abort()

    async def abort(self) -> None:
        """Stop watching the connection; the server breaks off what is not finished."""
        self._watch.cancel()
        await asyncio.wait([self._watch])

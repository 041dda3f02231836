"""The write side of a response: ASGI's `send`, and the connection itself where the server offers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.types import Receive, Scope, Send

from gateway.subscription.live import Pipe

EXTENSION = "gateway.connection"
"""The key in `scope["extensions"]` under which our server offers its connection."""


class Connection(Protocol):
    """What our server offers of a connection beyond ASGI."""

    transport: asyncio.Transport
    on_lost: Callable[[], None] | None
    """Called once, when the connection ends."""


class HttpOutlet:
    """One response. With any ASGI server it sends through `send`; with ours, live frames go to the transport."""

    __slots__ = ("_connection", "_send", "_watch", "gone", "pipe")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pipe: Pipe | None = None
        self._send = send
        self._watch: asyncio.Task[None] | None = None
        connection: Connection | None = scope.get("extensions", {}).get(EXTENSION)
        self._connection = connection
        if connection is None:
            self._watch = asyncio.create_task(self._wait_for_disconnect(receive))
            return
        connection.on_lost = self._lose
        # Frames past the server are written in chunks, which HTTP/1.0 does not know.
        if scope["http_version"] == "1.1":
            self.pipe = connection.transport

    def _lose(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._lose()

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the response."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read."""
        if not self.gone.done():
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        """End the response. Our server wants to be told even where the client has left."""
        if self._connection is not None or not self.gone.done():
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def close(self) -> None:
        """Give back what watches the connection."""
        if self._connection is not None:
            self._connection.on_lost = None
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

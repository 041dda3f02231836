"""A connection between a client and a process: what ASGI and the transport are to the product, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import urlencode

from gateway.feed import live_clients
from gateway.routes.sink import EXTENSION
from gateway.server.stream import LAST_CHUNK, StreamConnection
from gateway.subscription import response_writer
from tests.simulation.process import Process
from tests.subscription.client import unchunked

KERNEL_BYTES = 1000
"""What the kernel holds for a client that does not read."""
HEARTBEAT_BYTES = 4000
"""More than a heartbeat is long: the only frame that comes when the limit may be passed already."""


class Connection(asyncio.Transport):
    """One request and its response. What the client has not read is held here, and counted."""

    def __init__(self, process: Process, with_transport: bool, read: Callable[[bytes], None] | None) -> None:
        super().__init__()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False
        """Whether the response has come to its end."""
        self.lost = False
        self.unsent = 0
        self.process = process
        self._with_transport = with_transport
        self._read = read
        """Called with what comes at once; without it, the client asks for what has come."""
        self._held: list[bytes] = []
        self._moved = asyncio.Event()
        self._protocol: StreamConnection | None = None
        """Who was given the connection, where the response has taken it over."""
        self._half = b""
        """What the kernel took of a chunk whose rest is to come."""
        self._closing = False
        self._paused = False
        self._others: set[asyncio.Task[None]] = set()
        self.task: asyncio.Task[None] | None = None

    def request(self, streams: str, query: dict[str, str], headers: dict[str, str], method: str = "GET") -> None:
        """Send the request; the response runs as a task of the process."""
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "http_version": "1.1" if self._with_transport else "1.0",
            "path_params": {"streams": streams},
            "query_string": urlencode(query).encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        if self._with_transport:
            scope["extensions"] = {EXTENSION: self._take_over}
        self.task = asyncio.create_task(self._answer(scope))
        self.process.answering[self.task] = None
        self.task.add_done_callback(self.process.answering.pop)

    # The side of the server.

    async def _receive(self) -> dict[str, Any]:
        while not self.lost:
            await self._moved.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not self.status, "a second head"
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        while self.get_write_buffer_size() > live_clients.BUFFER_LIMIT and not self.lost:
            await self._moved.wait()
        if message.get("body"):
            assert len(message["body"]) <= 2 * response_writer.WRITE_BYTES, "a piece that is too large"
            self._put(message["body"])
        if not message.get("more_body"):
            self.ended = True

    async def _answer(self, scope: dict[str, Any]) -> None:
        """To the end of the response, also of one that the endpoint leaves to a task of its own."""
        await self.process.endpoint(scope, self._receive, self._send)
        if self._protocol is not None:
            (task,) = self.process.endpoint.tasks - self._others
            await task

    def _take_over(self, _: bytes) -> StreamConnection:
        self._others = set(self.process.endpoint.tasks)
        self._protocol = StreamConnection(self, paused=False, on_end=lambda: None, send=self._send_now)
        return self._protocol

    # The transport of a response that has taken the connection over.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """A chunk."""
        assert self.get_write_buffer_size() <= live_clients.BUFFER_LIMIT + HEARTBEAT_BYTES, (
            "written past the server to a client that lags"
        )
        assert not self.ended, "written past the end of the response"
        data, self._half = self._half + bytes(data), b""
        if data == LAST_CHUNK:
            self.ended = True
        else:
            self._put(unchunked(data))

    def _send_now(self, data: bytes) -> int:
        """Into the kernel: all, or as much as there is room for."""
        assert not self._half, "sent past the rest of a chunk"
        assert not self.get_write_buffer_size(), "sent past what waits"
        if self.lost:
            raise BrokenPipeError
        room = KERNEL_BYTES - self.unsent
        if room <= 0:
            raise BlockingIOError
        if room < len(data):
            self._half = data[:room]
            return room
        self.write(data)
        return len(data)

    def is_closing(self) -> bool:
        return self._closing or self.lost

    def close(self) -> None:
        """When the client has read everything."""
        self._closing = True
        if not self.unsent:
            asyncio.get_running_loop().call_soon(self._tell_lost)

    def abort(self) -> None:
        """At once."""
        asyncio.get_running_loop().call_soon(self.lose)

    def get_write_buffer_size(self) -> int:
        return max(0, self.unsent - KERNEL_BYTES)

    def _put(self, data: bytes) -> None:
        if self.lost:
            return
        if self.status != 200:
            return
        if self._read is not None:
            self._read(data)
            return
        self._held.append(data)
        self.unsent += len(data)
        if self._protocol is not None and not self._paused and self.get_write_buffer_size() > live_clients.BUFFER_LIMIT:
            self._paused = True
            self._protocol.pause_writing()

    # The side of the client.

    def take(self, size: int) -> bytes:
        """So many of the bytes that have come."""
        data = b"".join(self._held)
        taken, rest = data[:size], data[size:]
        self._held = [rest] if rest else []
        self.unsent = len(rest)
        if self._protocol is not None and self._paused and self.get_write_buffer_size() <= live_clients.BUFFER_LIMIT:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and not self.unsent:
            self.close()
        self._wake()
        return taken

    def lose(self) -> None:
        """The connection breaks; what was not read is lost."""
        if self.lost:
            return
        self.lost = True
        self._held.clear()
        self.unsent = 0
        self._wake()
        self._tell_lost()

    def _tell_lost(self) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(None)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

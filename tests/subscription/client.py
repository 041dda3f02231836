"""A client for tests: a response without a server, read back the way a real client reads it."""

from __future__ import annotations

import asyncio

from gateway.feed import live_clients
from gateway.feed.live_clients import SocketSend, Transport
from tests.kit.frames import Frame, FrameReader


def unchunked(data: bytes) -> bytes:
    """The content of whole chunks of HTTP/1.1's chunked coding."""
    content = b""
    while data:
        head, _, rest = data.partition(b"\r\n")
        size = int(head, 16)
        assert size, "an empty chunk would end the response"
        assert rest[size : size + 2] == b"\r\n"
        content += rest[:size]
        data = rest[size + 2 :]
    return content


class FakeSink:
    """A response whose client reads when `drain` is called, or at once.

    Where the connection holds more than `live_clients.BUFFER_LIMIT`, `write` waits, and where it holds less `write`
    does not give way, as with a real transport.
    """

    def __init__(self, gzip: bool = False, with_transport: bool = True, at_once: bool = True) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: Transport | None = FakeTransport(self) if with_transport else None
        self.send: SocketSend | None = self._send if with_transport else None
        self.decoder = FrameReader(gzip)
        self.at_once = at_once
        self.was_cut = False
        self.most_buffered = 0
        """The most that was buffered already when something more was written past the server."""
        self._pending: list[bytes] = []
        self._size = 0
        self._moved = asyncio.Event()

    @property
    def frames(self) -> list[Frame]:
        return self.decoder.frames

    @property
    def buffered(self) -> int:
        return self._size

    def put(self, data: bytes) -> None:
        """Bytes on their way to the client."""
        if self.gone.done():
            return
        self._pending.append(data)
        self._size += len(data)
        if self.at_once:
            self.drain()

    def _send(self, data: bytes) -> int:
        """What the kernel takes: all, or nothing while something waits."""
        if self._size:
            raise BlockingIOError
        self.put(unchunked(data))
        return len(data)

    def drain(self) -> None:
        """The client reads all that there is."""
        data = b"".join(self._pending)
        self._pending.clear()
        self._size = 0
        self.decoder.feed(data)
        self._moved.set()
        self._moved = asyncio.Event()

    async def write(self, data: bytes) -> None:
        while self._size > live_clients.BUFFER_LIMIT and not self.gone.done():
            await self._moved.wait()
        self.put(data)

    def unsent(self) -> int:
        return self._size

    def cut(self) -> None:
        """The server breaks the connection off."""
        self.was_cut = True
        self._pending.clear()
        self._size = 0
        self.leave()

    def leave(self) -> None:
        """The client disconnects; what it has not read is lost."""
        if not self.gone.done():
            self.gone.set_result(None)
        self._moved.set()


class FakeTransport:
    """The connection under a sink."""

    def __init__(self, sink: FakeSink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> None:
        self._sink.most_buffered = max(self._sink.most_buffered, self._sink.buffered)
        self._sink.put(unchunked(data))

    def get_write_buffer_size(self) -> int:
        return self._sink.buffered

"""A client for tests: a response without a server, read back the way a real client reads it."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass
from typing import Any

from gateway.feed import live_clients
from gateway.feed.live_clients import SocketSend, Transport


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of an event stream. `data` is None in a frame that only moves the position."""

    event: str
    identifier: str | None
    data: str | None
    comments: tuple[str, ...] = ()

    def document(self) -> Any:
        """The data, parsed."""
        assert self.data is not None
        return json.loads(self.data)


class Decoder:
    """Bytes to frames, plain or as one gzip member; a frame counts once its blank line is there."""

    def __init__(self, gzip: bool = False) -> None:
        self._gzip = zlib.decompressobj(31) if gzip else None
        self._rest = b""
        self.frames: list[Frame] = []

    @property
    def complete(self) -> bool:
        """Whether a compressed response has come to the end of its member, checksum included."""
        return self._gzip is None or self._gzip.eof

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; returns the frames that they complete."""
        if self._gzip is not None:
            data = self._gzip.decompress(data)
            assert not self._gzip.unused_data, "a second gzip member"
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        frames = [_frame(text.decode()) for text in whole]
        self.frames += frames
        return frames


def _frame(text: str) -> Frame:
    fields: dict[str, str] = {}
    comments = []
    for line in text.split("\n"):
        name, separator, value = line.partition(":")
        assert separator, f"a line without a colon: {line!r}"
        if not name:
            comments.append(value.removeprefix(" "))
            continue
        assert name in ("event", "id", "data", "retry"), f"an unknown field: {line!r}"
        assert name not in fields, f"a field twice in a frame: {text!r}"
        fields[name] = value.removeprefix(" ")
    return Frame(fields.get("event", "message"), fields.get("id"), fields.get("data"), tuple(comments))


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
        self.decoder = Decoder(gzip)
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

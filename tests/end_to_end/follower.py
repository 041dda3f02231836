"""Clients that come back with their last id whenever their response ends, as an EventSource does."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlencode

from tests.end_to_end.stream import Transcript

RETRY = 0.1
"""Seconds between the end of a response and the next request."""
RECEIVE_BUFFER = 65536
"""Bytes that the kernel may hold of what a client has not read: little, so that one that pauses lags at once."""


class Taker(Protocol):
    """What becomes of the responses to one client."""

    last_id: str | None

    def feed(self, data: bytes) -> None:
        """Take a part of the body."""
        ...

    def cut(self) -> None:
        """The response is over, perhaps in the middle of a frame."""
        ...


class Response(asyncio.Protocol):
    """One response, in chunks. `over` is done when the connection is closed."""

    def __init__(self, request: bytes, taker: Taker) -> None:
        self.transport: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._taker = taker
        self._rest = b""
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Unpack the chunks that are complete."""
        data = self._rest + data
        place = 0
        if not self._begun:
            place = data.find(b"\r\n\r\n") + 4
            self._begun = place > 3
            if self._begun and not data.startswith(b"HTTP/1.1 200 "):
                self.over.set_exception(AssertionError(f"no stream but {data[:500]!r}"))
        while self._begun:
            body = data.find(b"\r\n", place) + 2
            if body < 2 or len(data) < (end := body + int(data[place : body - 2], 16)) + 2:
                break
            if end == body and self.transport is not None:
                # The last chunk: the response is over, also where the connection would stay (behind a proxy).
                self.transport.close()
                break
            self._taker.feed(data[body:end])
            place = end + 2
        self._rest = data[max(0, place) :] if self._begun else data

    def connection_lost(self, error: Exception | None) -> None:
        """The response is over."""
        self._taker.cut()
        if not self.over.done():
            self.over.set_result(None)


def request(port: int, target: str, last_id: str | None) -> bytes:
    """A request for a stream."""
    lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if last_id is not None:
        lines.append(f"Last-Event-ID: {last_id}")
    return "\r\n".join([*lines, "", ""]).encode()


async def follow(
    ports: int | Sequence[int],
    target: str,
    taker: Taker,
    opened: Callable[[asyncio.Transport], object] = lambda transport: None,
) -> None:
    """Ask for a stream again and again, for ever; of several ports at one after the other. Raises AssertionError where
    something else is answered."""
    loop = asyncio.get_running_loop()
    for port in itertools.cycle([ports] if isinstance(ports, int) else ports):
        connection = socket.socket()
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", port))
            asked = request(port, target, taker.last_id)
            transport, response = await loop.create_connection(lambda: Response(asked, taker), sock=connection)  # noqa: B023
        except OSError:
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
        else:
            opened(transport)
            try:
                await response.over
            finally:
                transport.abort()
        await asyncio.sleep(RETRY)


class Follower(Transcript):
    """A client that is followed frame by frame, over all its responses."""

    def __init__(self, port: int, names: str, last_id: str | None, **query: Any) -> None:
        super().__init__()
        self.last_id = last_id
        self.responses = 0
        self._transport: asyncio.Transport | None = None
        target = f"/v2/stream/{names}" + (f"?{urlencode(query)}" if query else "")
        self._task = asyncio.create_task(follow(port, target, self, self._opened))
        self._task.add_done_callback(lambda task: self.finish())

    def _opened(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.responses += 1

    def pause(self) -> None:
        """Read nothing more of this response for now."""
        assert self._transport is not None
        self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        assert self._transport is not None
        self._transport.resume_reading()

    async def have(self, number: int) -> None:
        """Wait for the event with this number, wherever it stands among those of other partitions."""
        await self.until(lambda: number in self.numbers, f"the event {number}")

    async def close(self) -> None:
        """Leave. Raises what the client could not understand."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


Follow = Callable[..., Awaitable[Follower]]
"""(port, names, last_id=None, **query): a client that has got the first bytes of its stream."""

"""A connection that belongs to one endless response alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import accumulate

from gateway.feed.live_clients import SocketSend
from gateway.routes.sink import PROBE_SECONDS
from gateway.wire.chunked import http_chunk

LAST_CHUNK = b"0\r\n\r\n"
LINGER_SECONDS = 5.0
"""Seconds that the end of a response waits to be read."""
MAXIMUM_UNASKED = 1 << 20
"""Bytes that a client may send while it reads its stream, where nothing more is asked of it."""


def let_go(transport: asyncio.BaseTransport) -> None:
    """Break a reference cycle of a lost connection: asyncio's transport holds the method of itself by which it read
    (Python 3.12 releases it in most cases). Otherwise the cycle stays until a garbage collection, which is rare here.
    Thousands of clients that come and go would leave more and more memory behind."""
    if hasattr(transport, "_read_ready_cb"):
        transport._read_ready_cb = None


class StreamConnection(asyncio.Protocol):
    """A connection that has been taken over by one endless response, in HTTP/1.1's chunked coding.

    It is all that is left of the server's side of it: uvicorn's protocol, its request and its response, with the tasks
    and events that belong to them, cost 8 KB, and a stream has no use for them once its head is written. `on_end` is
    called once when the connection is gone; None: it is lost already, and its transport tells nobody any more. `send`
    is that of the transport's socket, which raises OSError once the transport has closed it. `probe` says nothing
    wherever a frame may begin.
    """

    __slots__ = (
        "_drained",
        "_head",
        "_on_end",
        "_paused",
        "_probe",
        "_probes",
        "_unasked",
        "_writing",
        "gone",
        "send",
        "transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        paused: bool,
        on_end: Callable[[], None] | None,
        send: SocketSend | None = None,
        probe: bytes = b"",
    ) -> None:
        self.transport: asyncio.Transport = transport
        self.send = send
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = b""
        self._on_end = on_end
        self._paused = paused
        self._unasked = 0
        self._probe = probe
        self._probes: list[asyncio.TimerHandle] = []
        self._writing = 0
        self._drained: asyncio.Future[None] | None = None
        if on_end is not None:
            transport.set_protocol(self)
        if transport.is_closing():
            self._end()

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read."""
        self._writing += 1
        try:
            while self._paused and not self.gone.done():
                if self._drained is None:
                    self._drained = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._drained)
        finally:
            self._writing -= 1
        if data:
            self._send(http_chunk(data))

    def unsent(self) -> int:
        """Bytes that wait for the kernel to take them."""
        return 0 if self.gone.done() else self.transport.get_write_buffer_size()

    def cut(self) -> None:
        """Break the connection off, and let go of what waits in it."""
        if not self.gone.done():
            self.transport.abort()

    def hold(self, head: bytes) -> None:
        """Take the head of the response, to be sent with what comes next: a system call, and a packet, fewer."""
        self._head = head

    def _send(self, data: bytes) -> None:
        # One that breaks is closing at once, and gone a turn of the loop later; asyncio warns of each write until then.
        if not self.gone.done() and not self.transport.is_closing():
            head, self._head = self._head, b""
            self.transport.write(head + data)

    async def finish(self) -> None:
        """End the response, and with it the connection; a client that does not read its end is not waited for long."""
        if not self.gone.done():
            self._send(LAST_CHUNK)
            self.transport.close()
            await asyncio.wait([self.gone], timeout=LINGER_SECONDS)
        await self.abort()

    async def abort(self) -> None:
        """Break the connection off, where it still is there: a transport cannot be asked once it is lost."""
        if not self.gone.done():
            self.transport.abort()
            await self.gone

    def data_received(self, data: bytes) -> None:
        """Nothing more is expected of this client, whose connection ends with the response; a little is no matter."""
        self._unasked += len(data)
        if self._unasked > MAXIMUM_UNASKED:
            self.transport.abort()

    def eof_received(self) -> bool:
        """The client has sent all that it is going to. It may wait for more, or be gone: the system does not say."""
        if self._probe and not self._probes:
            loop = asyncio.get_running_loop()
            self._probes = [loop.call_later(seconds, self._try) for seconds in accumulate(PROBE_SECONDS)]
        return True

    def _try(self) -> None:
        """Write what says nothing, where nothing else is on its way, and no frame is half written."""
        begun = not self._head and not self._writing
        if (
            begun
            and not self.gone.done()
            and not self.transport.is_closing()
            and not self.transport.get_write_buffer_size()
        ):
            self.transport.write(http_chunk(self._probe))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        let_go(self.transport)

    def _end(self) -> None:
        for probe in self._probes:
            probe.cancel()
        self._probes = []
        if not self.gone.done():
            self.gone.set_result(None)
            if self._on_end is not None:
                self._on_end()
        self._wake()

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

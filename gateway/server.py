"""The HTTP server: uvicorn, from which an endless response may take its connection over."""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import Problem
from gateway.routes.outlet import EXTENSION
from gateway.routes.problems import written
from gateway.subscription.feed import http_chunk

LAST_CHUNK = b"0\r\n\r\n"
LINGER_SECONDS = 5.0
"""Seconds that the end of a response waits to be read."""
CLOSE_SECONDS = 1.0
"""At the end of the process, clients may take so long to read what was sent to them."""

TICK_SECONDS = 1.0
"""How old the Date of a response may be."""

MAXIMUM_HEAD = 1 << 20
"""Bytes of a request before its body; the parser itself would gather without end."""


class StreamConnection(asyncio.Protocol):
    """A connection that has been taken over by one endless response, in HTTP/1.1's chunked coding.

    It is all that is left of the server's side of it: uvicorn's protocol, its request and its response, with the tasks
    and events that belong to them, cost 8 KB, and a stream has no use for them once its head is written.
    """

    __slots__ = ("_drained", "_head", "_paused", "_unasked", "gone", "pipe")

    def __init__(self, transport: asyncio.Transport, paused: bool) -> None:
        self.pipe: asyncio.Transport = transport
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = b""
        self._paused = paused
        self._unasked = 0
        self._drained: asyncio.Future[None] | None = None
        transport.set_protocol(self)
        if transport.is_closing():
            self._end()

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client does not read."""
        while self._paused and not self.gone.done():
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        if data:
            self._send(http_chunk(data))

    def hold(self, head: bytes) -> None:
        """Take the head of the response, to be sent with what comes next: a system call, and a packet, fewer."""
        self._head = head

    def _send(self, data: bytes) -> None:
        if not self.gone.done():
            head, self._head = self._head, b""
            self.pipe.write(head + data)

    async def finish(self) -> None:
        """End the response, and with it the connection; a client that does not read its end is not waited for long."""
        if not self.gone.done():
            self._send(LAST_CHUNK)
            self.pipe.close()
            await asyncio.wait([self.gone], timeout=LINGER_SECONDS)
        await self.abort()

    async def abort(self) -> None:
        """Break the connection off, where it still is there: a transport cannot be asked once it is lost."""
        if not self.gone.done():
            self.pipe.abort()
            await self.gone

    def data_received(self, data: bytes) -> None:
        """Nothing more is expected of this client, whose connection ends with the response; a little is no matter."""
        self._unasked += len(data)
        if self._unasked > MAXIMUM_HEAD:
            self.pipe.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self._wake()

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)


class UnframedCycle(RequestResponseCycle):
    """The response to an HTTP/1.0 client, which knows no chunks: the body ends with the connection."""

    async def send(self, message: ASGISendEvent) -> None:
        self.chunked_encoding = False
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class StreamProtocol(HttpToolsProtocol):
    """uvicorn's protocol; an endless response may take its connection over."""

    _head: int | None = 0
    """Bytes of the head that is being read, or None while no head is."""

    def take_over(self, begun: weakref.ref[RequestResponseCycle]) -> StreamConnection:
        """Hand the connection to the response that begins, for good."""
        cycle = begun()
        assert cycle is not None
        connection = StreamConnection(self.transport, self.flow.write_paused)
        self.flow.resume_writing()  # nobody else does from now on
        self.pipeline.clear()
        self.connections.discard(self)
        # What refers in a circle would stay until a collection, which then takes longer than the connections did.
        self.parser = self.cycle = self.scope = None  # type: ignore[assignment]

        def write(head: bytes) -> None:
            connection.hold(head)
            if (cycle := begun()) is not None:
                cycle.disconnected = True  # so that uvicorn does not miss the end of the response

        cycle.transport = cast(asyncio.Transport, SimpleNamespace(write=write))
        return connection

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
            if self._head > MAXIMUM_HEAD:
                self._refuse(Problem(431, "Request head too large", f"at most {MAXIMUM_HEAD} bytes are read"))
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            self.cycle.__class__ = UnframedCycle
        # A weak reference, since the response holds the scope.
        extensions: dict[str, Any] = {EXTENSION: partial(self.take_over, weakref.ref(self.cycle))}
        self.scope["extensions"] = extensions

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """For what the parser cannot read."""
        detail = "this is not HTTP that can be read; what is not ASCII in a URL is percent-encoded"
        self._refuse(Problem(400, "Bad request", detail))

    def _refuse(self, problem: Problem) -> None:
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.write(written(problem))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """A client may ask for another protocol (RFC 9110 section 7.8), and is served in this one."""


class QuietProtocol(StreamProtocol):
    """The same, without the log of requests."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.access_log = False


class GatewayServer(uvicorn.Server):
    """uvicorn's server; signals are handled by whoever runs it."""

    def __init__(self, app: ASGIApp, access_log: bool) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=StreamProtocol if access_log else QuietProtocol,
                loop="asyncio",
                lifespan="off",
                ws="none",
                # Without it uvicorn would silence that logger for all servers of the process.
                access_log=True,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                # The connections are closed before that.
                timeout_graceful_shutdown=5,
                h11_max_incomplete_event_size=None,
            )
        )
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let `serve` return once all connections have ended."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """Renew the date until the end. uvicorn looks for the end too, ten times a second, which costs as much as some
        of the events that a quiet stream has."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._ending.wait()

    def end_softly(self) -> None:
        """Take no new connection, close those that are idle, and each other one with the response that it carries.

        Otherwise a client whose response ends would ask again on the same connection, and get a stream of a server
        that stops.
        """
        for listening in self.servers:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all connections; those of clients that do not read are cut."""
        cut = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._abort)
        await super().shutdown(sockets)
        cut.cancel()

    def _abort(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def listen(host: str, port: int, shared: bool, unsent: int = 0) -> socket.socket:
    """A listening socket. `shared` lets several processes listen on the port (SO_REUSEPORT); `unsent` is how many bytes
    the kernel takes of each connection beyond those on their way, and connections inherit it. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if unsent:
            # Not SO_SNDBUF, in which what is on its way counts too: it cuts the writes to clients that keep up, and
            # bounds the throughput to those far away.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)
        listener.bind((host, port))
        listener.listen(4096)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        why = f"cannot listen on {host} port {port}: {error.strerror or error}"
        raise OSError(error.errno, why) from error
    return listener

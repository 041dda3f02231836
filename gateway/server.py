"""The HTTP server: uvicorn, with the connection offered to the application beside ASGI."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import Problem
from gateway.routes.outlet import EXTENSION
from gateway.routes.problems import written

MAXIMUM_HEAD = 1 << 20
"""Bytes of a request before its body; the parser itself would gather without end."""


class Connection:
    """A connection as the application sees it."""

    __slots__ = ("on_lost", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.on_lost: Callable[[], None] | None = None


class UnframedCycle(RequestResponseCycle):
    """The response to an HTTP/1.0 client, which knows no chunks: the body ends with the connection."""

    async def send(self, message: ASGISendEvent) -> None:
        self.chunked_encoding = False
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class StreamProtocol(HttpToolsProtocol):
    """uvicorn's protocol; frames for live clients go past it to the transport, and it tells when that is lost."""

    _connection: Connection | None = None
    _head: int | None = 0
    """Bytes of the head that is being read, or None while no head is."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connection = Connection(transport)

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

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {EXTENSION: self._connection}
        self.scope["extensions"] = extensions

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        connection, self._connection = self._connection, None
        if connection is not None and connection.on_lost is not None:
            connection.on_lost()


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
                timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=None,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def listen(host: str, port: int, shared: bool, send_buffer: int = 0) -> socket.socket:
    """A listening socket. `shared` lets several processes listen on the port (SO_REUSEPORT); `send_buffer` is kernel
    memory for unsent bytes of each connection, which they inherit. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if send_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listener.bind((host, port))
        listener.listen(4096)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        why = f"cannot listen on {host} port {port}: {error.strerror or error}"
        raise OSError(error.errno, why) from error
    return listener

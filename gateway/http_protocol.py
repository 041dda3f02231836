"""HTTP/1.1 as uvicorn speaks it, with bounds on what a request may cost before there is one."""

from __future__ import annotations

import asyncio
import socket
import weakref
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.connections import Connections
from gateway.errors import Problem
from gateway.routes.outlet import CONNECTION, EXTENSION
from gateway.routes.problems import written
from gateway.stream_connection import StreamConnection, let_go

MAXIMUM_PIPELINED = 16
"""Requests of a connection that may wait for the answers to those before them. One packet could hold thousands."""


class UnframedCycle(RequestResponseCycle):
    """The response to an HTTP/1.0 client, which knows no chunks: the body ends with the connection."""

    async def send(self, message: ASGISendEvent) -> None:
        self.chunked_encoding = False
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class StreamProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with bounds; an endless response may take its connection over. `connection` is the socket of
    the transport."""

    unread = 0
    """Bytes of the head that is being read."""
    _owes = True
    """Whether a head is being read, or waited for."""
    _ends = False
    """Whether the server stops, so that this connection ends with the response to its next request."""
    _fault: Problem | None = None
    """What is wrong with the request, where the parser would not say it."""

    def __init__(self, *arguments: Any, known: Connections, connection: socket.socket, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._known = known
        self._connection = connection
        self.timeout_keep_alive = known.bounds.keep_alive  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._known.count += 1
        self._known.expect(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._known.arrived(self)
        self._known.closed()
        # Each of these refers back to this protocol.
        self.cycle = self.scope = None  # type: ignore[assignment]
        self.pipeline.clear()
        let_go(self.transport)

    def give_up(self, late: bool) -> None:
        """See Owing. Nothing is said to one that has not begun: it may be a connection that a browser keeps ready."""
        begun = self.unread
        self._known.arrived(self)
        if late and begun:
            seconds = self._known.bounds.head_timeout
            self._refuse(Problem(408, "Request timeout", f"the request has not come within {seconds:g} s"))
        else:
            self.transport.close()

    def take_over(self, begun: weakref.ref[RequestResponseCycle]) -> StreamConnection:
        """Hand the connection to the response that begins, for good."""
        cycle = begun()
        assert cycle is not None
        # One that is lost already has been counted as such.
        on_end = self._known.closed if self in self.connections else None
        connection = StreamConnection(self.transport, self.flow.write_paused, on_end, self._connection.send)
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
        if self._owes:
            self._known.read(self, len(data))
            if self.unread > self._known.bounds.head:
                self._refuse_head(f"it has more than {self._known.bounds.head} bytes (`request_head_max`)")
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAXIMUM_PIPELINED:
            self._reject(Problem(400, "Bad request", f"at most {MAXIMUM_PIPELINED} wait for their answers here"))
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        longest = self._known.bounds.request_line
        if len(self.url) > longest:
            self._reject(Problem(414, "URI too long", f"it has more than {longest} bytes (`request_line_max`)"))

    def on_header(self, name: bytes, value: bytes) -> None:
        most = self._known.bounds.headers
        if len(self.headers) >= most:
            detail = f"it has more than {most} headers (`request_headers_max`)"
            self._reject(Problem(431, "Request head too large", detail))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._owes = False
        self._known.arrived(self)
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            self.cycle.__class__ = UnframedCycle
        if self._ends:
            self.cycle.keep_alive = False
        # A weak reference, since the response holds the scope.
        extensions: dict[str, Any] = {
            EXTENSION: partial(self.take_over, weakref.ref(self.cycle)),
            CONNECTION: self.transport,
        }
        self.scope["extensions"] = extensions

    def on_message_complete(self) -> None:
        self._owes = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._known.expect(self, self.loop.time())

    def _reject(self, problem: Problem) -> NoReturn:
        """Stop the parser, which then calls for the answer."""
        self._fault = problem
        raise problem

    def shutdown(self) -> None:
        """The server stops: end with the response that is under way, or at once after one. A connection that has had
        none is answered once: it may have been made before anybody could know of the end."""
        if self.idle:
            self._ends = True
        else:
            super().shutdown()

    @property
    def idle(self) -> bool:
        """Whether no request has come on it."""
        return self.cycle is None

    def send_400_response(self, msg: str) -> None:
        """For what the parser cannot read."""
        detail = "this is not HTTP that can be read; what is not ASCII in a URL is percent-encoded"
        self._refuse(self._fault or Problem(400, "Bad request", detail))

    def _refuse_head(self, detail: str) -> None:
        self._refuse(Problem(431, "Request head too large", detail))

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

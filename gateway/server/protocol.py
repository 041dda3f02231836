"""HTTP/1.1 as uvicorn speaks it, with bounds on the cost of a request that has not arrived yet."""

from __future__ import annotations

import asyncio
import socket
import urllib.parse
import weakref
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import Problem
from gateway.routes.problems import written
from gateway.routes.sink import CONNECTION, EXCHANGE, EXTENSION, HALF_CLOSED
from gateway.server.connections import Connections
from gateway.server.exchange import WholeRequest
from gateway.server.stream import StreamConnection, let_go
from gateway.wire.request_target import check_host, split_target

MAXIMUM_PIPELINED = 16
"""Requests of a connection that may wait for the answers to those before them. One packet could hold thousands."""

TRY_SECONDS = (0.05, 0.1, 0.5, 2.0)
"""Seconds after a client has closed its side without having its answer until the gateway checks whether it still
reads. A client that is gone answers the first check with a reset, which the next check meets."""
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
"""An interim response, which every client of HTTP/1.1 passes over (RFC 9110 section 15.2)."""


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
    """Bytes that have come since the head that is being read began; some of those that came last may be behind it."""
    _came = 0
    """Bytes that came last."""
    _unsure = 0
    """Bytes that came with the end of the request before: some belong to the head, and none is in `unread`."""
    _owes = True
    """Whether a head is being read, or waited for."""
    _ends = False
    """Whether the server stops, so that this connection ends with the response to its next request."""
    _fault: Problem | None = None
    """The fault of the request, if the parser would not report it."""
    _refusal: Problem | None = None
    """The answer that follows the pending ones: nothing is read after it."""
    _asks_upgrade = False
    """Whether the head that was read asks for another protocol, so that the parser has left its body."""
    _tries: tuple[asyncio.TimerHandle, ...] = ()
    _between_chunks = 0
    """Bytes since the last of the body: extensions of a chunk, or trailers."""

    def __init__(self, *arguments: Any, known: Connections, connection: socket.socket, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._known = known
        self._connection = connection
        self._half_closed = asyncio.Event()
        """Set when the client has sent all that it is going to."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._known.count += 1
        self._known.expect(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._known.arrived(self)
        self._known.closed()
        self._try_no_more()
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
            self._refuse(Problem(408, "Request timeout", f"the request did not arrive within {seconds:g} s"))
        else:
            self.transport.close()

    def take_over(self, begun: weakref.ref[RequestResponseCycle], probe: bytes) -> StreamConnection:
        """Hand the connection to the response that begins, for good. `probe`: see StreamConnection."""
        cycle = begun()
        assert cycle is not None
        # One that is lost already has been counted as such.
        on_end = self._known.closed if self in self.connections else None
        connection = StreamConnection(self.transport, self.flow.write_paused, on_end, self._connection.send, probe)
        self.flow.resume_writing()  # nobody else does from now on
        self.flow.resume_reading()
        self.pipeline.clear()
        self.connections.discard(self)
        self._try_no_more()
        # What refers in a circle would stay until a collection, which then takes longer than the connections did.
        self.parser = self.cycle = self.scope = None  # type: ignore[assignment]

        def write(head: bytes) -> None:
            connection.hold(head)
            if (cycle := begun()) is not None:
                cycle.disconnected = True  # so that uvicorn does not miss the end of the response

        cycle.transport = cast(asyncio.Transport, SimpleNamespace(write=write))
        if self._half_closed.is_set():
            connection.eof_received()
        return connection

    def data_received(self, data: bytes) -> None:
        self._came = len(data)
        if self._owes:
            self._known.read(self, self._came)
        elif self._between_chunks:
            self._between_chunks += self._came
        if self._refusal is None and not self.transport.is_closing():
            self._parse(data)
            # The parser keeps a header or a trailer until it is whole; what of `data` was a body is known only now.
            longest = self._known.bounds.request_head_max
            if self.unread > longest or self._between_chunks > longest:
                self._refuse_what_is_kept()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            detail = "this is not valid HTTP"
            self._refuse(self._fault or Problem(400, "Bad request", detail))

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Serve a request that asks for another protocol in this one (RFC 9110 section 7.8). The parser treats the
        bytes after its head as the other protocol. So another parser reads the head again, without the request to
        upgrade."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        self._asks_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(b"".join([*head, b"\r\n"]))
        if rest and self._refusal is None and not self.transport.is_closing():
            self._parse(rest)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The end of sending is not the end of interest (RFC 9112 section 9.6): what was asked for is answered, and
        then the connection ends. Returns whether it stays until then."""
        self._half_closed.set()
        if not self._owes or self.unread:
            self._refuse(Problem(400, "Bad request", "the connection closed before the request was complete"))
        elif self._is_answering:
            self.cycle.keep_alive = False
            if self.scope["http_version"] == "1.1":
                self._tries = tuple(self.loop.call_later(seconds, self._try) for seconds in TRY_SECONDS)
        return self._is_answering or self._refusal is not None

    def _try(self) -> None:
        """Find out whether a client that waits for an answer is still there."""
        waits = self._is_answering and not self.pipeline and not self.cycle.response_started
        if waits and not self.transport.is_closing():
            self.transport.write(PROCESSING)

    def _try_no_more(self) -> None:
        for each in self._tries:
            each.cancel()
        self._tries = ()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAXIMUM_PIPELINED:
            self._reject(
                Problem(400, "Bad request", f"at most {MAXIMUM_PIPELINED} requests may wait for their answers")
            )
        self._unsure = 0 if self.unread else self._came
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.url += url
        longest = self._known.bounds.request_line_max
        if len(self.url) > longest:
            self._reject(Problem(414, "URI too long", f"it has more than {longest} bytes (`request_line_max`)"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._owes:
            # A trailer: none of those that we know may stand there (RFC 9110 section 6.5.1).
            return
        most = self._known.bounds.request_headers_max
        if len(self.headers) >= most:
            detail = f"it has more than {most} headers (`request_headers_max`)"
            self._reject(Problem(431, "Request headers too large", detail))
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._asks_upgrade = True
            return
        longest = self._known.bounds.request_head_max
        if self.unread + self._unsure > longest and self._head_size() > longest:
            self._reject(self._too_large())
        path, query = self._read_target()
        self._owes = False
        self._known.arrived(self)
        # Of this uvicorn's parser of URLs takes 65,535 bytes at the most.
        self.url = b"/"
        super().on_headers_complete()
        self.scope["raw_path"], self.scope["query_string"] = path, query
        self.scope["path"] = urllib.parse.unquote(path.decode("ascii"))
        if self.scope["http_version"] == "1.0":
            self.cycle.__class__ = UnframedCycle
        if self._ends:
            self.cycle.keep_alive = False
        # A weak reference, since the response holds the scope.
        offer = partial(self.take_over, weakref.ref(self.cycle))
        extensions: dict[str, Any] = {EXTENSION: offer, HALF_CLOSED: self._half_closed, CONNECTION: self.transport}
        extensions[EXCHANGE] = WholeRequest(self.cycle)
        self.scope["extensions"] = extensions

    def _head_size(self) -> int:
        """Bytes of the head that was read, without needless spaces."""
        line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n")
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers) + len("\r\n")

    def _read_target(self) -> tuple[bytes, bytes]:
        try:
            target = split_target(self.parser.get_method(), self.url)
            if target.authority is not None:
                # It wins over the header (RFC 9112 section 3.2.2).
                self.headers[:] = [header for header in self.headers if header[0] != b"host"]
                self.headers.append((b"host", target.authority))
            check_host(self.parser.get_http_version(), [value for name, value in self.headers if name == b"host"])
        except Problem as problem:
            self._reject(problem)
        return target.path, target.query

    def on_chunk_header(self) -> None:
        """The parser has read the size of a chunk, 0 that of the last one."""
        self._between_chunks = 1

    def on_body(self, body: bytes) -> None:
        self._between_chunks = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._asks_upgrade:
            return
        self._owes = True
        self._between_chunks = 0
        if not self.parser.should_keep_alive():
            # Also where only a trailer said so: the parser then reads nothing behind it.
            self.cycle.keep_alive = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer for each request that may follow."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._end_with(self._refusal)
        else:
            self._known.expect(self, self.loop.time(), again=True)

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

    @property
    def _is_answering(self) -> bool:
        """Whether there are requests that have come whole, or in part, and are not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse_what_is_kept(self) -> None:
        if self._refusal is None and not self.transport.is_closing():
            self._refuse(self._too_large(" after a chunk" if self._between_chunks else ""))

    def _too_large(self, where: str = "") -> Problem:
        detail = f"it has more than {self._known.bounds.request_head_max} bytes (`request_head_max`){where}"
        return Problem(431, "Request headers too large", detail)

    def _refuse(self, problem: Problem) -> None:
        """Answer a request that cannot be read, after those before it, and read nothing behind it."""
        waits = self._is_answering
        if not self._owes:
            # It is in its body, and is the newest of those that wait.
            begun, waits = not self.pipeline and self.cycle.response_started, bool(self.pipeline)
            if waits:
                self.pipeline.popleft()
            if begun:
                self.transport.close()
                return
        if waits:
            self._refusal = problem
            self.flow.pause_reading()
        else:
            self._end_with(problem)

    def _end_with(self, problem: Problem) -> None:
        if not self.transport.is_closing():
            self.transport.write(written(problem))
        self.transport.close()


class QuietProtocol(StreamProtocol):
    """The same, without the log of requests."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.access_log = False

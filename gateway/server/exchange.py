"""A request whose body has come with its head, and its answer: each in one step, where ASGI takes several."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


class WholeRequest:
    """See `routes.sink.Exchange`. It refers weakly to what holds it."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = weakref.ref(cycle)

    def take_body(self) -> bytes | None:
        """See Exchange."""
        cycle = self._cycle()
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.response_complete:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()  # who receives from now on waits for the end
        return body

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], content: bytes) -> bool:
        """See Exchange."""
        cycle = self._cycle()
        if cycle is None or cycle.disconnected or cycle.response_started:
            return False
        if cycle.access_log or cycle.flow.write_paused:
            return False
        parts = _head(cycle, status, headers)
        parts += (b"content-length: %d\r\n" % len(content), b"" if cycle.keep_alive else b"connection: close\r\n")
        parts += (b"\r\n", content)
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"".join(parts))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """See Exchange."""
        cycle = self._cycle()
        if cycle is None or cycle.disconnected or cycle.response_started or cycle.access_log:
            return False
        cycle.response_started = cycle.chunked_encoding = True
        cycle.transport.write(b"".join([*_head(cycle, status, headers), b"transfer-encoding: chunked\r\n\r\n"]))
        return True


def _head(cycle: RequestResponseCycle, status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    return parts

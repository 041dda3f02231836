"""The connections of a process: how many there are, and which of them still owe a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.model.setting import integer, seconds

HEAD_BYTES = 67_108_864
"""Bytes that requests of which the end has not come yet may have together."""


@dataclass(frozen=True)
class ConnectionBounds:
    """The bounds of requests before they have arrived."""

    waiting_connections: int = integer(
        4096, "connections", "connections that wait for a request; beyond that, the oldest are closed", 1, 1_000_000
    )
    head_timeout: float = seconds(10.0, "longest time for the request line and headers to arrive", 0.05, 3600)
    keep_alive: float = seconds(5.0, "how long an idle connection is kept for another request", 0.05, 3600)
    request_line_max: int = integer(262_144, "bytes", "longest path with its query", 1024, 1 << 24)
    request_head_max: int = integer(
        524_288, "bytes", "longest head of a request: the request line and all headers", 2048, 1 << 25
    )
    request_headers_max: int = integer(100, "headers", "headers per request", 8, 10_000)


class Owing(Protocol):
    """A connection whose next request has not come yet."""

    unread: int
    """Bytes of it that have come."""

    def give_up(self, late: bool) -> None:
        """Close it: the request is late, or its slot is needed for others."""
        ...


class Connections:
    """Counts connections, and keeps those that owe a request in the order of their deadlines. One look at the first
    shows whether any is late, and no connection and no request needs a timer."""

    def __init__(self, bounds: ConnectionBounds, most: int) -> None:
        self.bounds = bounds
        self.count = 0
        """Those that are open, streams among them."""
        self._most = most
        self._owing: dict[Owing, float] = {}
        self._kept: dict[Owing, float] = {}
        """Those that have had an answer, and of whose next request nothing has come."""
        self._unread = 0

    def has_room(self) -> bool:
        """Whether there may be one more."""
        return self.count < self._most

    def closed(self) -> None:
        """One is gone."""
        self.count -= 1

    def expect(self, connection: Owing, now: float, again: bool = False) -> None:
        """A request has to come from now on; `again`: another one may, so that its connection is only kept for a while.
        Where too many owe one, who has owed it for longest is given up."""
        self._owing.pop(connection, None)
        self._owing[connection] = now + self.bounds.head_timeout
        if again:
            self._kept[connection] = now + self.bounds.keep_alive
        if len(self._owing) > self.bounds.waiting_connections:
            next(iter(self._owing)).give_up(late=False)

    def read(self, connection: Owing, size: int) -> None:
        """A part of a head has come."""
        if not connection.unread:
            self._kept.pop(connection, None)
        connection.unread += size
        self._unread += size
        while self._unread > HEAD_BYTES and self._owing:
            next(iter(self._owing)).give_up(late=False)

    def arrived(self, connection: Owing) -> None:
        """The request has come, or the connection is gone: it owes nothing any more."""
        self._owing.pop(connection, None)
        self._kept.pop(connection, None)
        self._unread -= connection.unread
        connection.unread = 0

    def sweep(self, now: float) -> None:
        """Give up those that are late, and those that were kept for long enough."""
        for connection in _passed(self._owing, now):
            connection.give_up(late=True)
        for connection in _passed(self._kept, now):
            connection.give_up(late=False)


def _passed(deadlines: Mapping[Owing, float], now: float) -> list[Owing]:
    """Those whose time is up; the earliest come first."""
    passed = []
    for connection, deadline in deadlines.items():
        if deadline > now:
            break
        passed.append(connection)
    return passed

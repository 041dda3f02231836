"""Shows the operator the open streams as a table. It is computed when somebody asks, so that no stream keeps it."""

from __future__ import annotations

import heapq
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from gateway.catalog.catalog import Catalog
from gateway.cooperative import Yielder
from gateway.feed.live import LiveFeed
from gateway.hub.ring import Ring
from gateway.model.record import TopicPartition
from gateway.subscription.session import Session

MOST_ROWS = 1000
SHOWN_CHARACTERS = 1000
"""Of a filter or a position."""

_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
"""Where Linux has `tcpi_bytes_acked` in `struct tcp_info` (linux/tcp.h)."""


class Sortable(Protocol):
    """What the table may be sorted by."""

    @property
    def since(self) -> int: ...
    @property
    def lag(self) -> int: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def address(self) -> str: ...


class Open(Sortable, Protocol):
    """An open stream, of which each thing is found out when it is asked for."""

    def row(self) -> ConnectionRow:
        """Its row in the table."""
        ...


ORDERS: dict[str, Callable[[Sortable], Any]] = {
    "since": lambda row: row.since,
    "lag": lambda row: -row.lag,
    "bytes": lambda row: -(row.bytes or 0),
    "address": lambda row: row.address,
}
"""By what the table may be sorted: the oldest, the furthest behind, those who got most, or by address."""


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """One open stream. `since` is in milliseconds. `lag` counts records that the ring has and the client has not
    received. `bytes` are those that the client's side has acknowledged, if the system tells. `view` is the view that
    the client follows, or None."""

    id: str
    address: str
    user_agent: str
    streams: list[str]
    filter: str | None
    format: str
    position: str
    live: bool
    lag: int
    bytes: int | None
    since: int
    view: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def sorted_rows(rows: Iterable[ConnectionRow], order: str, limit: int) -> list[ConnectionRow]:
    """The first rows in this order."""
    return heapq.nsmallest(limit, rows, key=ORDERS[order])


async def first_rows(count: int, at: Callable[[int], Open], order: str, limit: int) -> list[ConnectionRow]:
    """The first rows in this order, of so many open streams. Of the others no more is looked at than what they are
    sorted by."""
    key, work = ORDERS[order], Yielder()
    keys = []
    for index in range(count):
        keys.append((key(at(index)), index))
        await work.give_way()
    rows = []
    for _, index in heapq.nsmallest(limit, keys):
        rows.append(at(index).row())
        await work.give_way()
    return rows


class Table:
    """The open streams of a process, at one moment."""

    def __init__(self, catalog: Catalog, ring: Ring, worker: str) -> None:
        self.ring = ring
        self._catalog = catalog
        self._worker = worker
        self._names: dict[frozenset[str], list[str]] = {}
        self._live: dict[LiveFeed, set[int]] = {}
        """The transports of the live clients, by their feed."""

    async def first(self, sessions: Sequence[Session], order: str, limit: int) -> list[ConnectionRow]:
        """The first rows in this order."""
        return await first_rows(len(sessions), lambda index: _OpenStream(sessions[index], self), order, limit)

    def is_live(self, session: Session) -> bool:
        """Whether the hub writes to it directly."""
        transport, feed = session.writer.sink.transport, session.live_feed
        if transport is None:
            return False
        if feed not in self._live:
            self._live[feed] = {id(client.transport) for client in feed.clients}
        return id(transport) in self._live[feed]

    def row(self, stream: _OpenStream) -> ConnectionRow:
        """That of a stream."""
        session, live = stream.session, stream.live
        subscription, selection = session.subscription, session.request.selection
        identifier = b""
        if live:
            identifier = session.feed.timeline.end()
        elif subscription is not None:
            identifier = subscription.identifier
        if selection.topics not in self._names:
            self._names[selection.topics] = stream_names(self._catalog, selection.topics)
        return ConnectionRow(
            id=f"{self._worker}-{id(session):x}",
            address=stream.address,
            user_agent=session.visitor.agent,
            streams=self._names[selection.topics],
            filter=None if selection.filter is None else selection.filter.text[:SHOWN_CHARACTERS],
            format=session.request.format.content_type,
            position=identifier.decode()[:SHOWN_CHARACTERS],
            live=live,
            lag=stream.lag,
            bytes=stream.bytes,
            since=stream.since,
        )


class _OpenStream:
    """A session, and what it may be sorted by, which is found out when it is asked for."""

    __slots__ = ("_table", "session")

    def __init__(self, session: Session, table: Table) -> None:
        self.session = session
        self._table = table

    @property
    def live(self) -> bool:
        return self._table.is_live(self.session)

    @property
    def since(self) -> int:
        return self.session.since

    @property
    def address(self) -> str:
        return self.session.visitor.address

    @property
    def lag(self) -> int:
        subscription = self.session.subscription
        return 0 if subscription is None or self.live else behind(self._table.ring, subscription.next_offsets)

    @property
    def bytes(self) -> int | None:
        return acknowledged(self.session.writer.sink.transport)

    def row(self) -> ConnectionRow:
        return self._table.row(self)


def behind(ring: Ring, next_offsets: Mapping[TopicPartition, int]) -> int:
    """How many records the ring has from these offsets on."""
    held = ring.partitions()
    return sum(max(0, ring.end(partition) - at) for partition, at in next_offsets.items() if partition in held)


def acknowledged(transport: object) -> int | None:
    """The bytes that have arrived, by the kernel's figures of the connection, so that nobody has to count."""
    ask = getattr(transport, "get_extra_info", None)
    connected = None if ask is None else ask("socket")
    if connected is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        state = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED_AT + _BYTES_ACKED.size)
    except OSError:
        return None
    if len(state) < _BYTES_ACKED_AT + _BYTES_ACKED.size:
        return None
    count: int = _BYTES_ACKED.unpack_from(state, _BYTES_ACKED_AT)[0]
    return count


def stream_names(catalog: Catalog, topics: frozenset[str]) -> list[str]:
    """The streams whose topics are all among these."""
    return [stream.name for stream in catalog.streams.values() if topics.issuperset(stream.topics)]

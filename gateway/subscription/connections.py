"""Shows the operator the open streams as a table. It is computed when somebody asks, so that no stream keeps it."""

from __future__ import annotations

import heapq
import socket
import struct
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.hub.ring import Ring
from gateway.subscription.session import Session

MOST_ROWS = 1000
SHOWN_CHARACTERS = 1000
"""Of a filter or a position."""
ORDERS: dict[str, Callable[[ConnectionRow], Any]] = {
    "since": lambda row: row.since,
    "lag": lambda row: -row.lag,
    "bytes": lambda row: -(row.bytes or 0),
    "address": lambda row: row.address,
}
"""By what the table may be sorted: the oldest, the furthest behind, those who got most, or by address."""

_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
"""Where Linux has `tcpi_bytes_acked` in `struct tcp_info` (linux/tcp.h)."""


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """One open stream. `since` is in milliseconds. `lag` counts records that the ring has and the client has not
    received. `bytes` are those that the client's side has acknowledged, if the system tells."""

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

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def sorted_rows(rows: Iterable[ConnectionRow], order: str, limit: int) -> list[ConnectionRow]:
    """The first rows in this order."""
    return heapq.nsmallest(limit, rows, key=ORDERS[order])


def connections(sessions: Collection[Session], catalog: Catalog, ring: Ring, worker: str) -> list[ConnectionRow]:
    """A row for each session of this process."""
    names: dict[frozenset[str], list[str]] = {}
    feeds = {session.live_feed for session in sessions}
    transports = {live_feed: {id(client.transport) for client in live_feed.clients} for live_feed in feeds}
    rows = []
    for session in sessions:
        topics = session.request.selection.topics
        if topics not in names:
            names[topics] = stream_names(catalog, topics)
        transport = session.writer.sink.transport
        live = transport is not None and id(transport) in transports[session.live_feed]
        rows.append(_row(session, names[topics], ring, worker, live))
    return rows


def stream_names(catalog: Catalog, topics: frozenset[str]) -> list[str]:
    """The streams whose topics are all among these."""
    return [stream.name for stream in catalog.streams.values() if topics.issuperset(stream.topics)]


def _row(session: Session, streams: list[str], ring: Ring, worker: str, live: bool) -> ConnectionRow:
    subscription, selection = session.subscription, session.request.selection
    identifier, lag = b"", 0
    if live:
        identifier = session.feed.timeline.end()
    elif subscription is not None:
        identifier = subscription.identifier
        held = ring.partitions()
        lag = sum(
            max(0, ring.end(partition) - at) for partition, at in subscription.next_offsets.items() if partition in held
        )
    return ConnectionRow(
        id=f"{worker}-{id(session):x}",
        address=session.visitor.address,
        user_agent=session.visitor.agent,
        streams=streams,
        filter=None if selection.filter is None else selection.filter.text[:SHOWN_CHARACTERS],
        format=session.request.format.content_type,
        position=identifier.decode()[:SHOWN_CHARACTERS],
        live=live,
        lag=lag,
        bytes=_acknowledged(session),
        since=session.since,
    )


def _acknowledged(session: Session) -> int | None:
    """The kernel's figures of the connection, so that nobody has to count."""
    transport = session.writer.sink.transport
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
    acknowledged: int = _BYTES_ACKED.unpack_from(state, _BYTES_ACKED_AT)[0]
    return acknowledged

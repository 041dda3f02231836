"""Many SSE clients in one thread: raw sockets, epoll, and no more parsing than the check needs.

Events are counted for every client; for the first `sampled` of them each sequence number and each delay is read.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

DATA = b"\ndata: "
PAYLOAD = re.compile(rb'"seq":(\d+),"sent":(\d+),')
LONGEST_PAYLOAD_HEAD = 64
EDGE = len(DATA) - 1
BUFFER_BYTES = 1 << 20
CONNECTING_AT_ONCE = 100


class MeasurementError(Exception):
    """The measurement is worth nothing: what was measured did not do its work."""


@dataclass(slots=True)
class Sample:
    """One client looked at in full. `following` is the sequence number that has to come next."""

    following: int = 0
    gaps: int = 0
    repeated: int = 0
    delays: list[int] = field(default_factory=list)
    rest: bytes = b""

    def read(self, data: bytes) -> None:
        """Take in what arrived."""
        now = time.time_ns()
        data = self.rest + data
        end = 0
        for match in PAYLOAD.finditer(data):
            seq = int(match[1])
            self.gaps += max(0, seq - self.following)
            self.repeated += seq < self.following
            self.following = max(self.following, seq + 1)
            self.delays.append(now - int(match[2]))
            end = match.end()
        self.rest = data[max(end, len(data) - LONGEST_PAYLOAD_HEAD) :]


@dataclass(slots=True)
class Client:
    """One connection. `edge` is the end of what was read, where a pattern may have begun."""

    connection: socket.socket
    sample: Sample | None
    events: int = 0
    received: int = 0
    edge: bytes = b""


class Clients:
    """All connections of a measurement. `events` is what has arrived at all of them together."""

    def __init__(self, port: int, path: str, sampled: int) -> None:
        self._address = ("127.0.0.1", port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode()
        self.events = 0
        self._sampled = sampled
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._buffer = bytearray(BUFFER_BYTES)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *error: object) -> None:
        for client in self._clients.values():
            client.connection.close()
        self._poll.close()

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients.values())

    @property
    def received(self) -> int:
        """Bytes that have arrived, of all clients."""
        return sum(client.received for client in self)

    @property
    def samples(self) -> list[Sample]:
        """The clients looked at in full."""
        return [client.sample for client in self if client.sample is not None]

    def connect(self, count: int, seconds: float) -> None:
        """Open so many more connections, and wait until each has had the first `id:` of its stream."""
        deadline = time.monotonic() + seconds
        while count > 0:
            some = [self._open() for _ in range(min(count, CONNECTING_AT_ONCE))]
            count -= len(some)
            self.run(partial(_greeted, some), deadline)

    def run(self, done: Callable[[], bool], deadline: float) -> None:
        """Read until `done`, which is asked after every turn."""
        while not done():
            if time.monotonic() > deadline:
                raise MeasurementError("not finished in time")
            self.turn()

    def turn(self) -> None:
        """Read once from each connection that has something."""
        buffer = self._buffer
        for descriptor, _ in self._poll.poll(0.05):
            client = self._clients[descriptor]
            try:
                length = client.connection.recv_into(buffer)
            except ConnectionError as error:
                raise MeasurementError(f"a connection broke: {error}") from error
            if length == 0:
                raise MeasurementError("the server closed a connection")
            if client.received == 0 and not buffer.startswith(b"HTTP/1.1 200"):
                raise MeasurementError(f"answered {bytes(buffer[: min(length, 500)])!r}")
            client.received += length
            seam = client.edge + buffer[: min(length, EDGE)]
            events = buffer.count(DATA, 0, length) + seam.count(DATA)
            client.events += events
            self.events += events
            client.edge = bytes(buffer[length - EDGE : length]) if length >= EDGE else seam[-EDGE:]
            if client.sample is not None:
                client.sample.read(bytes(buffer[:length]))

    def _open(self) -> Client:
        connection = socket.create_connection(self._address, timeout=10)
        connection.sendall(self._request)
        connection.setblocking(False)
        client = Client(connection, Sample() if len(self._clients) < self._sampled else None)
        self._clients[connection.fileno()] = client
        self._poll.register(connection, select.EPOLLIN)
        return client


def _greeted(clients: list[Client]) -> bool:
    return all(client.received for client in clients)

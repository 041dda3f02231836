"""Many clients in one thread: raw sockets, epoll, and no more parsing than the check needs.

Raw sockets, because asyncio's BufferedProtocol took 10 to 20% more CPU for the same streams, and its Protocol 20%.
What a stream holds is read by the readers of `stream`.
"""

from __future__ import annotations

import select
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loadtests.machine import MeasurementError
from loadtests.response import RESERVED, ProtocolError, Response
from loadtests.stream import Bytes, Inflated, Resumable, Sample, StreamReader, Tally

__all__ = ["READINGS", "Client", "Clients", "MeasurementError"]

BUFFER_BYTES = 1 << 20
CONNECTING_AT_ONCE = 100
"""Connections opened and not answered yet: few, so that the set-up is no storm of its own."""
STORM_AT_ONCE = 1000
"""The same in a storm; under the backlog of any server, so that no connect waits for a second try of TCP."""
PORTS_AN_ADDRESS = 20_000
"""Connections from one address of 127.0.0.0/8, of the 28,000 ports that Linux gives it."""
SLOW_TICK = 0.1
SLOW_BYTES = 2048
"""A slow reader takes so many bytes every SLOW_TICK seconds."""
SLOW_BUFFER = 16_384
QUIET_SECONDS = 0.25
_RESET = struct.pack("ii", 1, 0)

READINGS: dict[str, tuple[Callable[[], StreamReader], Callable[[], StreamReader]]] = {
    "plain": (Sample, Tally),
    "gzip": (Inflated, Bytes),
    "sparse": (lambda: Sample(sparse=True), lambda: Sample(sparse=True)),
    "resume": (Resumable, Resumable),
}
"""How streams are read: a sample of the clients, and the others. `sparse` is for filters, `gzip` asks for gzip."""


@dataclass(slots=True)
class Client:
    """One connection. `counted` is whether its reader counts events, and it is not a slow one."""

    index: int
    connection: socket.socket
    reader: StreamReader
    response: Response
    counted: bool
    received: int = 0
    last_event: float = 0.0
    """When its newest event came (monotonic seconds)."""

    @property
    def events(self) -> int:
        """How many have come; 0 where they are not counted."""
        return self.reader.events


class Clients:
    """All connections of a process. `events` is what has arrived at all that are counted.

    Client number i takes path i of `paths`, round and round; `sampled` of each `connect`, spread evenly, are read in
    full. The last `slow` clients are slow readers.
    """

    def __init__(self, port: int, path: str | Sequence[str], sampled: int, reading: str = "plain") -> None:
        self._port = port
        self._paths = [path] if isinstance(path, str) else list(path)
        self._sampled = sampled
        self._reading = reading
        self.events = 0
        self._waiting = 0
        self._poll = select.epoll()
        self._all: list[Client] = []
        self._clients: dict[int, Client] = {}
        self._slow: list[Client] = []
        self._slow_due = 0.0
        self._buffer = bytearray(RESERVED + BUFFER_BYTES)
        self._room = memoryview(self._buffer)[RESERVED:]

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *error: object) -> None:
        for client in self._all:
            client.connection.close()
        self._poll.close()

    def __iter__(self) -> Iterator[Client]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def received(self) -> int:
        """Bytes that have arrived, of all clients."""
        return sum(client.received for client in self)

    @property
    def samples(self) -> list[Sample]:
        """The readers that know each event's delay."""
        return [client.reader for client in self if isinstance(client.reader, Sample)]

    def wake_on(self, descriptor: int) -> None:
        """End a turn's wait when there is something to read from this file, of which no more is made here."""
        self._poll.register(descriptor, select.EPOLLIN)

    def connect(self, count: int, seconds: float, slow: int = 0, first: int = 0) -> None:
        """Open so many more connections, and wait until each has had the first bytes of its stream.

        `first` is the number of the first; the last `slow` of them read slowly. Raises MeasurementError.
        """
        deadline = time.monotonic() + seconds
        for number in range(count):
            in_sample = number * self._sampled // count != (number - 1) * self._sampled // count
            is_slow = number >= count - slow
            reader = READINGS[self._reading][0 if in_sample and not is_slow else 1]()
            counted = not (is_slow or isinstance(reader, Bytes))
            connection = self._connect(first + number, b"", is_slow)
            client = Client(first + number, connection, reader, self._response(), counted)
            self._all.append(client)
            if is_slow:
                self._slow.append(client)
            else:
                self._listen(client)
            self._hold(CONNECTING_AT_ONCE, deadline)
        self._hold(0, deadline)

    def drop(self) -> None:
        """Break all connections at once, as a network does; the readers keep what they need to go on."""
        for client in self._all:
            self._poll.unregister(client.connection)
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.connection.close()
        self._clients.clear()

    def resume(self, seconds: float) -> None:
        """Connect all dropped clients again, each with its last id, and wait until each is answered."""
        deadline = time.monotonic() + seconds
        for client in self._all:
            assert isinstance(client.reader, Resumable)
            before = client.reader.events
            identifier = client.reader.cut()
            self.events += client.reader.events - before
            client.connection = self._connect(client.index, b"Last-Event-ID: %s\r\n" % identifier)
            client.response = self._response()
            self._listen(client)
            self._hold(STORM_AT_ONCE, deadline)
        self._hold(0, deadline)

    def run(self, done: Callable[[], bool], deadline: float) -> None:
        """Read until `done`, which is asked after every turn. Raises MeasurementError at the deadline."""
        while not done():
            if time.monotonic() > deadline:
                raise MeasurementError("not finished in time")
            self.turn()

    def linger(self, seconds: float) -> None:
        """Read on until nothing has come for a moment, so that what is too much is seen."""
        deadline = time.monotonic() + seconds
        while self.turn(QUIET_SECONDS) and time.monotonic() < deadline:
            pass

    def turn(self, wait: float = 0.05) -> int:
        """Read once from each connection that has something; returns how many had."""
        found = self._poll.poll(min(wait, SLOW_TICK) if self._slow else wait)
        for descriptor, _ in found:
            client = self._clients.get(descriptor)
            if client is not None:
                self._receive(client, self._room)
        if self._slow and time.monotonic() >= self._slow_due:
            self._slow_due = time.monotonic() + SLOW_TICK
            for client in self._slow:
                self._receive(client, self._room[:SLOW_BYTES])
        return len(found)

    def _receive(self, client: Client, room: memoryview) -> None:
        try:
            length = client.connection.recv_into(room)
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise MeasurementError(f"a connection broke: {error}") from error
        if length == 0:
            raise MeasurementError("the server closed a connection")
        client.received += length
        response, reader = client.response, client.reader
        before, now = reader.events, time.time_ns()
        waiting = not response.open
        try:
            for start, end in response.pieces(self._buffer, RESERVED + length):
                reader.read(self._buffer, start, end, now)
        except (ProtocolError, ValueError, zlib.error) as error:
            raise MeasurementError(f"client {client.index} read what it should not: {error}") from error
        if response.ended:
            raise MeasurementError("the server ended a stream")
        self._waiting -= waiting and response.open
        if reader.events != before:
            client.last_event = time.monotonic()
            if client.counted:
                self.events += reader.events - before

    def _hold(self, most: int, deadline: float) -> None:
        if self._waiting > most:
            self.run(lambda: self._waiting <= most // 2, deadline)

    def _connect(self, index: int, header: bytes, slow: bool = False) -> socket.socket:
        """A connection on which its request was sent."""
        path = self._paths[index % len(self._paths)].encode()
        coding = b"Accept-Encoding: gzip\r\n" if self._reading == "gzip" else b""
        connection = socket.socket()
        if index >= PORTS_AN_ADDRESS:
            connection.bind((f"127.0.0.{1 + index // PORTS_AN_ADDRESS}", 0))
        if slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
        connection.settimeout(10)
        request = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n%s%s\r\n"
        try:
            connection.connect(("127.0.0.1", self._port))
            connection.sendall(request % (path, coding, header))
        except OSError as error:
            connection.close()
            raise MeasurementError(f"cannot connect: {error}") from error
        connection.setblocking(False)
        return connection

    def _response(self) -> Response:
        self._waiting += 1
        return Response(b"gzip" if self._reading == "gzip" else None)

    def _listen(self, client: Client) -> None:
        self._clients[client.connection.fileno()] = client
        self._poll.register(client.connection, select.EPOLLIN)

"""Many clients in one thread. Connections are opened here; what comes on them is read and checked by reader.c.

In C, because a delivery costs Python four times what it costs the server: asyncio's protocols, and raw sockets with
`bytes.count`, were both saturated before the gateway was.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import time
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.machine import MeasurementError
from loadtests.native import compiled

__all__ = ["READINGS", "Client", "Clients", "MeasurementError", "Reader", "State"]

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
GZIP_MEMBER = 31
_RESET = struct.pack("ii", 1, 0)
_LINE = 512

COUNTED, SPARSE, SAMPLED, GZIP, INFLATED, RESUMES = (1 << bit for bit in range(6))
"""Flags of reader.c: events count for the whole; numbers only have to rise; the time of each event is kept; the
response has to be coded with gzip; it is inflated and read; the last id is kept."""

READINGS: dict[str, tuple[int, int]] = {
    "plain": (COUNTED | SAMPLED, COUNTED),
    "gzip": (COUNTED | SAMPLED | GZIP | INFLATED, GZIP),
    "sparse": (COUNTED | SAMPLED | SPARSE, COUNTED | SPARSE),
    "resume": (COUNTED | RESUMES, COUNTED | RESUMES),
}
"""How streams are read: a sample of the clients, and the others. `sparse` is for filters; of those with `gzip` that
are not in the sample only the bytes are counted, since to inflate them all would be a load of its own."""


class _Line(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("bytes", ctypes.c_char * _LINE))


class State(ctypes.Structure):
    """`struct client` of reader.c. `following` is the number that has to come next; times are ns since the epoch."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("index", "fd", "flags", "mode")),
        *((name, ctypes.c_int64) for name in ("left", "received", "events", "following", "gaps", "repeated")),
        *((name, ctypes.c_int64) for name in ("newest", "seq", "sent")),
        ("samples", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("samples_count", "samples_room")),
        *((name, ctypes.c_int32) for name in ("failed", "status_seen", "chunked", "coded", "head_bytes")),
        ("fault", ctypes.c_char * 256),
        *((name, ctypes.c_char * _LINE) for name in ("id", "next_id")),
        *((name, _Line) for name in ("transport", "text")),
    )

    events: int
    following: int
    gaps: int
    repeated: int
    received: int
    newest: int
    fault: bytes


_INFLATE = ctypes.CFUNCTYPE(None, ctypes.POINTER(State), ctypes.c_void_p, ctypes.c_size_t)


class _Head(ctypes.Structure):
    _fields_ = (
        ("events", ctypes.c_int64),
        ("waiting", ctypes.c_int64),
        ("failed", ctypes.POINTER(State)),
        ("inflate", _INFLATE),
        ("poller", ctypes.c_int32),
        ("buffer", ctypes.c_char * (1 << 20)),
    )


class Reader:
    """What reader.c does, for the clients of one thread."""

    def __init__(self, poller: int = -1) -> None:
        self._library = ctypes.CDLL(str(compiled("reader", "-shared", "-fPIC")))
        self._library.receive.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        content: list[Any] = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64]
        self._library.feed.argtypes = self._library.take_in.argtypes = content
        self._library.watch.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self._head = _Head(poller=poller, inflate=_INFLATE(self._inflate))
        self._inflaters: dict[int, Callable[[bytes], bytes]] = {}
        self._address = ctypes.addressof(self._head)
        self.turn = self._library.turn
        self.turn.argtypes = [ctypes.c_void_p, ctypes.c_int]

    @property
    def events(self) -> int:
        """What has come at all that are counted."""
        return int(self._head.events)

    @property
    def waiting(self) -> int:
        """Connections whose head has not come yet."""
        return int(self._head.waiting)

    def begin(self, state: State, descriptor: int) -> None:
        """A new connection; it goes on after what the client has had, and forgets the frame that had no end."""
        self._library.begin(self._pointer, ctypes.byref(state), descriptor)
        self._inflaters[state.index] = zlib.decompressobj(GZIP_MEMBER).decompress

    def watch(self, descriptor: int, state: State | None = None) -> None:
        """Read from it in each turn; without a state, only end a turn's wait."""
        if self._library.watch(self._pointer, descriptor, state and ctypes.byref(state)):
            raise MeasurementError("a connection cannot be watched")

    def read(self, wait: float) -> int:
        """Once from each that has something. Raises MeasurementError."""
        count = int(self.turn(self._pointer, int(1000 * wait)))
        self._check()
        return count

    def receive(self, state: State, most: int) -> None:
        """Once from this one, so many bytes at most. Raises MeasurementError."""
        self._library.receive(self._pointer, ctypes.byref(state), most)
        self._check()

    def take_in(self, state: State, content: bytes, moment: int = 0) -> str:
        """Bytes as from a socket; what is wrong with them, or nothing."""
        self._library.take_in(self._pointer, ctypes.byref(state), content, len(content), moment)
        return state.fault.decode(errors="replace")

    def forget(self, state: State) -> None:
        """Give back its memory."""
        self._library.forget(ctypes.byref(state))

    @property
    def _pointer(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._address)

    def _check(self) -> None:
        if self._head.failed:
            state = self._head.failed.contents
            raise MeasurementError(f"client {state.index}: {state.fault.decode(errors='replace')}")

    def _inflate(self, state: ctypes._Pointer[State], address: int, size: int) -> None:
        one = state.contents
        try:
            plain = self._inflaters[one.index](ctypes.string_at(address, size))
        except zlib.error as error:
            one.failed, one.fault = 1, f"not gzip: {error}".encode()
            return
        self._library.feed(self._pointer, state, plain, len(plain), time.time_ns())


@dataclass(slots=True)
class Client:
    """One connection, and what was read on it."""

    index: int
    connection: socket.socket
    state: State = field(default_factory=State)

    @property
    def counted(self) -> bool:
        """Whether its events are counted, and it is not a slow reader."""
        return bool(self.state.flags & COUNTED)

    @property
    def last_event(self) -> float:
        """When its newest event came (seconds since the epoch)."""
        return self.state.newest / 1e9

    @property
    def samples(self) -> tuple[array[int], array[int]]:
        """Of each event, when it was sent and when it came (ns); empty where it is not of the sample."""
        values = array("q")
        if self.state.samples:
            values.frombytes(ctypes.string_at(self.state.samples, 16 * self.state.samples_count))
        return values[::2], values[1::2]


class Clients:
    """All connections of a process. `events` is what has arrived at all that are counted.

    Client number i takes path i of `paths`, round and round; of `sampled` of each `connect`, spread evenly, the time of
    each event is kept. The last `slow` clients are slow readers.
    """

    def __init__(self, port: int, path: str | Sequence[str], sampled: int, reading: str = "plain") -> None:
        self._port = port
        self._paths = [path] if isinstance(path, str) else list(path)
        self._sampled = sampled
        self._reading = reading
        self._poll = select.epoll()
        self._reader = Reader(self._poll.fileno())
        self._all: list[Client] = []
        self._slow: list[Client] = []
        self._slow_due = 0.0

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *error: object) -> None:
        for client in self._all:
            client.connection.close()
            self._reader.forget(client.state)
        self._poll.close()

    def __iter__(self) -> Iterator[Client]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def events(self) -> int:
        """What has arrived at all that are counted."""
        return self._reader.events

    def wake_on(self, descriptor: int) -> None:
        """End a turn's wait when there is something to read from this file, of which no more is made here."""
        self._reader.watch(descriptor)

    def connect(self, count: int, seconds: float, slow: int = 0, first: int = 0) -> None:
        """Open so many more connections, and wait until each is answered.

        `first` is the number of the first; the last `slow` of them read slowly. Raises MeasurementError.
        """
        deadline = time.monotonic() + seconds
        for number in range(count):
            in_sample = number * self._sampled // count != (number - 1) * self._sampled // count
            is_slow = number >= count - slow
            flags = READINGS[self._reading][0 if in_sample and not is_slow else 1]
            client = Client(first + number, self._connect(first + number, b"", is_slow))
            client.state.index, client.state.flags = client.index, flags & ~COUNTED if is_slow else flags
            self._all.append(client)
            self._reader.begin(client.state, client.connection.fileno())
            if is_slow:
                self._slow.append(client)
            else:
                self._reader.watch(client.connection.fileno(), client.state)
            self._hold(CONNECTING_AT_ONCE, deadline)
        self._hold(0, deadline)

    def drop(self) -> None:
        """Break all connections at once, as a network does; what is needed to go on is kept."""
        for client in self._all:
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.connection.close()

    def resume(self, seconds: float) -> None:
        """Connect all dropped clients again, each with its last id, and wait until each is answered."""
        deadline = time.monotonic() + seconds
        for client in self._all:
            client.connection = self._connect(client.index, b"Last-Event-ID: %s\r\n" % client.state.id)
            self._reader.begin(client.state, client.connection.fileno())
            self._reader.watch(client.connection.fileno(), client.state)
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
        found = self._reader.read(min(wait, SLOW_TICK) if self._slow else wait)
        if self._slow and time.monotonic() >= self._slow_due:
            self._slow_due = time.monotonic() + SLOW_TICK
            for client in self._slow:
                self._reader.receive(client.state, SLOW_BYTES)
        return found

    def _hold(self, most: int, deadline: float) -> None:
        if self._reader.waiting > most:
            self.run(lambda: self._reader.waiting <= most // 2, deadline)

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
        return connection

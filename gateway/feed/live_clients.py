"""The live clients of a feed: each block is written to all of them in one loop.

The loop asks the sockets first, past their transports. That costs a tenth less per delivery than a call of the
transport's `write`. The transport gets what its socket does not take, and then every further block until it is empty.
So nothing overtakes what waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from itertools import repeat
from operator import call
from typing import Protocol

from gateway.feed.held import Holding
from gateway.feed.packer import Gzip, Plain

BUFFER_LIMIT = 65536
"""Unsent bytes of a client, beside the kernel's, from which it is no longer live."""

SocketSend = Callable[[bytes], int]
"""Sends what the connection takes at once, and tells how many bytes that were. Raises OSError (socket.send)."""


class Transport(Protocol):
    """The write side of a connection (asyncio.WriteTransport)."""

    def write(self, data: bytes) -> None: ...

    def get_write_buffer_size(self) -> int: ...


class Coding(Enum):
    """In which form a client gets a block."""

    PLAIN = "as it is"
    CHAINED = "compressed, referring back as far as the last key block"
    ALONE = "compressed, referring to nothing, since the client does not have all since the last key block"


class LiveClient:
    """A client that is written to as the log delivers. `send` goes past the transport to the same connection."""

    __slots__ = (
        "charge",
        "coding",
        "group",
        "holding",
        "packer",
        "quiet_since",
        "released",
        "send",
        "shared_before",
        "spent_before",
        "transport",
    )

    def __init__(self, transport: Transport, packer: Plain | Gzip, send: SocketSend | None = None) -> None:
        self.transport = transport
        self.send = send
        self.packer = packer
        self.coding = Coding.PLAIN
        self.group = _NONE
        """Those with whom it is written to, while it is live."""
        self.quiet_since = 0.0
        self.released: asyncio.Future[int] | None = None
        self.shared_before = (0, 0)
        self.charge: Callable[[int], float] | None = None
        """Told how many steps of its filter it has to pay for; gives the seconds until they are paid for."""
        self.spent_before = 0
        self.holding: Holding | None = None
        """Counts what its connection holds unsent."""

    @property
    def keeps_up(self) -> bool:
        """Whether what waits for the client is little enough for it to be live."""
        return self.transport.get_write_buffer_size() <= BUFFER_LIMIT

    def on_release(self, number: int) -> None:
        """Called at once, while the ring still holds the segment at which the task continues."""

    def release(self, number: int) -> None:
        """Hand the client back to its task, which continues at this segment."""
        if self.released is not None and not self.released.done():
            try:
                self.on_release(number)
            except Exception as error:
                # Its position is not certain any more, so it must not go on.
                self.released.set_exception(error)
            else:
                self.released.set_result(number)

    def fail(self, number: int, error: Exception) -> None:
        """Hand the client back to its task, which is to end it: this segment cannot be delivered."""
        if self.released is not None and not self.released.done():
            with suppress(Exception):  # The first mistake is the one that is told.
                self.on_release(number)
            self.released.set_exception(error)


_NONE: dict[LiveClient, SocketSend | None] = {}


class LiveClients:
    """The live clients of a feed, in groups that are written to together."""

    __slots__ = ("_ready", "_waiting", "compressed")

    def __init__(self) -> None:
        self._ready: dict[Coding, dict[LiveClient, SocketSend | None]] = {coding: {} for coding in Coding}
        """Those whose transports hold nothing back."""
        self._waiting: dict[LiveClient, SocketSend | None] = {}
        """The others, and those without a socket: each is written to by itself."""
        self.compressed = 0
        """How many of them get compressed blocks."""

    def __len__(self) -> int:
        return len(self._waiting) + sum(map(len, self._ready.values()))

    def __iter__(self) -> Iterator[LiveClient]:
        for group in (*self._ready.values(), self._waiting):
            yield from group

    def __contains__(self, client: LiveClient) -> bool:
        return client in self._waiting or client in self._ready[client.coding]

    def add(self, client: LiveClient) -> None:
        client.coding = Coding.ALONE if isinstance(client.packer, Gzip) else Coding.PLAIN
        self.compressed += client.coding is Coding.ALONE
        self.regroup(client)

    def remove(self, client: LiveClient) -> None:
        self.compressed -= isinstance(client.packer, Gzip)
        del client.group[client]

    def regroup(self, client: LiveClient) -> None:
        """Put a client into the group to which it belongs as its transport is now."""
        # One that was cut off holds nothing more, and is not to get what comes after that past its transport.
        over = client.holding is not None and client.holding.ended
        waits = client.send is None or over or client.transport.get_write_buffer_size()
        group = self._waiting if waits else self._ready[client.coding]
        if group is not client.group:
            client.group.pop(client, None)
            client.group = group
            group[client] = client.send
        if client.holding is not None:
            client.holding.count()

    def take_key(self) -> None:
        """Make the next block a key block: later blocks refer back to it, so clients can start there."""
        alone = [client for client in self if client.coding is Coding.ALONE]
        for client in alone:
            client.coding = Coding.CHAINED
            self.regroup(client)

    def write(self, chunk_of: Callable[[Coding], bytes]) -> list[LiveClient]:
        """Write a block to all of them; returns those who do not keep up."""
        waiting = list(self._waiting)
        behind: list[LiveClient] = []
        for coding, ready in self._ready.items():
            if ready:
                chunk = chunk_of(coding)
                for client, sent in _send(ready, chunk):
                    self._write(client, chunk[sent:], behind)
        for client in waiting:
            self._write(client, chunk_of(client.coding), behind)
        return behind

    def _write(self, client: LiveClient, data: bytes, behind: list[LiveClient]) -> None:
        client.transport.write(data)
        self.regroup(client)
        if not client.keeps_up:
            behind.append(client)


def _send(ready: dict[LiveClient, SocketSend | None], chunk: bytes) -> list[tuple[LiveClient, int]]:
    """Send a chunk to all of them at once. Returns the clients that did not take all of it, and the bytes that each
    took."""
    taken = _call_each(ready.values(), chunk)
    size = len(chunk)
    if taken.count(size) == len(taken):
        return []
    return [(client, count) for client, count in zip(ready, taken, strict=True) if count != size]


def _call_each(sends: Iterable[SocketSend | None], chunk: bytes) -> list[int]:
    """The results of the calls; 0 for one that raises."""
    taken: list[int] = []
    results = map(call, sends, repeat(chunk))  # type: ignore[arg-type]
    while True:
        try:
            taken.extend(results)
            return taken
        except OSError:
            # It would block, or the connection is gone, of which the transport will tell. The next one goes on.
            taken.append(0)

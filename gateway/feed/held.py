"""Bounds the bytes that the clients of a process have not taken yet, all counted together.

Clients that read the history or the ring on their own wait for room before anything is made for them. They are readers
at a position, and lose nothing. Live delivery waits for nobody: bytes that a connection does not take at once are
counted afterwards. When live delivery needs the room, or other readers wait for it and nothing moves, the clients that
have taken nothing for the longest are cut off. They come back with their last id.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Protocol

SESSION_BYTES = 268_435_456
STUCK_SECONDS = 10.0
"""Seconds after which a client that reads nothing is disconnected if others wait for room."""
LOOK_SECONDS = 0.5
"""How often it is looked what connections have sent on by themselves, while somebody waits for room."""


class ClientConnection(Protocol):
    """The connection behind a response."""

    def unsent(self) -> int:
        """Bytes that the connection has not handed to the kernel."""
        ...

    def cut(self) -> None:
        """Break the connection off, and let go of what waits in it."""
        ...


class Held:
    """All bytes that clients have not taken: the capacity at the most, beside what one alone may hold, since an event
    may be larger."""

    def __init__(self, capacity: int = SESSION_BYTES) -> None:
        self.capacity = capacity
        self.size = 0
        self.waits = 0
        """How many had to wait so far."""
        self.cut = 0
        """How many were cut off so far."""
        self._holders: OrderedDict[Holding, float] = OrderedDict()
        """The clients that hold bytes, and since when they have read nothing, on the loop's clock; the longest
        first."""
        self._waiting: deque[tuple[Holding, int, asyncio.Future[None]]] = deque()
        self._looked = 0.0

    def take(self, holding: Holding, size: int) -> asyncio.Future[None] | None:
        """Reserve this many bytes: at once (None), or once the future is done. Release them, or withdraw the future."""
        if not self._waiting and self._fits(size):
            holding.reserve(size)
            return None
        self.waits += 1
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((holding, size, room))
        return room

    def withdraw(self, holding: Holding, size: int, room: asyncio.Future[None]) -> None:
        """Wait no longer; what was given meanwhile is given back."""
        if room.done():
            holding.release()
        else:
            self._waiting.remove((holding, size, room))
            self._admit()

    def changed(self, holding: Holding, size: int) -> None:
        """A client holds another number of bytes than before: it has taken some, or is given more."""
        grown, holding.size = size - holding.size, size
        self.size += grown
        if size:
            self._holders[holding] = asyncio.get_running_loop().time()
            self._holders.move_to_end(holding)
        else:
            self._holders.pop(holding, None)
        if grown < 0:
            self._admit()
        elif self.size - size > self.capacity:
            self.refresh()
            while self.size - holding.size > self.capacity:
                self._cut(next(iter(self._holders)))

    def refresh(self) -> None:
        """Count again what connections have sent on by themselves."""
        for holding in list(self._holders):
            size = holding.measure()
            if size < holding.size:
                self.changed(holding, size)

    def press(self) -> None:
        """Somebody waits: see what has been taken, and cut off who takes nothing. Not more often than is of use."""
        now = asyncio.get_running_loop().time()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        self.refresh()
        while self._waiting and self._holders:
            holding, since = next(iter(self._holders.items()))
            if now - since < STUCK_SECONDS:
                return
            self._cut(holding)

    def _cut(self, holding: Holding) -> None:
        self.cut += 1
        holding.end()
        self.changed(holding, 0)

    def _fits(self, size: int) -> bool:
        return not self.size or self.size + size <= self.capacity

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            holding, size, room = self._waiting.popleft()
            holding.reserve(size)
            room.set_result(None)


class Holding:
    """One client's part: what is reserved for it, or what its task has in hand and its connection has not sent,
    whichever is more."""

    __slots__ = ("_held", "_in_hand", "_reserved", "connection", "ended", "size")

    def __init__(self, held: Held) -> None:
        self._held = held
        self.connection: ClientConnection | None = None
        self._in_hand = 0
        self._reserved = 0
        self.ended = False
        """Whether the connection is over, or was cut off."""
        self.size = 0
        """Bytes that are counted."""

    def measure(self) -> int:
        """Bytes that it holds now; none once it is cut off, when all is let go."""
        if self.ended or self.connection is None:
            return 0
        return max(self._reserved, self._in_hand + self.connection.unsent())

    def count(self, in_hand: int = 0) -> None:
        """Its task holds this many bytes, beside those in the connection."""
        self._in_hand = in_hand
        size = self.measure()
        if size or self.size:
            self._held.changed(self, size)

    def reserve(self, size: int) -> None:
        """Something of this size is to be made."""
        self._reserved = size
        self.count()

    def release(self) -> None:
        """The reserved bytes are made, and handed to the connection."""
        self._reserved = 0
        self.count()

    def end(self) -> None:
        """Break the connection off."""
        if not self.ended and self.connection is not None:
            self.ended = True
            self.connection.cut()

    def close(self) -> None:
        """The connection is over: nothing is held for it any more."""
        self.ended = True
        self.count()

"""What the sessions of a process hold for clients that have not taken it yet, counted together and bounded."""

from __future__ import annotations

import asyncio
from collections import deque

SESSION_BYTES = 268_435_456


class Held:
    """Bytes of blocks that are being written. Who would go over the capacity waits for those who hold them, in the
    order in which they came; one alone may hold more, since an event may be larger than all that is allowed."""

    def __init__(self, capacity: int = SESSION_BYTES) -> None:
        self.capacity = capacity
        self.size = 0
        self.waits = 0
        """How many had to wait so far."""
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take(self, size: int) -> asyncio.Future[None] | None:
        """Hold so many bytes: at once (None), or once the future is done. Give them back, or withdraw the future."""
        if not self._waiting and self._fits(size):
            self.size += size
            return None
        self.waits += 1
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, room))
        return room

    def give(self, size: int) -> None:
        """These are held no longer."""
        self.size -= size
        self._admit()

    def withdraw(self, size: int, room: asyncio.Future[None]) -> None:
        """Wait no longer; what was given meanwhile is given back."""
        if room.done():
            self.give(size)
        else:
            self._waiting.remove((size, room))
            self._admit()

    def _fits(self, size: int) -> bool:
        return not self.size or self.size + size <= self.capacity

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, room = self._waiting.popleft()
            self.size += size
            room.set_result(None)

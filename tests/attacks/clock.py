"""Time as far as it is the gateway's own: what the machine, or the test itself, keeps it waiting is left out.

The machine has few cores, and attackers, other tests and a broker want them too. A delay between two moments is held
against the gateway only so far as neither its main thread waited for a core meanwhile (the kernel counts that) nor the
loop of the test was late itself, since it then notices late what came in time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

TICK = 0.005
"""Seconds between two looks at how late the loop of the test is."""


class Moment(NamedTuple):
    """A time, and all that was not the gateway's fault up to it (seconds)."""

    at: float
    excused: float

    def until(self, later: Moment) -> float:
        """The seconds that are the gateway's own."""
        return max(0.0, later.at - self.at - (later.excused - self.excused))


class Clock:
    """Belongs to one loop and one process of a gateway; runs between `start` and `close`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._loop = asyncio.get_running_loop()
        self._counts = -1
        self._waited = 0.0
        self._late = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch."""
        # Of the main thread, in which the loop is: how long it ran, and waited for a core, in nanoseconds.
        self._counts = os.open(f"/proc/{self._pid}/schedstat", os.O_RDONLY)
        self._set()

    def close(self) -> None:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._counts >= 0:
            os.close(self._counts)
            self._counts = -1

    def now(self) -> Moment:
        """This moment. A process that has ended waits no more."""
        with suppress(OSError, IndexError):
            self._waited = int(os.pread(self._counts, 100, 0).split()[1]) / 1e9
        at = self._loop.time()
        return Moment(at, self._waited + self._late + max(0.0, at - self._due))

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """As `asyncio.timeout`, of the gateway's own seconds. Raises TimeoutError."""
        begun = self.now()
        async with asyncio.timeout(None) as bound:
            timer: asyncio.TimerHandle

            def look() -> None:
                nonlocal timer
                left = seconds - begun.until(self.now())
                if left > 0:
                    timer = self._loop.call_later(max(left, TICK), look)
                else:
                    bound.reschedule(self._loop.time())

            timer = self._loop.call_later(seconds, look)
            try:
                yield
            finally:
                timer.cancel()

    def _set(self) -> None:
        self._due = self._loop.time() + TICK
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._late += max(0.0, self._loop.time() - self._due)
        self._set()

"""Waits that all last equally long at the most: they end in the order in which they began, so one timer serves all."""

from __future__ import annotations

import asyncio


class Deadlines:
    """Futures that are done after so many seconds at the latest."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[asyncio.Future[None], float] = {}
        """By the time at which they end, the earliest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Future[None]:
        """A future whose time runs from now on. Who has it calls `end`."""
        waiter: asyncio.Future[None] = asyncio.Future(loop=self._loop)
        self._due[waiter] = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self.seconds, self._pass)
        return waiter

    def end(self, waiter: asyncio.Future[None]) -> None:
        """Nobody waits for it any more."""
        self._due.pop(waiter, None)

    def _pass(self) -> None:
        """The time of the first may be up. The timer runs on only where there are others."""
        self._timer = None
        now = self._loop.time()
        passed = []
        for waiter, due in self._due.items():
            if due > now:
                self._timer = self._loop.call_at(due, self._pass)
                break
            passed.append(waiter)
        for waiter in passed:
            del self._due[waiter]
            if not waiter.done():
                waiter.set_result(None)

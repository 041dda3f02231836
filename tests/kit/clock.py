"""Clocks for tests: one that a test moves, one for the event loop's time, and one ahead of the machine's."""

from __future__ import annotations

import asyncio

from gateway.clock import SystemClock


class HandClock:
    """A clock that stands still until it is moved, by hand or by a sleep. `time` is in milliseconds."""

    def __init__(self, now: float = 1_000_000) -> None:
        self.time = now
        self.slept: list[float] = []
        """The sleeps so far, in seconds."""
        self._awaited: list[tuple[float, asyncio.Event]] = []

    def now(self) -> int:
        return int(self.time)

    def monotonic(self) -> float:
        return self.time / 1000

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self.time += seconds * 1000
        for time, reached in self._awaited:
            if time <= self.time:
                reached.set()

    async def sleep(self, seconds: float) -> None:
        """In place of `asyncio.sleep`: the time passes at once."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    async def reach(self, time: float) -> None:
        """Wait until the sleeps of others have moved the clock so far (ms)."""
        reached = asyncio.Event()
        self._awaited.append((time, reached))
        async with asyncio.timeout(60):
            await reached.wait()


class LoopClock(HandClock):
    """The time of day stands still until it is moved; durations are those of the event loop's clock."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class ShiftedClock(SystemClock):
    """The clock of the machine. Its day is `ahead` by milliseconds, and its durations are `later` by seconds."""

    def __init__(self) -> None:
        self.ahead = 0
        self.later = 0.0

    def now(self) -> int:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.later

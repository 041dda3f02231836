"""Time as the loop of a test has had it: what a machine that stands still takes from it does not count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

STEP = 0.02
"""Seconds between two looks at the clock."""


class Stopwatch:
    """`seconds` have passed since it was started. It looks at the clock every STEP, and counts at most two of these
    from one look to the next: of a while in which the process stood still next to nothing counts. What waits for a
    timer is held to its time all the same; what keeps the loop from running is not."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self) -> None:
        """Go on for ever."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(STEP)
            now = loop.time()
            self.seconds += min(now - before, 2 * STEP)
            before = now


@asynccontextmanager
async def stopwatch() -> AsyncIterator[Stopwatch]:
    """One that is running."""
    watch = Stopwatch()
    running = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

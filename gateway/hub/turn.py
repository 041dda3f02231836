"""Turns on the event loop, for work on the past: it comes in steps, and each is followed by a turn of all others."""

from __future__ import annotations

import asyncio

STEP_SECONDS = 0.0005
"""After so much work others are let run before the next step."""
ROUNDS = 5
"""So often the loop goes round for them: as often as an event takes it on its way from the log to the clients, which so
waits for one step at the most, and not for one in each round. A round in which nothing is due takes 20 µs."""


class Turn:
    """`async with` it, around a step that does not wait. One at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._rested = 0.0

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *error: object) -> None:
        try:
            await self.give_way()
        finally:
            self._lock.release()

    async def give_way(self) -> None:
        """Between two parts of a step: let others run where this one takes long. The lock is kept meanwhile: whoever
        else is due in these rounds has to queue."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._rested > STEP_SECONDS:
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
            self._rested = loop.time()

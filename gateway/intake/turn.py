"""Long work on the event loop, in parts."""

from __future__ import annotations

import asyncio

TURN_SECONDS = 0.005
"""The event loop is left to others after so long."""


class Turn:
    """Begins when it is made."""

    __slots__ = ("_begun", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()

    async def give_way(self) -> None:
        """Let others run, where this has run for long."""
        if self._loop.time() - self._begun > TURN_SECONDS:
            await asyncio.sleep(0)
            self._begun = self._loop.time()

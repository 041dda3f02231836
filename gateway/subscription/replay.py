"""Replay: readers of history, a bounded number at a time, each held for a turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ReplayTurns:
    """Lets so many clients read history at once. One whose socket is full gives up its turn while others wait."""

    def __init__(self, readers: int) -> None:
        self._places = asyncio.Semaphore(readers)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a turn."""
        return self._places.locked()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn; waits for one first come, first served."""
        async with self._places:
            yield

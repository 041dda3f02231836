"""Waits for what is to become true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 30.0
"""Seconds after which it is not expected any more."""


async def becomes(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return when this is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # many parts change what is looked at
            await asyncio.sleep(0.005)

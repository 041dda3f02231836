"""Work on threads that nobody waits for at the end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gateway.outbound.threads import apart


async def test_a_result_and_an_error() -> None:
    def fails() -> None:
        raise ValueError("no")

    assert await apart(lambda: 3) == 3
    with pytest.raises(ValueError, match="no"):
        await apart(fails)


def test_the_end_does_not_wait_for_what_nobody_waits_for() -> None:
    ending = threading.Event()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await apart(lambda: ending.wait(60))

    begun = time.monotonic()
    asyncio.run(give_up())
    took = time.monotonic() - begun
    ending.set()
    assert took < 30  # the default executor would have waited for the thread, a minute

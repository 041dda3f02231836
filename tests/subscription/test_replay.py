"""What a replay does with a stretch of the past."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from gateway.eventlog.memory import MemoryLog
from gateway.hub.past import Past
from gateway.subscription.replay import Replay

RECORDS = 40
SECONDS = 0.001


class Slow:
    """A selection whose filter takes its time."""

    reads = True

    def choose_of(self, stretch: Any, index: int) -> bytes | None:
        """Busy for a millisecond."""
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            pass
        return b"%d" % index


class Records:
    """A stretch."""

    records = (None,) * RECORDS


async def test_a_costly_filter_lets_others_run_between_two_records() -> None:
    past = Past(MemoryLog(), 1, 1 << 20)
    replay = Replay(past, cast(Any, None), cast(Any, None), 1.0)
    turns = 0

    async def live() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(live())
    async with past.turn:
        chosen = await replay._choose(cast(Any, Slow()), cast(Any, Records()))
    running.cancel()
    assert chosen == [b"%d" % index for index in range(RECORDS)]
    assert turns >= RECORDS
    await past.close()

"""Runs one world, and says what came of it."""

from __future__ import annotations

import asyncio
from random import Random

from tests.simulation.loop import StandsStillError, VirtualLoop, run
from tests.simulation.result import FailureError, Result, listening
from tests.simulation.scale import scaled
from tests.simulation.world import World


def simulate(seed: int, clients: int | None = None) -> Result:
    """Run one world. Raises FailureError where a promise is broken."""

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        world = World(seed, clients, loop)
        try:
            await world.live()
        except FailureError:
            raise
        except Exception as error:
            raise FailureError(seed, error, None) from error
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            raise FailureError(seed, AssertionError(f"tasks are left over: {left}"), None)
        return world.result()

    with scaled(Random(f"scale {seed}")), listening() as complaints:
        try:
            result = run(main(), patience=max(1, (clients or 0) // 10))
        except FailureError:
            raise
        except (Exception, StandsStillError) as error:
            raise FailureError(seed, error, None) from error
    if complaints:
        raise FailureError(seed, AssertionError(complaints[0].getMessage()), None) from (
            complaints[0].exc_info[1] if complaints[0].exc_info else None
        )
    return result

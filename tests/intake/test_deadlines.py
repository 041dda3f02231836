"""Waits that end in order, with one timer for all."""

from __future__ import annotations

import asyncio

from gateway.intake.deadlines import Deadlines
from tests.simulation.loop import in_virtual_time


@in_virtual_time
async def test_each_ends_when_its_own_time_is_up() -> None:
    deadlines = Deadlines(0.02)
    begun = asyncio.get_running_loop().time()
    first = deadlines.begin()
    await asyncio.sleep(0.01)
    second = deadlines.begin()
    await first
    assert not second.done()
    await second
    assert asyncio.get_running_loop().time() - begun >= 0.03


async def test_who_has_ended_is_left_alone() -> None:
    deadlines = Deadlines(0.01)
    answered, forgotten, last = deadlines.begin(), deadlines.begin(), deadlines.begin()
    answered.set_result(None)
    deadlines.end(forgotten)
    await last
    assert not forgotten.done()
    await deadlines.begin()

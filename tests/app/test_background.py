"""What runs in the background is kept going."""

from __future__ import annotations

import asyncio

import pytest

from gateway.app import background
from gateway.app.background import Background
from tests.kit.waiting import PATIENCE


async def test_a_part_that_breaks_off_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.001)
    kept = Background()
    begun = 0
    goes_on = asyncio.Event()

    async def part() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise ZeroDivisionError
        goes_on.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept.keep("part", part))
    async with asyncio.timeout(PATIENCE):
        await goes_on.wait()
    assert kept.ailing == {"part": "ZeroDivisionError"}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == 4

"""Looks are shared, and what becomes of one that nobody waits for any more is no news."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from gateway.errors import LogUnavailable
from gateway.intake.looks import Looks


class Log:
    """Counts the looks, and answers each when it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.came = asyncio.Event()
        self.answer = asyncio.Event()
        self.away = False

    async def reach(self, topic: str) -> None:
        assert topic == "topic"
        self.asked += 1
        self.came.set()
        await self.answer.wait()
        if self.away:
            raise LogUnavailable("away")


async def test_who_asks_during_a_look_waits_for_the_next() -> None:
    log = Log()
    looks = Looks(log.reach)
    first = asyncio.create_task(looks.look("topic"))
    await log.came.wait()
    others = [asyncio.create_task(looks.look("topic")) for _ in range(5)]
    await asyncio.sleep(0)
    assert log.asked == 1
    log.answer.set()
    await asyncio.gather(first, *others)
    assert log.asked == 2


async def test_a_look_that_fails_fails_for_all_who_wait() -> None:
    log = Log()
    log.away = True
    log.answer.set()
    looks = Looks(log.reach)
    answers = await asyncio.gather(*(looks.look("topic") for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["away"] * 3
    assert log.asked == 1


async def test_who_leaves_leaves_no_complaint_behind() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    log = Log()
    log.away = True
    looks = Looks(log.reach)
    asking = asyncio.create_task(looks.look("topic"))
    await log.came.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    log.answer.set()
    await asyncio.wait(looks._running.values())
    await asyncio.sleep(0)
    gc.collect()
    assert not complaints

"""Work in turns with all others."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from gateway import cooperative
from gateway.cooperative import FairLock, Gate, give_way, together


async def test_others_have_their_rounds_between_two_steps() -> None:
    shared = FairLock()
    happened: list[str] = []

    async def replay(name: str) -> None:
        for _ in range(3):
            async with shared:
                happened.append(name)
                time.sleep(2 * cooperative.STEP_SECONDS)  # noqa: ASYNC251

    async def live() -> None:
        while True:
            happened.append("live")
            await asyncio.sleep(0)

    living = asyncio.create_task(live())
    await asyncio.gather(*(replay(name) for name in "abcde"))
    living.cancel()
    steps = [index for index, name in enumerate(happened) if name != "live"]
    between = [after - before - 1 for before, after in pairwise(steps)]
    assert min(between) >= cooperative.ROUNDS
    assert "".join(happened[index] for index in steps) == "abcde" * 3


async def test_small_steps_follow_each_other() -> None:
    shared = FairLock()
    async with shared:
        pass
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    shared._rested = asyncio.get_running_loop().time() + 3600
    for _ in range(100):
        async with shared:
            pass
    counting.cancel()
    assert rounds == 0


async def test_a_step_that_fails_leaves_the_turn_to_others() -> None:
    shared = FairLock()
    for _ in range(2):
        try:
            async with shared:
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    async with asyncio.timeout(5), shared:
        pass


async def test_a_gate_lets_so_many_in_and_counts_nobody_for_long() -> None:
    gate, inside, most, ended = Gate(2, 0.05), 0, 0, 0

    async def visit() -> None:
        nonlocal inside, most, ended
        async with gate.enter():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
        ended += 1

    async with asyncio.timeout(10):
        await asyncio.gather(*(visit() for _ in range(20)))
        assert (most, ended) == (2, 20)
        left = asyncio.Event()

        async def stay() -> None:
            async with gate.enter():
                await left.wait()

        staying = [asyncio.create_task(stay()) for _ in range(2)]
        # They are in, and let others by after a while.
        await visit()
        left.set()
        await asyncio.gather(*staying)
        most = 0
        await asyncio.gather(*(visit() for _ in range(20)))
        # Nobody's place was given back twice.
        assert most == 2


async def test_together_gives_results_in_order() -> None:
    async def after(rounds: int) -> int:
        for _ in range(rounds):
            await give_way()
        return rounds

    assert await together(after(rounds) for rounds in (3, 1, 2)) == [3, 1, 2]
    assert await together([]) == []


async def test_where_one_fails_the_others_end_first_and_time_outs_still_work() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await give_way()
            ended.append(True)

    async def fail() -> None:
        await give_way()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await together([wait(), fail(), wait()])
    assert ended == [True, True]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await together([wait()])
    assert len(ended) == 3

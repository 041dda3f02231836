"""Work in turns with all others."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from itertools import pairwise

import pytest

from gateway import cooperative
from gateway.cooperative import FairLock, Gate, PromptFuture, give_way, live, together


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


async def test_small_steps_go_before_large_ones_that_have_not_waited_long(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, taken = FairLock(), []
    waiting: list[asyncio.Task[None]] = []

    async def step(name: str, size: int) -> None:
        async with shared.turn(size):
            taken.append(name)

    async def come(name: str, size: int) -> None:
        waiting.append(asyncio.create_task(step(name, size)))
        await give_way()

    async with shared:
        await come("large", 10_000_000)
        await come("medium", 100_000)
        await come("small", 0)
        await come("small too", 0)
        loop = asyncio.get_running_loop()
        later = loop.time() + 11
        monkeypatch.setattr(loop, "time", lambda: later)
        await come("late", 0)
    await asyncio.gather(*waiting)
    assert taken == ["small", "small too", "medium", "large", "late"]


async def test_who_leaves_while_it_waits_keeps_nobody() -> None:
    shared = FairLock()
    waiting = []
    async with shared:
        for _ in range(5):
            waiting.append(asyncio.create_task(one_step(shared)))
            await give_way()
        waiting[0].cancel()
        await give_way()
    # It has its turn, and is cancelled before it knows.
    waiting[1].cancel()
    async with asyncio.timeout(60):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2 + [type(None)] * 3


async def test_a_step_that_fails_leaves_the_turn_to_others() -> None:
    shared = FairLock()
    for _ in range(2):
        try:
            async with shared:
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    async with asyncio.timeout(60), shared:
        pass


async def test_long_work_waits_until_a_live_record_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = FairLock()
    monkeypatch.setattr(cooperative, "PRIORITY_SECONDS", 60)
    async with asyncio.timeout(60):
        live.begin()
        step = asyncio.create_task(one_step(shared))
        for _ in range(3 * cooperative.LONG_ROUNDS):
            await give_way()
        assert not step.done()
        live.end()
        await step


async def test_a_live_record_that_never_comes_is_waited_for_briefly() -> None:
    shared = FairLock()
    async with asyncio.timeout(60):
        live.begin()
        await one_step(shared)
        assert live.seconds <= 0


async def test_however_many_records_pass_long_work_has_half_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, waits = FairLock(), []
    let_pass = live.let_pass

    async def measured() -> None:
        before = time.monotonic()
        await let_pass()
        waits.append(time.monotonic() - before)

    monkeypatch.setattr(live, "let_pass", measured)
    begun = time.monotonic()
    async with asyncio.timeout(60):
        for _ in range(60):
            live.begin()
            await one_step(shared)
    worked = time.monotonic() - begun - sum(waits)
    assert waits
    assert sum(waits[:-1]) <= worked


async def one_step(shared: FairLock) -> None:
    """A step that is long enough to be followed by rounds."""
    async with shared:
        time.sleep(2 * cooperative.STEP_SECONDS)  # noqa: ASYNC251


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

    async with asyncio.timeout(60):
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


async def test_who_waits_for_a_prompt_future_goes_on_within_the_callback() -> None:
    loop, prompt = asyncio.get_running_loop(), PromptFuture()
    happened: list[str] = []

    async def wait() -> str:
        variable.set("of the task")
        await prompt
        happened.append(variable.get())
        return "done"

    variable = ContextVar("variable", default="of the callback")

    def set_it() -> None:
        prompt.go()
        happened.append(variable.get())
        prompt.go()

    waiting = asyncio.create_task(wait())
    await give_way()
    loop.call_soon(set_it)
    assert await waiting == "done"
    assert happened == ["of the task", "of the callback"]


async def test_within_a_task_it_is_like_any_other() -> None:
    prompt, happened = PromptFuture(), ["begun"]

    async def wait() -> None:
        await prompt
        happened.append("went on")

    waiting = asyncio.create_task(wait())
    await give_way()
    prompt.go()
    happened.append("set")
    await waiting
    assert happened == ["begun", "set", "went on"]
    await prompt  # as often as one likes


async def test_who_waits_for_a_prompt_future_can_be_cancelled_and_can_fail() -> None:
    loop, prompt = asyncio.get_running_loop(), PromptFuture()

    async def wait() -> None:
        await prompt
        raise ValueError

    waiting = asyncio.create_task(wait())
    await give_way()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert prompt.cancelled()
    prompt.go()

    prompt = PromptFuture()
    failing = asyncio.create_task(wait())
    await give_way()
    loop.call_soon(prompt.go)
    with pytest.raises(ValueError, match=r"^$"):
        await failing
    async with asyncio.timeout(60):
        late = PromptFuture()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await late

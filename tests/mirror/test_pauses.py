"""A mirror of which the log takes nothing: it tries again after pauses that grow."""

from __future__ import annotations

import asyncio

import pytest

from gateway.mirror import mirror as module
from tests.client.server import message
from tests.mirror.kit import WAIT, Bench, Live, numbers
from tests.mirror.log import Log


class Pauses:
    """A `sleep` that waits for nothing, and remembers."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def test_a_log_whose_appends_fail_is_tried_after_growing_pauses(log: Log) -> None:
    """It opens the writer each time, and takes nothing."""
    log.failures = ["lose"] * 8
    live, pauses = Live(), Pauses()
    bench = Bench(log, live.response)
    mirror, meter = bench.mirror(sleep=pauses)
    running = asyncio.create_task(mirror.run(asyncio.Event()))
    live.send(*(message(number) for number in range(3)))
    async with asyncio.timeout(WAIT):
        while meter.events < 3:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0)
    assert numbers(await bench.values(3)) == [0, 1, 2]
    live.end()
    await running
    assert pauses.slept == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_the_pauses_begin_anew_after_something_was_stored(log: Log) -> None:
    live, pauses = Live(), Pauses()
    bench = Bench(log, live.response)
    mirror, meter = bench.mirror(sleep=pauses)
    running = asyncio.create_task(mirror.run(asyncio.Event()))
    for count in (1, 2):
        log.failures = ["lose", "lose"]
        live.send(message(count))
        async with asyncio.timeout(WAIT):
            while meter.events < count:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0)
    live.end()
    await running
    assert pauses.slept == [1, 2, 1, 2]


async def test_a_stop_while_appends_fail_does_not_wait_for_the_pause(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself, and is not cut off after as long as a stop waits."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 3600)
    log.failures = ["lose"] * 1000
    live = Live()
    resting, slept = asyncio.Event(), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        resting.set()
        await asyncio.Event().wait()

    bench = Bench(log, live.response)
    mirror, _ = bench.mirror(sleep=sleep)
    stop = asyncio.Event()
    running = asyncio.create_task(mirror.run(stop))
    live.send(message(0))
    async with asyncio.timeout(WAIT):
        await resting.wait()
        stop.set()
        await running
    assert slept == [1]
    assert log.appends == []


async def test_what_was_read_is_stored_after_the_source_has_ended(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0)
    log.failures = ["lose"] * 5
    live = Live()
    bench = Bench(log, live.response)
    mirror, meter = bench.mirror(sleep=Pauses())
    live.send(message(0))
    live.end()
    async with asyncio.timeout(WAIT):
        await mirror.run(asyncio.Event())
    assert meter.events == 1
    assert numbers(await bench.values(1)) == [0]

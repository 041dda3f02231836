"""What a replay does with a stretch of the past."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from gateway.event import NewRecord, TopicPartition
from gateway.eventlog.memory import MemoryLog
from gateway.hub.past import Past
from gateway.hub.stretch import Stretch
from gateway.subscription.replay import Replay
from tests.simulation import loop

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


FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)


class Answering:
    """As much of a responder as a replay uses: a client that stays."""

    over = False

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.outlet = SimpleNamespace(gone=loop.create_future())
        self.stopping = loop.create_future()

    async def beat(self, *_: object, **__: object) -> None:
        """No heartbeat is due."""


def test_a_load_that_is_done_and_does_not_reach_far_enough_is_not_asked_for_again() -> None:
    async def main() -> None:
        log = MemoryLog()
        log.create_topic("t", 2)
        log.append_now("t", [NewRecord(b'{"n":1}', None, 10, 0), NewRecord(b'{"n":2}', None, 5, 1)])
        discovery = SimpleNamespace(known=await log.describe(["t"]))
        hub = cast(Any, SimpleNamespace(discovery=discovery, log=log, waits_for=lambda topics: None))
        request = SimpleNamespace(selection=SimpleNamespace(reads=False, topics=frozenset()))
        subscription = cast(Any, SimpleNamespace(request=request, identifier=b"[]"))
        past = Past(log, 4, 1 << 20)
        early, late = (Replay(past, hub, cast(Any, Answering()), 15.0) for _ in range(2))
        positions = {FIRST: 0, SECOND: 0}
        one = asyncio.create_task(early.fetch(subscription, positions))
        async with past.turn:
            while not past.reading:  # noqa: ASYNC110
                await asyncio.sleep(0)
            # It has asked for the log's end, and waits for its turn.
            (loading,) = past._loading.values()
            log.append_now("t", [NewRecord(b'{"n":3}', None, 6, 1)])

        async def ask_when_it_is_done() -> Stretch | None:
            while not loading.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
            return await late.fetch(subscription, positions)

        two = asyncio.create_task(ask_when_it_is_done())
        first, second = await one, await two
        assert first is not None
        assert second is not None
        assert (first.exhausted[SECOND], second.exhausted[SECOND]) == (1, 2)
        await past.close()

    loop.run(main())

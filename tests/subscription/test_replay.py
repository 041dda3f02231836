"""What a replay does with a history segment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from gateway.eventlog.memory.log import MemoryLog
from gateway.hub.history_segment import HistorySegment
from gateway.hub.past import Past
from gateway.model.record import NewRecord, TopicPartition
from gateway.subscription.replay import Replay
from tests.simulation import loop

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)


class Answering:
    """As much of a response writer as a replay uses: a client that stays."""

    over = False

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.sink = SimpleNamespace(gone=loop.create_future())
        self.stopping = loop.create_future()

    async def beat(self, *_: object, **__: object) -> None:
        """No heartbeat is due."""


def test_a_load_that_is_done_and_does_not_reach_far_enough_is_not_asked_for_again() -> None:
    async def main() -> None:
        log = MemoryLog()
        log.create_topic("t", 2)
        log.append_now("t", [NewRecord(b'{"n":1}', None, 10, 0), NewRecord(b'{"n":2}', None, 5, 1)])
        discovery = SimpleNamespace(known=await log.describe(["t"]))
        hub = cast(Any, SimpleNamespace(discovery=discovery, log=log, waits_for=lambda _: None, confirm=lambda _: None))
        request = SimpleNamespace(selection=SimpleNamespace(reads=False, topics=frozenset()))
        subscription = cast(Any, SimpleNamespace(request=request, identifier=b"[]"))
        past = Past(log, 4, 1 << 20)
        early, late = (Replay(past, hub, cast(Any, Answering()), 15.0, cast(Any, None)) for _ in range(2))
        positions = {FIRST: 0, SECOND: 0}
        one = asyncio.create_task(early.fetch(subscription, positions))
        async with past.lock:
            while not past.reading:  # noqa: ASYNC110
                await asyncio.sleep(0)
            # It has asked for the log's end, and waits for its turn.
            (loading,) = past._loading.values()
            log.append_now("t", [NewRecord(b'{"n":3}', None, 6, 1)])

        async def ask_when_it_is_done() -> HistorySegment | None:
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

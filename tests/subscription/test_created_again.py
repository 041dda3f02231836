"""A topic that is created again between two questions to the log: the answers do not belong together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import pytest

from gateway.errors import TopicAbsent
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Bounds, TopicState
from gateway.eventlog.trouble import Kind, Trouble
from gateway.feed.selection import Selection
from gateway.hub.hub import Hub
from gateway.model.position import RequestedPosition
from gateway.model.record import TopicPartition
from gateway.subscription import range_end
from gateway.subscription.origin import Origin, Start
from gateway.subscription.resolve import Resolver
from gateway.subscription.subscription import Request
from gateway.wire.sse import SSE
from tests.eventlog.kit import existing
from tests.kit.clock import LoopClock
from tests.kit.waiting import becomes
from tests.subscription.resolving import ALPHA, BETA, fill, hub_of

SINCE = RequestedPosition(None, 50)
TROUBLE = Trouble(Kind.NO_RIGHT, "set by the test")


class ChangingLog(MemoryLog):
    """Runs `after` once, when the bounds of ALPHA have been told."""

    def __init__(self) -> None:
        super().__init__()
        self.create_topic("alpha")
        self.create_topic("beta")
        self.after: Callable[[], Awaitable[None]] | None = None
        self.hidden: dict[str, Trouble] = {}

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        told = await super().bounds(partitions)
        if ALPHA in partitions and (after := self.after) is not None:
            self.after = None
            await after()
        return told

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        return await super().describe(topics) | self.hidden

    async def recreate(self) -> None:
        """Empty, so that no time is found in it."""
        self.delete_topic("alpha")
        self.create_topic("alpha")


async def resolve(log: ChangingLog, hub: Hub) -> Start:
    return await Resolver(hub).resolve(Origin({ALPHA: SINCE, BETA: SINCE}), [ALPHA, BETA])


async def test_nobody_begins_where_the_former_topic_ended() -> None:
    log = ChangingLog()
    fill(log, ALPHA, [10, 20, 30])
    async with hub_of(log) as hub:
        log.after = log.recreate
        with pytest.raises(TopicAbsent):
            await resolve(log, hub)
        fill(log, ALPHA, [40, 60, 70, 80])
        await becomes(lambda: hub.ring.end(ALPHA) == 4)
        # As it asked for: not behind the three that the former topic had.
        assert (await resolve(log, hub)).next_offsets[ALPHA] == 1


async def test_a_hub_that_knows_of_the_new_topic_meanwhile_is_no_witness() -> None:
    log = ChangingLog()
    fill(log, ALPHA, [10, 20, 30])
    async with hub_of(log) as hub:

        async def notice() -> None:
            await log.recreate()
            hub.discovery.known |= existing(await log.describe(["alpha"]))

        log.after = notice
        with pytest.raises(TopicAbsent):
            await resolve(log, hub)


async def test_what_the_log_tells_no_more_of_waits_and_nothing_else_does() -> None:
    log = ChangingLog()
    fill(log, ALPHA, [10, 20, 30])
    fill(log, BETA, [40, 60])
    async with hub_of(log) as hub:

        async def hide() -> None:
            log.hidden["alpha"] = TROUBLE

        log.after = hide
        requested = {ALPHA: RequestedPosition(1, 25), BETA: SINCE}
        start = await Resolver(hub).resolve(Origin(requested), [ALPHA, BETA])
        # At the offset is another record, of which no gap is told before that is certain.
        assert start.waiting == {ALPHA: RequestedPosition(1, 25)}
        assert not start.gaps
        assert start.next_offsets[BETA] == 1


async def test_a_range_is_not_over_because_the_former_topic_had_no_more() -> None:
    log = ChangingLog()
    fill(log, ALPHA, [10, 20, 200])
    request = Request(Selection(topics=frozenset({"alpha"})), SSE, Origin({ALPHA: SINCE}), until=100)
    clock = LoopClock(now=1000)
    async with hub_of(log) as hub:
        start = await resolve(log, hub)
        assert await range_end.is_over_before(hub, request, start, clock)

        async def recreate() -> None:
            await log.recreate()
            fill(log, ALPHA, [60, 70, 200])

        log.after = recreate
        assert not await range_end.is_over_before(hub, request, start, clock)


async def test_a_range_is_not_read_because_the_new_topic_has_less() -> None:
    log = ChangingLog()
    fill(log, ALPHA, [10, 20, 30])
    request = Request(Selection(topics=frozenset({"alpha"})), SSE, Origin({ALPHA: SINCE}), until=100)
    async with hub_of(log) as hub:
        assert await range_end.is_read(hub, request, {ALPHA: 3})
        log.after = log.recreate
        assert not await range_end.is_read(hub, request, {ALPHA: 3})

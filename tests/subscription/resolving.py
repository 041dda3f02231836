"""A log of two topics, a hub that has read it, and what a position is resolved to there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from gateway.eventlog.memory.log import MemoryLog
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.model.position import RequestedPosition
from gateway.model.record import NewRecord, TopicPartition
from gateway.subscription.origin import Origin, Start
from gateway.subscription.resolve import Resolver
from tests.kit.clock import LoopClock
from tests.kit.waiting import PATIENCE

ALPHA, BETA = TopicPartition("alpha", 0), TopicPartition("beta", 0)


def fill(log: MemoryLog, partition: TopicPartition, timestamps: list[int]) -> None:
    log.append_now(
        partition.topic, [NewRecord(b"{}", None, timestamp, partition.partition) for timestamp in timestamps]
    )


@asynccontextmanager
async def hub_of(
    log: MemoryLog, by_timestamp: bool = False, topics: tuple[str, ...] = ("alpha", "beta")
) -> AsyncIterator[Hub]:
    """A hub that has read the log. What is done to the log afterwards it does not know of at once."""
    hub = Hub(log, dict.fromkeys(topics, by_timestamp), LoopClock(), HubOptions(ring_fill=0.0))
    running = asyncio.create_task(hub.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await hub.filled.wait()
        yield hub
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


Change = Callable[[MemoryLog], None]


async def resolve(
    log: MemoryLog,
    *requested: tuple[TopicPartition, RequestedPosition],
    by_timestamp: bool = False,
    change: Change | None = None,
) -> Start:
    """Where a client of both topics begins."""
    async with hub_of(log, by_timestamp) as hub:
        if change is not None:
            change(log)
        resolver, origin = Resolver(hub), Origin(requested=dict(requested))
        remembered = resolver.remember(origin, [ALPHA, BETA])
        start = await resolver.resolve(origin, [ALPHA, BETA])
        assert remembered in (None, start), "the ring says something else than the log"
        return start


def gaps(start: Start) -> list[tuple[TopicPartition, int, int, str]]:
    return [(gap.partition, gap.requested, gap.resumed, gap.reason) for gap in start.gaps]

"""Clients of topics that the hub begins to read while they are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.feed.selection import Selection
from gateway.hub import ordered as ordered_module
from gateway.model.position import parse_position
from gateway.model.record import TopicPartition
from gateway.subscription import reader as reader_module
from gateway.subscription import replay as replay_module
from gateway.subscription import session as session_module
from gateway.subscription.origin import Origin
from gateway.subscription.session import Session
from gateway.subscription.subscription import Request
from gateway.wire.sse import SSE
from tests.kit.waiting import becomes
from tests.subscription.client import FakeSink
from tests.subscription.test_session import PATIENCE, Site, event, numbers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_module, "IDLE_WAIT", 0.005)
    for module in (session_module, reader_module, replay_module):
        monkeypatch.setattr(module, "RETRY_WAIT", 0.005)


@asynccontextmanager
async def client(site: Site, origin: Origin, *topics: str) -> AsyncIterator[FakeSink]:
    """A client of these topics, until the end of the block."""
    session, sink = Session(site.services, Request(Selection(frozenset(topics)), SSE, origin)), FakeSink()
    assert await session.prepare()
    task = asyncio.create_task(session.run(sink))
    try:
        async with asyncio.timeout(PATIENCE):
            yield sink
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        session.close()


NORTH = TopicPartition("north", 0)
POSITION = '[{"topic":"north","partition":0,"offset":19,"timestamp":999019}]'
ORIGINS = {
    "live": (Origin(), 50),
    "since": (Origin(since=999_010), 10),
    "resumed": (Origin(requested=parse_position(POSITION)), 20),
}


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("topics", [("north",), ("north", "east")])
@pytest.mark.parametrize("asked", ORIGINS)
async def test_a_client_that_comes_before_the_log_has_told(asked: str, topics: tuple[str, ...], *, away: bool) -> None:
    """Of a topic with a past it gets what it asked for, however early it comes, and no history as live events."""
    log = MemoryLog()
    for topic in ("east", "west", "north"):
        log.create_topic(topic)
    log.append_now("north", [event(number, 999_000 + number) for number in range(50)])
    async with Site(log, flush_bytes=300).running() as site:
        log.available = not away
        site.hub.follow({"north": False})
        origin, first = ORIGINS[asked]
        async with client(site, origin, *topics) as sink:
            if away:
                await becomes(lambda: any("waiting for the log" in frame.comments for frame in sink.frames))
            log.available = True
            await becomes(lambda: any(feed.clients for feed in site.broadcast._feeds.values()))
            log.append_now("north", [event(number, 1_000_001) for number in range(50, 60)])
            await becomes(lambda: len(numbers(sink)) == 60 - first)
            assert numbers(sink) == list(range(first, 60))
            assert not any(frame.event == "gap" for frame in sink.frames)


@pytest.mark.parametrize("topics", [("north",), ("north", "east")])
@pytest.mark.parametrize("asked", ORIGINS)
async def test_a_client_that_comes_while_the_ring_catches_up(
    monkeypatch: pytest.MonkeyPatch, asked: str, topics: tuple[str, ...]
) -> None:
    """What the ring has by then is not what is live."""
    monkeypatch.setattr(ordered_module, "FETCH_RECORDS", 3)
    log = MemoryLog()
    for topic in ("east", "west", "north"):
        log.create_topic(topic)
    log.append_now("north", [event(number, 999_000 + number) for number in range(50)])
    site = Site(log, flush_bytes=300)
    gate, read = asyncio.Event(), site.hub._read

    async def read_slowly(reader: ordered_module.OrderedReader) -> None:
        if site.hub.catching_up and site.hub.ring.end(NORTH) >= 25:
            await gate.wait()
        await read(reader)

    monkeypatch.setattr(site.hub, "_read", read_slowly)
    async with site.running():
        site.hub.follow({"north": False})
        await becomes(lambda: NORTH in site.hub.catching_up and site.hub.ring.end(NORTH) >= 25)
        origin, first = ORIGINS[asked]
        async with client(site, origin, *topics) as sink:
            await becomes(lambda: bool(sink.frames))
            log.append_now("north", [event(number, 1_000_001) for number in range(50, 60)])
            gate.set()
            await becomes(lambda: len(numbers(sink)) >= 60 - first)
            assert numbers(sink) == list(range(first, 60))
            await becomes(lambda: any(feed.clients for feed in site.broadcast._feeds.values()))
            assert not site.hub.catching_up

"""Limits over several processes, whose Redis goes and comes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.clock import SystemClock
from gateway.limits.port import AWAY, CONNECTS, Client, Policy
from gateway.limits.rates import Rate
from gateway.limits.redis import RedisLimiter
from tests.kit.waiting import becomes
from tests.services.redis import RedisServer, answers_within, patient

pytestmark = pytest.mark.redis

NONE = Rate(0.0, 1.0)
ONE = Client("203.0.113.1", Policy(3, NONE, NONE, NONE, NONE))
PATIENCE = 60.0
LEASE_SECONDS = 5.0
"""Of a process that is to be forgotten."""


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Redis nor what a process holds there is gone because the machine stands still for some seconds."""
    patient(monkeypatch)
    monkeypatch.setattr("gateway.limits.redis.LEASE_SECONDS", PATIENCE)


@asynccontextmanager
async def process(server: RedisServer, prefix: str, closed: bool = False) -> AsyncIterator[RedisLimiter]:
    """The limiter of one process; its end is that of a process which is killed."""
    limiter = RedisLimiter(server.url, 0, SystemClock(), prefix, closed)
    running = asyncio.create_task(limiter.run())
    try:
        yield limiter
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await limiter._redis.aclose()


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


async def entered(limiter: RedisLimiter, times: int) -> int:
    """How many of so many streams are let in."""
    return [await limiter.enter(ONE) for _ in range(times)].count(None)


async def let_in(limiter: RedisLimiter) -> None:
    """Try until a stream is let in."""
    async with asyncio.timeout(PATIENCE):
        while await limiter.enter(ONE) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_processes_share_a_limit(redis_server: RedisServer, prefix: str) -> None:
    async with process(redis_server, prefix) as first, process(redis_server, prefix) as second:
        assert await entered(first, 2) == 2
        assert await entered(second, 2) == 1
        first.leave(ONE)
        await let_in(second)
        assert await entered(first, 1) == 0


async def test_what_a_killed_process_held_is_free_again(
    redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.limits.redis.LEASE_SECONDS", LEASE_SECONDS)
    async with process(redis_server, prefix) as second:
        async with process(redis_server, prefix) as first:
            assert await entered(first, 2) == 2
            told = time.monotonic()
            assert await entered(first, 1) == 1
        # It is tried from now on.
        await let_in(second)
        assert time.monotonic() - told > LEASE_SECONDS - 0.1


async def test_a_process_that_ends_gives_back_at_once(redis_server: RedisServer, prefix: str) -> None:
    async with process(redis_server, prefix) as second:
        async with process(redis_server, prefix) as first:
            assert await entered(first, 3) == 3
            await first.close()
        assert await entered(second, 3) == 3


async def test_a_redis_that_is_started_again_empty_learns_what_is_held(redis_server: RedisServer, prefix: str) -> None:
    async with process(redis_server, prefix) as first, process(redis_server, prefix) as second:
        assert await entered(first, 2) == 2
        redis_server.kill()
        await becomes(lambda: not first.available and not second.available)
        # Each goes on by its own counts.
        assert await entered(first, 2) == 1
        assert await entered(second, 1) == 1
        second.leave(ONE)
        redis_server.start()
        await becomes(lambda: first.available and second.available)
        # It has been told of the three of the first.
        await becomes(lambda: not first._all_changed)
        assert await entered(second, 1) == 0


async def test_a_redis_that_is_emptied_learns_what_is_held(redis_server: RedisServer, prefix: str) -> None:
    async with process(redis_server, prefix) as first, process(redis_server, prefix) as second:
        assert await entered(first, 3) == 3
        await second._redis.flushdb()
        await second._redis.script_flush()
        async with asyncio.timeout(PATIENCE):
            # What slips in before the first has noticed is let go again.
            while await second.enter(ONE) is None:
                second.leave(ONE)
                await asyncio.sleep(0.1)


async def test_a_redis_that_hangs_delays_few_and_not_for_long(
    redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with process(redis_server, prefix) as limiter:
        assert await entered(limiter, 1) == 1
        answers_within(monkeypatch, 0.5)
        redis_server.halt()
        try:
            assert await entered(limiter, 1) == 1
            assert not limiter.available
            begun = time.monotonic()
            for _ in range(100):
                limiter.leave(ONE)
                assert await entered(limiter, 1) == 1
            assert time.monotonic() - begun < 100 * 0.5 / 2
        finally:
            patient(monkeypatch)
            redis_server.start()
        await becomes(lambda: limiter.available)
        assert await entered(limiter, 2) == 1


async def test_nobody_new_is_let_in_where_that_is_asked_for(redis_server: RedisServer, prefix: str) -> None:
    async with process(redis_server, prefix, closed=True) as limiter:
        assert await entered(limiter, 1) == 1
        redis_server.kill()
        await becomes(lambda: not limiter.available)
        refusal = await limiter.enter(ONE)
        assert refusal is not None
        assert refusal.limit == AWAY
        assert await limiter.spend(CONNECTS, ONE, Rate(1.0, 1.0), 1) > 0
        redis_server.start()
        await becomes(lambda: limiter.available)
        assert await entered(limiter, 3) == 2

"""What every limiter does, over each of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from gateway.clock import SystemClock
from gateway.limits.memory import MemoryLimiter
from gateway.limits.port import CONNECTS, FILTERS, INTAKE, STREAMS, STREAMS_PER_ADDRESS, Client, Limiter, Policy
from gateway.limits.rates import Rate
from gateway.limits.redis import RedisLimiter
from tests.services.redis import patient

NONE = Rate(0.0, 1.0)
PAID = Rate(100.0, 200.0)
SLOW = Rate(0.01, 3.0)
TOTAL = 5


def client(name: str, streams: int = 3, connects: Rate = NONE) -> Client:
    return Client(name, Policy(streams, PAID, connects, NONE, NONE))


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def limiter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Limiter]:
    """Each limiter in turn, for five streams in all."""
    patient(monkeypatch)
    limiter: Limiter
    if request.param == "memory":
        limiter = MemoryLimiter(TOTAL, SystemClock())
    else:
        url = request.getfixturevalue("redis_server").url
        limiter = RedisLimiter(url, TOTAL, SystemClock(), prefix=uuid.uuid4().hex)
    running = asyncio.create_task(limiter.run())
    yield limiter
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await limiter.close()


async def test_streams_of_an_address(limiter: Limiter) -> None:
    one = client("one")
    for _ in range(3):
        assert await limiter.enter(one) is None
    refusal = await limiter.enter(one)
    assert refusal is not None
    assert refusal.limit == STREAMS_PER_ADDRESS
    assert refusal.seconds > 0
    assert await limiter.enter(client("two")) is None
    limiter.leave(one)
    assert await limiter.enter(one) is None
    assert await limiter.enter(one) is not None


async def test_who_has_not_paid_for_filters_gets_no_other(limiter: Limiter) -> None:
    one = client("one", streams=0)
    assert limiter.charge(one, 150) == 0
    assert limiter.indebted(one) is None
    owed = limiter.charge(one, 10_000)
    # As far as it is not paid by the time that passes meanwhile.
    assert 60 < owed < 100
    assert limiter.charge(one, 0) <= owed
    refusal = limiter.indebted(one)
    assert refusal is not None
    assert refusal.limit == FILTERS
    assert 50 < refusal.seconds <= owed
    assert await limiter.enter(one) is None
    assert limiter.indebted(client("two")) is None


async def test_streams_of_all(limiter: Limiter) -> None:
    for number in range(TOTAL):
        assert await limiter.enter(client(f"client {number}")) is None
    refusal = await limiter.enter(client("one more"))
    assert refusal is not None
    assert refusal.limit == STREAMS


async def test_many_at_once_get_just_what_there_is(limiter: Limiter) -> None:
    found = await asyncio.gather(*(limiter.enter(client("one")) for _ in range(40)))
    assert found.count(None) == 3
    for _ in range(3):
        limiter.leave(client("one"))
    found = await asyncio.gather(*(limiter.enter(client(f"client {number}")) for number in range(40)))
    assert found.count(None) == TOTAL


async def test_new_streams_a_second(limiter: Limiter) -> None:
    fast = client("fast", streams=0, connects=SLOW)
    for _ in range(3):
        assert await limiter.enter(fast) is None
        limiter.leave(fast)
    refusal = await limiter.enter(fast)
    assert refusal is not None
    assert refusal.limit == CONNECTS
    assert 60 < refusal.seconds <= 100
    # A refusal takes no slot.
    for number in range(TOTAL):
        assert await limiter.enter(client(f"client {number}")) is None


async def test_a_rate_is_spent_and_owed(limiter: Limiter) -> None:
    one = client("one")
    assert await limiter.spend(INTAKE, one, SLOW, 2) == 0
    assert await limiter.spend(INTAKE, one, SLOW, 100) == 0
    assert await limiter.spend(INTAKE, one, SLOW, 1) == pytest.approx(10_000, abs=60)
    assert await limiter.spend(INTAKE, client("two"), SLOW, 1) == 0
    assert await limiter.spend("another", one, SLOW, 1, owing=True) == 0
    assert 60 < await limiter.spend("another", one, SLOW, 3, owing=True) <= 100
    assert await limiter.spend(INTAKE, one, NONE, 1_000_000) == 0

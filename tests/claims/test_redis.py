"""Claims in Redis: what is said while it is away, and how much it holds."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.claims import redis as claims_redis
from gateway.claims.port import AskedClaim, ClaimsAway, ClaimState
from gateway.claims.redis import YOUNG_MILLISECONDS, RedisClaims
from gateway.intake.store import known_by
from gateway.observability.telemetry import exposition
from tests.kit.clock import ShiftedClock
from tests.kit.stopwatch import stopwatch
from tests.services.redis import RedisServer, answers_within, patient

pytestmark = pytest.mark.redis

Make = Callable[..., RedisClaims]
CAUTIOUS_SECONDS = 600.0
SOON = 0.5
"""Seconds in which a Redis that hangs is found to be away."""
PATIENCE = 60.0


@pytest.fixture
async def make(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    patient(monkeypatch)
    made: list[RedisClaims] = []
    running: list[asyncio.Task[None]] = []
    prefix = uuid.uuid4().hex

    def another(seconds: float = 600.0, maximum: int = 3000, run: bool = True) -> RedisClaims:
        made.append(RedisClaims(redis_server.url, seconds, maximum, ShiftedClock(), prefix))
        if run:
            running.append(asyncio.create_task(made[-1].run()))
        return made[-1]

    yield another
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for claims in made:
        await claims.close()


def later(claims: RedisClaims, seconds: float) -> None:
    clock = claims._clock
    assert isinstance(clock, ShiftedClock)
    clock.later += seconds


async def age(claims: RedisClaims, milliseconds: int) -> None:
    """Let Redis have known claims for so much longer."""
    await claims._scripts.raw.hincrby(claims._keys[0], "born", -milliseconds)


def sure(claims: RedisClaims) -> bool:
    return claims.sure


async def back(claims: RedisClaims) -> None:
    async with asyncio.timeout(PATIENCE):
        while not claims._scripts.available:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["killed", "halted"])
async def test_while_redis_is_away_that_is_told_at_once(
    make: Make, redis_server: RedisServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = make()
    await claims.take([AskedClaim(b"a")])
    answers_within(monkeypatch, SOON)
    (redis_server.kill if how == "killed" else redis_server.halt)()
    async with stopwatch() as watch:
        for call in (
            claims.take([AskedClaim(b"a")]),
            claims.renew([b"a"]),
            claims.settle([b"a"], []),
            claims.bind(b"n", b"v"),
        ):
            with pytest.raises(ClaimsAway):
                await call
        assert watch.seconds < 1.5
    assert b"\ngateway_claims_alone 1.0" in exposition()
    patient(monkeypatch)
    redis_server.start()
    await back(claims)
    assert b"\ngateway_claims_alone 0.0" in exposition()
    [standing] = await claims.take([AskedClaim(b"a")])
    assert standing.kind is ClaimState.OWN


async def test_what_nobody_has_claimed_is_looked_for_where_redis_has_not_been_there_for_long(
    make: Make, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It passes where the test says so, and not while the machine stands still.
    monkeypatch.setattr(claims_redis, "CAUTIOUS_SECONDS", CAUTIOUS_SECONDS)
    claims = make()
    await claims.take([AskedClaim(b"a")])
    await age(claims, YOUNG_MILLISECONDS)
    await claims.take([AskedClaim(b"a")])
    assert not sure(claims), "it has begun a moment ago, when others may not have known that Redis is there"
    later(claims, CAUTIOUS_SECONDS)
    assert sure(claims)
    answers_within(monkeypatch, SOON)
    redis_server.halt()
    with pytest.raises(ClaimsAway):
        await claims.take([AskedClaim(b"a")])
    patient(monkeypatch)
    redis_server.start()
    await back(claims)
    assert not sure(claims)
    later(claims, CAUTIOUS_SECONDS)
    assert sure(claims)
    await claims._scripts.raw.flushall()
    await claims.take([AskedClaim(b"a")])
    assert not sure(claims), "it was emptied"
    await age(claims, YOUNG_MILLISECONDS)
    await claims.take([AskedClaim(b"a")])
    assert sure(claims)


async def test_what_redis_holds_is_bounded_and_ends(make: Make) -> None:
    claims = make(seconds=0.6, maximum=300, run=False)
    raw = claims._scripts.raw

    async def held() -> tuple[int, int]:
        keys = [key async for key in raw.scan_iter(match=claims._keys[0].replace("{", "\\{") + ":*")]
        return len(keys), sum([await raw.hlen(key) for key in keys])

    for number in range(200):
        await claims.take([AskedClaim(b"%d.%d" % (number, each)) for each in range(10)])
        keys, fields = await held()
        assert keys <= 3
        assert fields <= 300 + 3 * 10
    async with asyncio.timeout(PATIENCE):
        while await raw.exists(claims._keys[0]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert await held() == (0, 0)


async def test_a_claim_lasts_for_its_window(make: Make) -> None:
    first, second = make(seconds=0.6), make(seconds=0.6)
    begun = time.monotonic()
    await first.take([AskedClaim(b"a")])
    await first.settle([b"a"], [])
    async with stopwatch() as watch, asyncio.timeout(PATIENCE):
        while True:
            [standing] = await second.take([AskedClaim(b"a")])
            if standing.kind is not ClaimState.STORED:
                break
            await second.take([AskedClaim(uuid.uuid4().bytes)])
            await asyncio.sleep(0.02)
        assert watch.seconds < 1.5
    assert time.monotonic() - begun >= 0.6
    assert standing.kind is ClaimState.OWN


async def test_scripts_that_redis_has_forgotten_are_given_to_it_again(make: Make) -> None:
    claims = make()
    await claims.take([AskedClaim(b"a")])
    await claims._scripts.raw.script_flush()
    found = await asyncio.gather(claims.take([AskedClaim(b"a")]), claims.take([AskedClaim(b"b")]))
    assert [standing.kind for (standing,) in found] == [ClaimState.OWN, ClaimState.OWN]


def test_nothing_can_be_read_out_of_what_others_are_told() -> None:
    one = known_by("topic", ("stream", "secret-id"))
    assert len(one) == 16
    parts = [("topic", ("stream", "secret-id")), ("topicstream", ("", "secret-id")), ("topic", ("streams", "ecret-id"))]
    assert len({known_by(*each) for each in parts}) == 3
    assert known_by("topic", ("stream", "\ud800")) != known_by("topic", ("stream", "?"))

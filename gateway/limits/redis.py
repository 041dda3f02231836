"""Limits for all processes and hosts, counted in Redis.

While Redis is away, the process continues with its own counts. It reports all of them to Redis when that is back.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.limits.ledger import Ledger
from gateway.limits.port import (
    AWAY,
    CONNECTS,
    SLOT_SECONDS,
    STREAMS,
    STREAMS_PER_ADDRESS,
    Client,
    LimitReached,
)
from gateway.limits.rates import Rate
from gateway.limits.redis_scripts import ENTER, REPORT, SPEND
from gateway.observability import telemetry
from gateway.outbound.scripted_redis import ANSWER_SECONDS, RedisAway, ScriptedRedis

LEASE_SECONDS = 5.0
"""Seconds after which the streams of a silent process are forgotten."""
RENEW_SECONDS = 1.0
"""Between two reports where nothing changes, and two tries while Redis is away."""
GATHER_SECONDS = 0.05
"""Seconds within which the end of a stream is reported, together with those that end meanwhile."""
BUCKETS = 1000
"""Buckets in one report."""
_REFUSING = {1: STREAMS, 2: STREAMS_PER_ADDRESS, 3: CONNECTS}


class RedisLimiter:
    """A Limiter over Redis. `url` is `redis://…`, `rediss://…` or `unix://…`; `total`: see Ledger; `closed`: refuse
    while Redis is away; `prefix` begins the names of all keys."""

    def __init__(self, url: str, total: int, clock: Clock, prefix: str = "gateway", closed: bool = False) -> None:
        self._scripts = ScriptedRedis(url, self._tell)
        self._redis = self._scripts.raw
        self._clock = clock
        self._closed = closed
        self._ledger = Ledger(total)
        self._owner = uuid.uuid4().hex
        # One slot of a Redis cluster holds all of it.
        self._processes = f"{{{prefix}}}:processes"
        self._own = f"{self._processes}:{self._owner}"
        self._rates = f"{{{prefix}}}:rate:"
        self._changed: set[str] = set()
        self._all_changed = True
        self._wake = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether Redis answered when it was asked last."""
        return self._scripts.available

    async def enter(self, client: Client) -> LimitReached | None:
        """See Limiter."""
        ledger = self._ledger
        if (refusal := ledger.full(client)) is not None:
            return refusal
        # Counted before Redis is asked: others that are asked for meanwhile are counted on top of it.
        ledger.hold(client)
        try:
            refusal = await self._ask_to_enter(client) if self.available else self._enter_alone(client)
        except RedisAway:
            refusal = self._enter_alone(client)
        except BaseException:
            self.leave(client)
            raise
        if refusal is not None:
            self.leave(client)
        return refusal

    def indebted(self, client: Client) -> LimitReached | None:
        """See Limiter."""
        return self._ledger.indebted(client, self._clock.monotonic())

    def charge(self, client: Client, steps: int) -> float:
        """See Limiter."""
        return self._ledger.charge(client, steps, self._clock.monotonic())

    def leave(self, client: Client) -> None:
        """See Limiter."""
        self._ledger.release(client)
        self._changed.add(client.bucket)
        self._wake.set()

    async def spend(self, limit: str, client: Client, rate: Rate, amount: float, owing: bool = False) -> float:
        """See Limiter."""
        if not rate.limited:
            return 0.0
        with suppress(RedisAway):
            if self.available:
                key = f"{self._rates}{limit}:{client.bucket}"
                milliseconds: int = await self._scripts.ask(SPEND, [key], [*rate, amount, int(owing)])
                return milliseconds / 1000
        if self._closed and not owing:
            return RENEW_SECONDS
        return self._ledger.spend(limit, client, rate, amount, self._clock.monotonic(), owing)

    async def run(self) -> None:
        """See Limiter. Renews what this process holds, and finds out when Redis is back."""
        while True:
            try:
                await self._report()
            except RedisAway:
                await asyncio.sleep(RENEW_SECONDS)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._ledger.forget(self._clock.monotonic())

    async def close(self) -> None:
        """See Limiter. Others may have the slots at once."""
        await self._scripts.end_asking()
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.zrem(self._processes, self._owner)
                await self._redis.delete(self._own)
        await self._scripts.close()

    def _enter_alone(self, client: Client) -> LimitReached | None:
        """Without Redis: by what this process knows, which holds the stream already."""
        if self._closed:
            return LimitReached(AWAY, RENEW_SECONDS)
        self._changed.add(client.bucket)
        return self._ledger.connect(client, self._clock.monotonic())

    async def _ask_to_enter(self, client: Client) -> LimitReached | None:
        bucket, policy = client
        ledger = self._ledger
        keys = [self._processes, self._own, f"{self._rates}{CONNECTS}:{bucket}"]
        arguments = [
            *(self._owner, int(LEASE_SECONDS * 1000), bucket, ledger.held[bucket], ledger.streams),
            *(policy.streams, ledger.total, *policy.connects),
        ]
        known, refusing, milliseconds = await self._scripts.ask(ENTER, keys, arguments)
        if not known and not self._all_changed:
            # Redis was emptied, or this process stood still: what it said before is not there.
            self._all_changed = True
            self._wake.set()
        if not refusing:
            return None
        return LimitReached(_REFUSING[refusing], milliseconds / 1000 or SLOT_SECONDS)

    async def _report(self) -> None:
        """Tell Redis what has changed, or all there is. Raises RedisAway."""
        self._wake.clear()
        complete, buckets = self._all_changed, self._changed
        self._changed, self._all_changed = set(), False
        held = self._ledger.held
        names = list(held) if complete else list(buckets)
        try:
            for begin in range(0, max(1, len(names)), BUCKETS):
                part = names[begin : begin + BUCKETS]
                counts = [value for name in part for value in (name, held.get(name, 0))]
                first = int(complete and begin == 0)
                arguments = [self._owner, int(LEASE_SECONDS * 1000), first, self._ledger.streams, *counts]
                if not await self._scripts.ask(REPORT, [self._processes, self._own], arguments) and not complete:
                    self._all_changed = True
                    self._wake.set()
        except RedisAway:
            self._all_changed = True
            raise

    def _tell(self, available: bool, reason: str) -> None:
        if available:
            telemetry.limits_shared()
        else:
            telemetry.limits_alone(reason, self._closed)

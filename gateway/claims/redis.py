"""Claims for all gateways, kept in Redis. It holds only hashes of ids. See `redis_scripts`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gateway.claims.port import LEASE_SECONDS, AskedClaim, ClaimsAway, ClaimState, Standing
from gateway.claims.redis_scripts import BIND, RENEW, SETTLE, TAKE
from gateway.clock import Clock
from gateway.observability import telemetry
from gateway.outbound.scripted_redis import RedisAway, ScriptedRedis

PARTS = 3
"""Of a window; a claim is in it for its time, and up to half as long again."""
CAUTIOUS_SECONDS = 10.0
"""Seconds after Redis has appeared within which others may not know it yet, and store without claims."""
YOUNG_MILLISECONDS = 60_000
"""Seconds after which claims that an emptied Redis has lost are known from the log, even if a gateway lags."""
AGAIN_SECONDS = 1.0
"""Between two questions whether Redis is there."""


class RedisClaims:
    """Claims in Redis. `url` is `redis://…`, `rediss://…` or `unix://…`. A claim is kept for `seconds`, among the
    newest `maximum`. `prefix` begins the names of all keys."""

    def __init__(self, url: str, seconds: float, maximum: int, clock: Clock, prefix: str = "gateway") -> None:
        self._scripts = ScriptedRedis(url, self._tell)
        self._clock = clock
        # One slot of a Redis cluster holds all of it.
        self._keys = [f"{{{prefix}}}:claims"]
        self._bounds = [max(1, int(seconds * 1000 / (PARTS - 1))), max(1, maximum // PARTS)]
        self._holder = uuid.uuid4().hex.encode()
        self._lease = int(LEASE_SECONDS * 1000)
        self._cautious_until = clock.monotonic() + CAUTIOUS_SECONDS
        self._young = True

    @property
    def sure(self) -> bool:
        """See Claims."""
        return not self._young and self._clock.monotonic() >= self._cautious_until

    async def take(self, asked: Sequence[AskedClaim]) -> list[Standing]:
        """See Claims."""
        words = [word for one in asked for word in one]
        age, *answers = await self._ask(TAKE, self._holder, self._lease, *words)
        self._young = age < YOUNG_MILLISECONDS
        return [
            Standing(ClaimState.LAPSED, one) if isinstance(one, bytes) else Standing(ClaimState(one)) for one in answers
        ]

    async def renew(self, ids: Sequence[bytes]) -> list[bool]:
        """See Claims."""
        return [own == 1 for own in await self._ask(RENEW, self._holder, self._lease, *ids)]

    async def settle(self, stored: Sequence[bytes], freed: Sequence[bytes]) -> None:
        """See Claims."""
        await self._ask(SETTLE, self._holder, len(stored), *stored, *freed)

    async def bind(self, name: bytes, value: bytes) -> bytes:
        """See Keys."""
        bound: bytes = await self._ask(BIND, name, value)
        return bound

    async def run(self) -> None:
        """See Claims."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            with suppress(RedisAway):
                await self._scripts.ask(RENEW, self._keys, [*self._bounds, self._holder, self._lease])

    async def close(self) -> None:
        """See Claims. Claims that are not settled lapse."""
        await self._scripts.close()

    async def _ask(self, script: str, *words: object) -> Any:
        if not self._scripts.available:
            raise ClaimsAway("Redis does not answer")
        try:
            return await self._scripts.ask(script, self._keys, [*self._bounds, *words])
        except RedisAway as error:
            raise ClaimsAway(str(error)) from error

    def _tell(self, available: bool, reason: str) -> None:
        if available:
            self._cautious_until = self._clock.monotonic() + CAUTIOUS_SECONDS
            telemetry.claims_shared()
        else:
            telemetry.claims_alone(f"Redis: {reason}")

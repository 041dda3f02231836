"""Limits that one process counts by itself."""

from __future__ import annotations

import asyncio

from gateway.clock import Clock
from gateway.limits.ledger import FORGET_SECONDS, Ledger
from gateway.limits.port import Client, LimitReached
from gateway.limits.rates import Rate


class MemoryLimiter:
    """A Limiter in memory. `total`: see Ledger."""

    def __init__(self, total: int, clock: Clock) -> None:
        self._ledger = Ledger(total)
        self._clock = clock

    async def enter(self, client: Client) -> LimitReached | None:
        """See Limiter."""
        ledger, now = self._ledger, self._clock.monotonic()
        refusal = ledger.full(client) or ledger.connect(client, now)
        if refusal is None:
            ledger.hold(client)
        return refusal

    def indebted(self, client: Client) -> LimitReached | None:
        """See Limiter."""
        return self._ledger.indebted(client, self._clock.monotonic())

    def leave(self, client: Client) -> None:
        """See Limiter."""
        self._ledger.release(client)

    def charge(self, client: Client, steps: int) -> float:
        """See Limiter."""
        return self._ledger.charge(client, steps, self._clock.monotonic())

    async def spend(self, limit: str, client: Client, rate: Rate, amount: float, owing: bool = False) -> float:
        """See Limiter."""
        return self._ledger.spend(limit, client, rate, amount, self._clock.monotonic(), owing)

    async def run(self) -> None:
        """See Limiter."""
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            self._ledger.forget(self._clock.monotonic())

    async def close(self) -> None:
        """See Limiter."""

"""Limits that one process counts by itself."""

from __future__ import annotations

import asyncio

from gateway.clock import Clock
from gateway.limits.ledger import FORGET_SECONDS, Ledger
from gateway.limits.port import Client, Refusal
from gateway.limits.rates import Rate


class MemoryLimiter:
    """A Limiter in memory. `total`: see Ledger."""

    def __init__(self, total: int, clock: Clock) -> None:
        self._ledger = Ledger(total)
        self._clock = clock

    async def enter(self, client: Client, cost: int = 0) -> Refusal | None:
        """See Limiter."""
        refusal = self._ledger.full(client, cost) or self._ledger.connect(client, self._clock.monotonic())
        if refusal is None:
            self._ledger.hold(client, cost)
        return refusal

    def add(self, client: Client, cost: int) -> Refusal | None:
        """See Limiter."""
        return self._ledger.add(client, cost)

    def leave(self, client: Client, cost: int = 0) -> None:
        """See Limiter."""
        self._ledger.release(client, cost)

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

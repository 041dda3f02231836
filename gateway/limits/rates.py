"""Limits a rate: a leaky bucket that needs one number for each client.

It is the generic cell rate algorithm (ITU-T I.371). The number is the time at which all that was spent will be paid.
"""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """An amount a second, and the burst after a rest. A rate of 0 is no limit."""

    per_second: float
    burst: float

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self.per_second > 0


class Spent(NamedTuple):
    """`due`: when all is paid for (seconds). `wait`: seconds until more may be spent; where nothing was owed before,
    they say that nothing was spent now."""

    due: float
    wait: float


def spend(rate: Rate, due: float, now: float, amount: float, owing: bool = False) -> Spent:
    """Spend an amount. While any of the burst is left, an amount that is larger than it is granted, and owed.

    `owing`: it has been spent already, and the wait is until it is paid for but the burst; else a wait is a refusal.
    """
    begun = max(due, now)
    if not owing:
        wait = begun - now - (rate.burst - 1) / rate.per_second
        if wait > 0:
            return Spent(due, wait)
    after = begun + amount / rate.per_second
    return Spent(after, max(0.0, after - now - rate.burst / rate.per_second) if owing else 0.0)

"""The ledger: what the clients of one process use. Pure: time is handed in."""

from __future__ import annotations

from gateway.limits.port import CONNECTS, FILTERS, SLOT_SECONDS, STREAMS, STREAMS_PER_ADDRESS, Client, LimitReached
from gateway.limits.rates import Rate, spend

FORGET_SECONDS = 10.0
"""Between two looks for what need not be remembered any more."""


class Ledger:
    """`total`: the streams of all clients together (0: no limit). Times are in seconds, of any clock."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.streams = 0
        self.held: dict[str, int] = {}
        """The open streams by bucket; no bucket has none."""
        self._due: dict[tuple[str, str], float] = {}

    def full(self, client: Client) -> LimitReached | None:
        """The limit that refuses another stream, however fast they are opened."""
        if self.total and self.streams >= self.total:
            return LimitReached(STREAMS, SLOT_SECONDS)
        if client.policy.streams and self.held.get(client.bucket, 0) >= client.policy.streams:
            return LimitReached(STREAMS_PER_ADDRESS, SLOT_SECONDS)
        return None

    def indebted(self, client: Client, now: float) -> LimitReached | None:
        """The limit that refuses another filter, because the present ones have taken more than is paid for."""
        wait = self.charge(client, 0, now)
        return LimitReached(FILTERS, wait) if wait > 0 else None

    def charge(self, client: Client, steps: int, now: float) -> float:
        """Pay for steps of filters; the seconds until they are paid for."""
        return self.spend(FILTERS, client, client.policy.filters, steps, now, owing=True)

    def connect(self, client: Client, now: float) -> LimitReached | None:
        """Spend of the rate of new streams; what refuses that."""
        wait = self.spend(CONNECTS, client, client.policy.connects, 1, now)
        return LimitReached(CONNECTS, wait) if wait > 0 else None

    def hold(self, client: Client) -> None:
        """A stream is open."""
        self.streams += 1
        _add(self.held, client.bucket, 1)

    def release(self, client: Client) -> None:
        """It is open no longer."""
        self.streams -= 1
        _add(self.held, client.bucket, -1)

    def spend(self, limit: str, client: Client, rate: Rate, amount: float, now: float, owing: bool = False) -> float:
        """Spend of a rate; the seconds to wait."""
        if not rate.limited:
            return 0.0
        key = (limit, client.bucket)
        spent = spend(rate, self._due.get(key, now), now, amount, owing)
        self._due[key] = spent.due
        return spent.wait

    def forget(self, now: float) -> None:
        """Forget the rates of those who have paid for all that they spent."""
        self._due = {key: due for key, due in self._due.items() if due > now}


def _add(counts: dict[str, int], bucket: str, amount: int) -> None:
    """Nothing is kept of a bucket that has nothing."""
    left = counts.get(bucket, 0) + amount
    if left:
        counts[bucket] = left
    else:
        counts.pop(bucket, None)

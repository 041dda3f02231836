"""The port of the limits: who may open another stream, and spend more of a rate."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway.limits.rates import Rate

STREAMS = "limit_streams"
STREAMS_PER_ADDRESS = "limit_streams_per_address"
FILTERS = "limit_filters"
CONNECTS = "limit_connects"
REQUESTS = "limit_requests"
INTAKE = "limit_intake"
REPLAY = "limit_replay"
"""The limits, by the names of their settings."""

AWAY = "limits"
"""The limit that refuses when limits cannot be counted, and must not be exceeded."""

SLOT_SECONDS = 5.0
"""Seconds in the `retry-after` of a client that waits for another stream to end; nobody knows when one does."""


class Policy(NamedTuple):
    """The allowance of one client: the number of open streams (0: no limit), and its rates."""

    streams: int
    filters: Rate
    connects: Rate
    intake: Rate
    replay: Rate
    requests: Rate = Rate(0.0, 1.0)


class Client(NamedTuple):
    """Whose use is counted together: an address, or a network where many addresses are one customer's."""

    bucket: str
    policy: Policy


class LimitReached(NamedTuple):
    """Which limit refuses, and the seconds after which it may not."""

    limit: str
    seconds: float


class Limiter(Protocol):
    """Counts what clients use. Nothing here raises where the store of the counts is away, or waits long for it."""

    async def enter(self, client: Client) -> LimitReached | None:
        """Open a stream; None where it may be, and `leave` is due once when it has ended."""
        ...

    def indebted(self, client: Client) -> LimitReached | None:
        """The limit that refuses another filter, because those of the client have taken more than is paid for."""
        ...

    def leave(self, client: Client) -> None:
        """A stream has ended."""
        ...

    def charge(self, client: Client, steps: int) -> float:
        """Pay for steps that filters took: time of this process, which no other counts. Returns the seconds until they
        are paid for."""
        ...

    async def spend(self, limit: str, client: Client, rate: Rate, amount: float, owing: bool = False) -> float:
        """Spend of a rate; see `rates.spend`. Returns the seconds to wait."""
        ...

    async def run(self) -> None:
        """Keep the counts for as long as the process serves."""
        ...

    async def close(self) -> None:
        """Give back what is held."""
        ...

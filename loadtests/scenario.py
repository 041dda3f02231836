"""A scenario: what is measured, and beside what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from loadtests.measurement import Figure

Kind = Literal["fan-out", "idle", "replay", "storm", "fair", "crowded"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the servers, or ways to use it, that a scenario compares; each repeat measures all, one after the other.

    `server` is a name of `feeds.SERVERS`; `clients`, `rate` and `filters` are those of this side alone; `settings` are
    flags of the gateway. `shared` is whether server and clients share all cores.
    """

    name: str
    server: str = "gateway"
    log: Literal["sqlite", "kafka"] = "sqlite"
    gzip: bool = False
    client: Literal["own", "locust"] = "own"
    filters: Literal["indexed", "unindexed", "nothing"] | None = None
    workers: int = 1
    shared: bool = False
    clients: int | None = None
    rate: int | None = None
    settings: tuple[str, ...] = ()
    replaying: int = 0
    """Clients that replay meanwhile, where that is fair."""
    streams: str = ""
    """More streams of the configuration, as lines of YAML."""


GATEWAY = Side("gateway")
FLOOR = Side("floor", server="floor")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`rate` is events a second, `seconds` how long they come, `flush_interval` seconds. A replay reads `events`, and
    where that is to be fair, they are there beside those that come."""

    name: str
    title: str
    kind: Kind = "fan-out"
    sides: tuple[Side, ...] = (FLOOR, GATEWAY)
    clients: int = 1000
    rate: int = 100
    seconds: float = 6
    once: bool = False
    """Measured once however many repeats there are: it takes long, and compares with nothing."""
    events: int = 0
    flush_interval: float = 0.1
    payload: Literal["padded", "wiki"] = "padded"
    sampled: int = 50
    slow: int = 0
    profiled: str = ""
    """The side that is run once more with a profile, which is no figure."""
    figures: tuple[Figure, ...] = ()
    limited_by: str = ""

    def quick(self) -> Scenario:
        """The same, so small that it only shows that it works: its figures mean nothing."""
        hasty = ("--heartbeat", "0.5") if self.kind in ("idle", "crowded") else ()
        sides = tuple(
            replace(side, clients=side.clients and _small(side.clients), rate=None, settings=(*side.settings, *hasty))
            for side in self.sides
        )
        return replace(
            self,
            sides=sides,
            clients=_small(self.clients),
            slow=min(self.slow, 2),
            rate=min(self.rate, 100),
            seconds=min(self.seconds, 0.5 if self.kind == "fan-out" else 2),
            events=min(self.events, 3000),
            sampled=min(self.sampled, 10),
        )

    def of(self, side: Side) -> Scenario:
        """The scenario with the load of this side."""
        return replace(self, clients=side.clients or self.clients, rate=side.rate or self.rate)

    @property
    def live_events(self) -> int:
        """How many events are produced while clients are there."""
        return max(1, int(self.rate * self.seconds))

    @property
    def total(self) -> int:
        """How many events are produced."""
        return self.live_events if self.kind == "fair" else self.events or self.live_events


def _small(count: int) -> int:
    return min(count, max(20, count // 100))

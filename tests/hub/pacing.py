"""A hub in numbers: records that come, deliveries that take processor time, and a pace between them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from gateway.hub.pace import READ_SECONDS, Load, Pace

EVENT_BYTES = 1200
A_WRITE = 9e-6
"""Processor time (seconds) of a write to one client."""


@dataclass(frozen=True)
class Stream:
    """The records of one topic: so many a second for so many clients, from one time to another (seconds)."""

    rate: float
    clients: int
    random: bool = False
    begins: float = 0.0
    ends: float = float("inf")
    together: int = 1
    """Records that come at the same time."""

    @property
    def use(self) -> float:
        """The part of a core that its deliveries take where each record is written alone."""
        return self.rate * (self.clients * A_WRITE + READ_SECONDS)

    def arrivals(self, until: float, random: Random) -> Iterator[float]:
        now = self.begins
        while now < min(until, self.ends):
            yield from [now] * self.together
            now += self.together * (random.expovariate(self.rate) if self.random else 1 / self.rate)


@dataclass
class Outcome:
    """What came of each topic: when its deliveries ended, their cost, the delays of its records, and its rests."""

    cost: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    delays: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    rests: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def share(self, name: str, begin: float, end: float) -> float:
        """The part of a core that the topic took in this time."""
        return sum(cost for now, cost in self.cost[name] if begin <= now < end) / (end - begin)

    def total(self, begin: float, end: float) -> float:
        return sum(self.share(name, begin, end) for name in self.cost)

    def latest(self, name: str, begin: float = 0.0, end: float = float("inf")) -> float:
        """The longest delay of a record that came in this time."""
        return max(delay for came, delay in self.delays[name] if begin <= came < end)

    def resting(self, name: str, begin: float = 0.0, end: float = float("inf")) -> list[float]:
        """The rests that began in this time."""
        return [seconds for now, seconds in self.rests[name] if begin <= now < end]


def simulate(
    streams: Mapping[str, Stream],
    seconds: float = 10.0,
    flush_interval: float = 0.1,
    flush_bytes: int = 1 << 30,
    seed: int = 1,
    jumps: Mapping[float, float] | None = None,
) -> Outcome:
    """Let the records come for so long, and deliver them as the hub does. At the times of `jumps` the clock that the
    pace sees moves by so many seconds."""
    random, pace, outcome = Random(seed), Pace(flush_interval, flush_bytes), Outcome()
    coming = {name: list(stream.arrivals(seconds, random)) for name, stream in streams.items()}
    taken = dict.fromkeys(streams, 0)
    for name in streams:
        outcome.cost[name], outcome.delays[name], outcome.rests[name] = [], [], []
    left = sorted((jumps or {}).items())
    now = shift = 0.0
    while True:
        while left and now >= left[0][0]:
            shift += left.pop(0)[1]
        resting = pace.resting(now + shift)
        due = {name: coming[name][taken[name]] for name in streams if taken[name] < len(coming[name])}
        if not due:
            return outcome
        soonest = heapq.nsmallest(1, [now + rest for rest in resting.values()] + [due[n] for n in due.keys() - resting])
        now = max(now, soonest[0])
        resting = pace.resting(now + shift)
        loads: dict[str, Load] = {}
        for name in due.keys() - resting:
            end = taken[name]
            while end < len(coming[name]) and coming[name][end] <= now:
                end += 1
            if end > taken[name]:
                count = end - taken[name]
                loads[name] = Load(count, count * EVENT_BYTES, streams[name].clients)
        if not loads:
            now += 1e-7
            continue
        begun, cost = now, sum(load.clients for load in loads.values()) * A_WRITE
        now += cost + READ_SECONDS
        pace.spent(begun + shift, now + shift, cost, loads)
        resting = pace.resting(now + shift)
        for name, load in loads.items():
            part = (load.clients + 1) / sum(other.clients + 1 for other in loads.values())
            outcome.cost[name].append((now, (cost + READ_SECONDS) * part))
            records = coming[name][taken[name] : taken[name] + load.records]
            outcome.delays[name] += [(came, now - came) for came in records]
            outcome.rests[name].append((now, resting.get(name, 0.0)))
            taken[name] += load.records

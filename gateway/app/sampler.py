"""The sampler: once a second it updates the metrics that would cost too much to update on each change."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from gateway.catalog.catalog import Catalog
from gateway.feed.held import Held
from gateway.feed.live import Broadcast
from gateway.hub.hub import Hub
from gateway.hub.past import Past
from gateway.hub.watch import LagWatch
from gateway.observability import telemetry
from gateway.subscription.connections import stream_names

INTERVAL = 1.0
"""Seconds from one beat to the next."""


class Sampler:
    """Measures one process. `catalog` has the streams that may be named, so that what clients send names none."""

    def __init__(
        self,
        hub: Hub,
        past: Past,
        watch: LagWatch,
        catalog: Callable[[], Catalog],
        broadcast: Broadcast,
        held: Held,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._hub = hub
        self._past = past
        self._watch = watch
        self._catalog = catalog
        self._broadcast = broadcast
        self._held = held
        self._named: set[str] = set()

    async def run(self) -> None:
        """Beat for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.beat(max(0.0, loop.time() - due))

    def beat(self, loop_lag: float) -> None:
        """Tell how things are; the event loop was so late (seconds)."""
        telemetry.tally.publish()
        telemetry.tell_bad_records(self._monotonic())
        ring = self._hub.ring
        telemetry.process_state(loop_lag, ring.size, ring.size / ring.capacity, self._past.reading)
        stuck = dict.fromkeys(self._watch.stuck, "silent")
        telemetry.stuck_partitions(
            stuck | {partition: str(trouble.kind) for partition, trouble in self._hub.sick.items()}
        )
        self._held.refresh()
        telemetry.sessions_hold(self._held.size, self._held.waits, self._held.cut)
        self._held.waits = self._held.cut = 0
        catalog = self._catalog()
        # A stream that is gone from the catalogue, and from the clients, is told to have none.
        before, self._named = self._named, set(catalog.streams)
        telemetry.connections({**dict.fromkeys(before | self._named, 0), **self._connections(catalog)})
        lag = {
            stream.name: sum(count for partition, count in self._watch.lag.items() if partition.topic in stream.topics)
            for stream in catalog.streams.values()
        }
        telemetry.lag(dict.fromkeys(before, 0) | lag)

    def _connections(self, catalog: Catalog) -> Counter[str]:
        counts: Counter[str] = Counter()
        for topics, count in self._broadcast.users().items():
            counts.update(dict.fromkeys(stream_names(catalog, topics), count))
        return counts

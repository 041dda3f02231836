"""A gateway process without its server: what runs between the log and the connections, started and killed at will."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from gateway.catalog.catalog import Catalog
from gateway.eventlog.memory.log import MemoryLog
from gateway.feed.cache import BlockCache
from gateway.feed.held import Held
from gateway.feed.live import Broadcast
from gateway.hub import past
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.past import Past
from gateway.hub.segment import Segment
from gateway.model.record import TopicPartition, size_of
from gateway.routes.access import Everyone
from gateway.routes.parameters import RequestBounds
from gateway.routes.streams import StreamEndpoint
from gateway.subscription.services import Services
from tests.simulation.faults import FaultyLog
from tests.simulation.loop import VirtualLoop

EPOCH = 1_700_000_000_000
"""The time of day at which a simulation begins, in milliseconds."""


class VirtualClock:
    """Both clocks are the loop's."""

    def now(self) -> int:
        return EPOCH + int(asyncio.get_running_loop().time() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Process:
    """One process of the gateway over the common log. It starts with a cold ring."""

    def __init__(self, name: str, catalog: Catalog, log: MemoryLog, random: Random) -> None:
        self.name = name
        self.log = FaultyLog(log, random)
        self.clock = VirtualClock()
        self.heartbeat = random.choice([0.5, 2.0, 15.0])
        self.readers = random.choice([1, 2, 16])
        self._random = random
        self._delivery = random.choice([0.0, 0.0001, 0.01])
        by_timestamp = {
            topic: any(stream.resume == "timestamp" for stream in catalog.streams.values() if topic in stream.topics)
            for topic in catalog.topics
        }
        options = HubOptions(
            ring_bytes=random.choice([1, 5_000, 50_000, 10**8]),
            ring_fill=random.choice([0.0, 5.0, 600.0]),
            flush_interval=random.choice([0.0, 0.1, 1.0]),
            flush_bytes=random.choice([600, 5_000, 65536]),
            metadata_interval=random.choice([0.2, 2.0, 5.0]),
        )
        self.hub = Hub(self.log, by_timestamp, self.clock, options, self.clock.monotonic)
        self.cache = BlockCache(random.choice([0, 20_000, 10**8]))
        self.broadcast = Broadcast(self.hub, self.cache, self.clock, self.heartbeat)
        self.hub.deliver, self.hub.renew = self._deliver, self.broadcast.renew
        self.hub.listeners = self.broadcast.listeners
        self.past = Past(self.log, self.readers, random.choice([0, 5_000, 10**8]))
        self.hub.losses.memories += [lambda lost: self.cache.clear(), self.past.forget]
        self.held = Held(random.choice([1, 5_000, 10**8]))
        services = Services(
            self.hub, self.broadcast, self.past, self.clock, self.heartbeat, 2000, random=Random(0), held=self.held
        )
        self.endpoint = StreamEndpoint(services, Everyone(lambda: catalog), RequestBounds())
        self._tasks = [asyncio.create_task(self.hub.run()), asyncio.create_task(self.broadcast.beat())]
        self.answering: dict[asyncio.Task[None], None] = {}
        """The responses that run, in the order in which they began: a set of tasks has another each time."""

    def _deliver(self, segment: Segment) -> None:
        """Delivering takes time, which is what the hub rests by."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.spend(self._delivery * self._random.random())
        self.broadcast.deliver(segment)

    def held_from(self) -> dict[TopicPartition, int]:
        """Up to which offset the ring holds nothing of each partition."""
        ring = self.hub.ring
        return {
            partition: consumed.offset
            for partition, consumed in ring.consumed_at(ring.oldest, ring.partitions()).items()
        }

    def check_bounds(self) -> None:
        """The process lives; what memory is allowed is kept, and counted right."""
        for task in self._tasks:
            if task.done():
                task.result()
        ring = self.hub.ring
        segments = [ring.segment(number) for number in range(ring.oldest, ring.open.number)]
        held = [segment for segment in segments if segment is not None] + [ring.open]
        assert ring.size == sum(segment.size for segment in held), "the ring counts its bytes wrong"
        assert ring.records == sum(len(segment.items) for segment in held), "the ring counts its records wrong"
        newest = held[-2].size if len(held) > 1 else 0
        assert ring.size <= max(ring.capacity, newest) + ring.open.size, "the ring is too large"
        assert self.cache.size <= self.cache.capacity, "the cache of blocks is too large"
        portions = sum(len(state.portions) for state in ring._partitions.values())
        assert portions <= ring.records, "the ring remembers segments that are gone"
        # One for the hub, one that it replaces, one that looks where partitions begin, those of the past that read and
        # that wait, and what looks something up.
        most = 3 + 2 * self.readers + len(self.answering)
        assert self.log.readers <= most, "readers of the log are left over"
        assert self.past.size <= self.past._segments.capacity, "too much of the past is kept"
        for _, segment in self.past._segments.entries():
            sizes = [size_of(record) for record in segment.records]
            assert sum(sizes) < past.SEGMENT_BYTES + max(sizes, default=1), "a history segment is too large"

    def check_idle(self) -> None:
        """Once all clients are gone, nothing is left of them."""
        assert not self.endpoint.sessions, "sessions are left over"
        assert not self.answering, "responses are left over"
        assert not self.broadcast._feeds, "feeds are left over"
        assert not self.held.size, "bytes of sessions that are gone are held"
        waiting = len(self.past._frontiers)
        assert waiting <= self.readers, "readers of the past are left over"
        assert self.log.readers <= 1 + waiting, f"{self.log.readers} readers of the log are open; {waiting} wait"
        assert sum(task.done() for task in self._tasks) == 0, "the hub has ended"

    async def stop(self) -> None:
        """The process ends at once; its connections are cut by whoever holds them."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self.past.close()
        assert self.log.readers == 0, f"{self.log.readers} readers were never closed"

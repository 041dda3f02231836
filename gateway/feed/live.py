"""Live delivery: the clients that have read all of the ring, and get each new block as it is made.

A live client has no running task and no queue. This module writes to it past the server. The client returns to its own
task when it falls behind, when its connection ends, or when its feed changes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import cache
from math import inf
from typing import TypeVarTuple

from gateway.clock import Clock
from gateway.feed.cache import BlockCache
from gateway.feed.feed import LARGE_SEGMENT, Block, Feed
from gateway.feed.live_clients import Coding, LiveClient, LiveClients
from gateway.feed.packer import Gzip
from gateway.feed.router import DELIVERY_STEPS, FilterRouter
from gateway.feed.selection import Selection
from gateway.feed.timeline import Timeline
from gateway.filters.values import Meter
from gateway.hub.hub import Hub
from gateway.hub.segment import Segment
from gateway.model.position import DEFAULT_IDS, Ids, PositionEncoder, RequestedPosition
from gateway.model.record import TopicPartition
from gateway.observability import telemetry
from gateway.wire.chunked import http_chunk
from gateway.wire.format import Format

BLOCK_LIMIT = 262_144
"""A larger block is not written to all at once; each client takes it piece by piece."""
ALONE_SECONDS = 10.0
"""After which a filter that took too much to be live may be so again."""
Waiting = Mapping[TopicPartition, RequestedPosition]
"""The unreadable partitions, and the requested positions there. Clients that wait for the same ones share a feed."""
Given = TypeVarTuple("Given")


class LiveFeed:
    """A feed and its live clients."""

    __slots__ = ("alone_until", "clients", "feed", "router", "shared", "users", "version", "waiting", "written")

    def __init__(self, feed: Feed, router: FilterRouter[LiveFeed], version: int, waiting: Waiting) -> None:
        self.feed = feed
        self.router = router
        self.version = version
        self.waiting = waiting
        self.users = 0
        self.clients = LiveClients()
        self.alone_until = -inf
        """Until then its clients read on their own, since the filter took too much to be live."""
        self.written = -inf
        """When all of them were written to the last time."""
        self.shared = (0, 0)
        """Checksum and length of all blocks delivered while somebody gets them compressed, for the trailers of those
        responses."""

    def deliver(self, segment: Segment, matching: list[int] | None, now: float) -> None:
        """Write the block of a segment to every live client. The filter is true of the records at these indices; None
        where there is no filter."""
        block = self.feed.block(segment.number) if matching is None else self.feed.block_of_matches(segment, matching)
        if block is None or not block.data:
            return
        if len(block.data) > BLOCK_LIMIT:
            self.release_all(segment.number)
            return
        if self.clients.compressed:
            checksum, length = self.shared
            self.shared = (zlib.crc32(block.data, checksum), length + len(block.data))
        count, tally = len(self.clients), telemetry.tally
        tally.events += block.events * count
        tally.bytes += len(block.data) * count
        self.written = now
        for client in self.clients.write(self._chunks(block)):
            self.release(client, segment.number + 1)

    def _chunks(self, block: Block) -> Callable[[Coding], bytes]:
        """The block as a chunk of HTTP/1.1 in each coding that is asked for, made once."""
        if not self.clients.compressed:
            return lambda coding: block.chunk
        chained = self.feed.chained(block)
        if chained is not None and chained[1]:
            self.clients.take_key()

        @cache
        def chunk(coding: Coding) -> bytes:
            if coding is Coding.PLAIN:
                return block.chunk
            return http_chunk(chained[0] if chained is not None and coding is Coding.CHAINED else block.independent())

        return chunk

    def heartbeat(self, now: float, interval: float, waiting_for: Callable[[Collection[str]], bytes | None]) -> None:
        """Send their position to clients that have received nothing for this many seconds."""
        if now - self.written < interval:
            return
        quiet = [client for client in self.clients if now - client.quiet_since >= interval]
        if not quiet:
            return
        frame = self.feed.format.heartbeat(self.feed.timeline.end(), waiting_for(self.feed.selection.topics))
        chunk = http_chunk(frame)
        for client in quiet:
            client.quiet_since = now
            if not client.keeps_up:
                continue
            self._count_shared(client)
            if isinstance(client.packer, Gzip):
                client.transport.write(http_chunk(client.packer.pack(frame)))
                # The next block of the chain does not know of this.
                client.coding = Coding.ALONE
            else:
                client.transport.write(chunk)
            self.clients.regroup(client)

    def add(self, client: LiveClient, now: float) -> None:
        """Write to the client from now on; it was written to at `now`, the last time."""
        client.quiet_since = now
        client.shared_before = self.shared
        if not self.clients:
            self.router.join(self, self.feed.selection.filter)
        client.spent_before = self._spent()
        self.clients.add(client)
        self.router.clients += 1

    def remove(self, client: LiveClient) -> None:
        """Take a client out of live delivery; its checksum is brought up to date."""
        if client not in self.clients:
            return
        # First of all it is written to no more, whatever fails after that.
        self.clients.remove(client)
        self.router.clients -= 1
        client.quiet_since = max(client.quiet_since, self.written)
        try:
            self._count_shared(client)
            self._charge(client)
        finally:
            if not self.clients:
                self.feed.end_chain()
                self.router.leave(self, self.feed.selection.filter)

    def _spent(self) -> int:
        asked = self.feed.selection.filter
        return 0 if asked is None else self.router.spent(asked)

    def _charge(self, client: LiveClient) -> float:
        """Let a client pay for what the filter has taken since it paid last; the seconds until it is paid for."""
        steps, client.spent_before = self._spent() - client.spent_before, self._spent()
        return client.charge(steps) if steps and client.charge is not None else 0.0

    def settle(self) -> None:
        """Let all pay; who owes goes back to its task, and reads on when it has paid."""
        if self.feed.selection.filter is not None:
            for client in [client for client in self.clients if self._charge(client) > 0]:
                self.release(client, self.feed.newest)

    def read_alone(self, number: int, now: float) -> None:
        """Hand all clients back to their tasks for a while, beginning with this segment."""
        self.alone_until = now + ALONE_SECONDS
        self.release_all(number)

    def _count_shared(self, client: LiveClient) -> None:
        """Count the blocks delivered so far: a checksum depends on the order."""
        if isinstance(client.packer, Gzip):
            before, length = client.shared_before
            client.packer.count_shared(before, self.shared[0], self.shared[1] - length)
            client.shared_before = self.shared

    def leave(self, client: LiveClient, _: asyncio.Future[None]) -> None:
        """Its connection or the process ends: hand the client back."""
        if client in self.clients:
            self.release(client, self.feed.newest)

    def release(self, client: LiveClient, number: int) -> None:
        """Hand a client back to its task, which waits for that, whatever fails."""
        try:
            self.remove(client)
        finally:
            client.release(number)

    def release_all(self, number: int) -> None:
        """Hand all clients back to their tasks."""
        for client in list(self.clients):
            self.release(client, number)

    def fail(self, number: int, error: Exception) -> None:
        """A mistake of our own ends the clients of this feed, and nobody else's. It raises nothing itself."""
        for client in list(self.clients):
            try:
                self.remove(client)
            except Exception as another:
                telemetry.mistake("delivery", another)
            client.fail(number, error)

    def attempt(self, number: int, act: Callable[[*Given], None], *given: *Given) -> None:
        """Do something with the clients. If it fails, they end: none may go on without this segment."""
        try:
            act(*given)
        except Exception as error:
            self.fail(number, error)


class Broadcast:
    """All feeds of the process. The composition has the hub call `deliver` and `renew`, and has the cache forget
    lost records too."""

    def __init__(self, hub: Hub, cache: BlockCache, clock: Clock, heartbeat: float) -> None:
        self.hub = hub
        self.cache = cache
        self.clock = clock
        self.heartbeat = heartbeat
        self._feeds: dict[tuple[object, ...], LiveFeed] = {}
        self._routers: dict[tuple[object, ...], FilterRouter[LiveFeed]] = {}

    def join(
        self,
        selection: Selection,
        form: Format,
        waiting: Waiting | None = None,
        ids: Ids = DEFAULT_IDS,
    ) -> LiveFeed:
        """The feed for a selection in a format, made when nobody has it yet; give it back with `leave`."""
        version, waiting = self.hub.version, dict(waiting or {})
        key = _key(selection, form, version, waiting, ids)
        live = self._feeds.get(key)
        if live is None:
            router = self._router(selection.topics, version, waiting, ids)
            router.users += 1
            made = Feed(selection, form, router.timeline, self.hub.ring, self.cache)
            live = self._feeds[key] = LiveFeed(made, router, version, waiting)
        live.users += 1
        return live

    def _router(self, topics: frozenset[str], version: int, waiting: Waiting, ids: Ids) -> FilterRouter[LiveFeed]:
        key = (topics, version, frozenset(waiting.items()), ids)
        router = self._routers.get(key)
        if router is None:
            # A position may name partitions of a topic of which the log does not tell.
            partitions = {*self.hub.partitions(topics), *waiting}
            by_timestamp = {partition: self.hub.by_timestamp[partition.topic] for partition in partitions}
            encoder = PositionEncoder(by_timestamp, waiting, ids)
            router = self._routers[key] = FilterRouter(Timeline(encoder, self.hub.ring))
        return router

    def leave(self, live: LiveFeed) -> None:
        """One user fewer; the last one takes the feed with it."""
        live.users -= 1
        if live.users == 0:
            selection, router, ids = live.feed.selection, live.router, live.feed.encoder.ids
            del self._feeds[_key(selection, live.feed.format, live.version, live.waiting, ids)]
            router.users -= 1
            if router.users == 0:
                del self._routers[selection.topics, live.version, frozenset(live.waiting.items()), ids]

    def users(self) -> Counter[frozenset[str]]:
        """How many use the feeds, by the topics that are read: all open streams, without a look at each."""
        counts: Counter[frozenset[str]] = Counter()
        for live in self._feeds.values():
            counts[live.feed.selection.topics] += live.users
        return counts

    def listeners(self, topic: str) -> int:
        """How many live clients read this topic, about; none only if nobody at all reads it."""
        return sum(router.clients + 1 for router in self._routers.values() if topic in router.timeline.topics)

    def renew(self) -> None:
        """Called by the hub when the set of partitions has changed: clients go back to their tasks for a new feed."""
        number = self.hub.ring.open.number
        for live in list(self._feeds.values()):
            if live.version != self.hub.version:
                live.attempt(number, live.release_all, number)

    def deliver(self, segment: Segment) -> None:
        """Called by the hub with each new segment. Feeds to which it brings nothing are not touched."""
        now = self.clock.monotonic()
        tally = telemetry.tally
        before, budget = tally.events, [DELIVERY_STEPS]
        for router in list(self._routers.values()):
            try:
                _route(router, segment, budget, now)
            except Exception as error:
                for live in router.listeners():
                    live.fail(segment.number, error)
        if segment.items:
            time = segment.items[0].consumed.timestamp
            if time >= 0:  # Others have none, and so no age.
                tally.delivered((self.clock.now() - time) / 1000, tally.events - before)

    async def beat(self) -> None:
        """Send the heartbeats of live clients, for ever."""
        step = min(1.0, self.heartbeat / 5)
        while True:
            await asyncio.sleep(step)
            now = self.clock.monotonic()
            for live in list(self._feeds.values()):
                try:
                    live.settle()
                    live.heartbeat(now, self.heartbeat - step / 2, self.hub.waits_for)
                except Exception as error:
                    live.fail(self.hub.ring.open.number, error)


def _route(router: FilterRouter[LiveFeed], segment: Segment, budget: Meter, now: float) -> None:
    """Give a segment to the feeds of a router for which it holds something."""
    number, tally = segment.number, telemetry.tally
    if segment.size > LARGE_SEGMENT and segment.size_of(router.timeline.topics) > LARGE_SEGMENT:
        # To be read by each on its own, in steps. Whoever gets little of it is served like always.
        for live in router.listeners():
            live.attempt(number, live.release_all, number)
        return
    sent, clients = tally.events, router.clients
    for live, matching in router.affected(segment, budget):
        live.attempt(number, live.deliver, segment, matching, now)
    for live in router.take_dear():
        live.attempt(number, live.read_alone, number, now)
    if clients:
        due = clients * segment.count(router.timeline.topics)
        tally.filtered += max(0, due - (tally.events - sent))


def _key(selection: Selection, form: Format, version: int, waiting: Waiting, ids: Ids) -> tuple[object, ...]:
    return (*selection.key, form.content_type, version, frozenset(waiting.items()), ids)

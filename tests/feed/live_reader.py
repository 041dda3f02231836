"""Live clients of a broadcast, which keep what they are sent."""

from __future__ import annotations

import gzip
from typing import Any

import orjson

from gateway.eventlog.memory.log import MemoryLog
from gateway.feed.cache import BlockCache
from gateway.feed.feed import subject_at
from gateway.feed.live import Broadcast, LiveFeed
from gateway.feed.live_clients import LiveClient
from gateway.feed.packer import Gzip, Plain
from gateway.feed.selection import Selection
from gateway.filters.compile import compile_filter
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.ring import Ring
from gateway.hub.segment import Segment
from gateway.model.position import NOTHING_READ
from gateway.model.record import TopicPartition
from gateway.wire.format import Format
from gateway.wire.sse import SSE
from tests.kit.clock import LoopClock
from tests.kit.frames import FrameReader
from tests.subscription.client import FakeSink

PARTITIONS = [TopicPartition("alpha", 0), TopicPartition("alpha", 1), TopicPartition("beta", 0)]
ALPHA = frozenset(["alpha"])


def fill(ring: Ring, records: list[tuple[TopicPartition, dict[str, Any] | None, bool]]) -> Segment | None:
    """A segment of these records, with their parsed events as the hub keeps them."""
    for partition, event, canary in records:
        data = None if event is None else orjson.dumps(event)
        offset = ring.end(partition)
        index = ring.append(partition, offset, 1000 + offset, None, data, canary and event is not None)
        if event is not None:
            ring.open.subjects = (ring.open.subjects or {}) | {index: subject_at(ring.open, index)}
    return ring.close()


def broadcast_of(topics: int = 2) -> Broadcast:
    log = MemoryLog()
    hub = Hub(log, dict.fromkeys(["alpha", "beta"][:topics], False), LoopClock(), HubOptions())
    for partition in PARTITIONS:
        hub.ring.add(partition, NOTHING_READ, 0)
    broadcast = Broadcast(hub, BlockCache(10**6), LoopClock(), 15.0)
    hub.deliver, hub.renew = broadcast.deliver, broadcast.renew
    return broadcast


def connect(broadcast: Broadcast, text: str | None, packer: Plain | Gzip, form: Format = SSE) -> LiveReader:
    selection = Selection(ALPHA, compile_filter(text) if text else None)
    return LiveReader(broadcast.join(selection, form), packer)


class LiveReader:
    """A live client that keeps what it was sent."""

    def __init__(self, feed: LiveFeed, packer: Plain | Gzip) -> None:
        self.sink = FakeSink()
        self.sent: list[bytes] = []
        self.sink.put = self.sent.append  # type: ignore[assignment, method-assign]
        assert self.sink.transport is not None
        self.client = LiveClient(self.sink.transport, packer, self.sink.send)
        self.sent.append(packer.pack(SSE.opening(b"[]", 1)))
        self.live_feed = feed
        feed.add(self.client, 0.0)

    def move(self, feed: LiveFeed) -> None:
        """Go on with another feed."""
        self.live_feed.remove(self.client)
        self.live_feed = feed
        feed.add(self.client, 0.0)

    def numbers(self) -> list[int]:
        """What came, until now; ends the response."""
        self.live_feed.remove(self.client)
        data = b"".join([*self.sent, self.client.packer.finish()])
        text = gzip.decompress(data) if isinstance(self.client.packer, Gzip) else data
        return [frame.document["n"] for frame in FrameReader().feed(text) if frame.data]


def deliver(broadcast: Broadcast, *events: dict[str, Any]) -> None:
    segment = fill(broadcast.hub.ring, [(PARTITIONS[0], event, False) for event in events])
    assert segment is not None
    broadcast.deliver(segment)
    segment.subjects = None

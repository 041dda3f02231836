"""What clients of the same streams share: the judgement of each event, and the bytes made of it."""

from __future__ import annotations

import gzip
import json

import pytest

from gateway.feed.cache import BlockCache
from gateway.feed.feed import Feed
from gateway.feed.live import LiveFeed
from gateway.feed.live_clients import LiveClient
from gateway.feed.packer import Gzip
from gateway.feed.router import FilterRouter
from gateway.feed.selection import Selection
from gateway.feed.timeline import Timeline
from gateway.filters.compile import Filter, compile_filter
from gateway.filters.fields import compile_fields
from gateway.filters.subject import Subject
from gateway.hub.ring import Ring
from gateway.hub.segment import Break
from gateway.model.position import NOTHING_READ, ConsumedPosition, PositionEncoder
from gateway.model.record import TopicPartition
from gateway.wire.format import Format
from gateway.wire.ndjson import NDJSON
from gateway.wire.sse import SSE
from tests.kit.events import numbered
from tests.kit.frames import FrameReader
from tests.subscription.client import FakeSink

PARTITION = TopicPartition("alpha", 0)
OTHER = TopicPartition("beta", 0)


def ring_of(segments: int, records: int = 4, capacity: int = 10**7) -> Ring:
    ring = Ring(capacity)
    ring.add(PARTITION, NOTHING_READ, 0)
    ring.add(OTHER, NOTHING_READ, 0)
    for number in range(segments):
        for index in range(records):
            offset = number * records + index
            ring.append(PARTITION, offset, 1000 + offset, None, numbered(offset), False)
        ring.append(OTHER, number, 1000 + number, None, b'{"other":%d}' % number, False)
        ring.close()
    return ring


def feed_of(ring: Ring, cache: BlockCache, selection: Selection, form: Format = SSE) -> Feed:
    partitions = [partition for partition in (PARTITION, OTHER) if partition.topic in selection.topics]
    return Feed(selection, form, Timeline(PositionEncoder(dict.fromkeys(partitions, False)), ring), ring, cache)


def live_of(ring: Ring, selection: Selection) -> LiveFeed:
    feed = feed_of(ring, BlockCache(10**6), selection)
    return LiveFeed(feed, FilterRouter(feed.timeline), 0, {})


class Counted:
    """Counts how often a filter is evaluated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        real = Filter.matches

        def matches(judged: Filter, subject: Subject) -> bool:
            self.calls += 1
            return real(judged, subject)

        monkeypatch.setattr(Filter, "matches", matches)


ALPHA = frozenset({"alpha"})


def selection(text: str = "event.n % 2 == 0", fields: str | None = None) -> Selection:
    return Selection(ALPHA, compile_filter(text), compile_fields(fields) if fields else None)


def test_a_filter_is_evaluated_once_however_many_feeds_and_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, cache, counted = ring_of(3), BlockCache(10**6), Counted(monkeypatch)
    feeds = [
        feed_of(ring, cache, selection()),
        feed_of(ring, cache, selection("event.n   %   2 == 0")),
        feed_of(ring, cache, selection(), NDJSON),
    ]
    for _ in range(5):
        for feed in feeds:
            for number in range(3):
                block = feed.block(number)
                assert block is not None
                assert block.events == 2
    # Twelve records of the stream; those of the other topic are not looked at.
    assert counted.calls == 12


def test_another_filter_fields_or_streams_are_judged_on_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, cache, counted = ring_of(1), BlockCache(10**6), Counted(monkeypatch)
    even = compile_filter("event.n % 2 == 0")
    for number, different in enumerate(
        [
            Selection(ALPHA, even),
            Selection(ALPHA, even, canary=True),
            Selection(ALPHA, even, compile_fields("n")),
            Selection(ALPHA, compile_filter("event.n % 2 == 1")),
        ]
    ):
        feed_of(ring, cache, different).block(0)
        assert counted.calls == 4 * (number + 1)


def test_a_block_is_made_once() -> None:
    feed = feed_of(ring_of(1), BlockCache(10**6), Selection(ALPHA))
    assert feed.block(0) is feed.block(0)


def test_a_segment_that_the_ring_does_not_hold_has_no_block() -> None:
    ring = ring_of(5, capacity=1)
    feed = feed_of(ring, BlockCache(10**6), Selection(ALPHA))
    assert feed.block(0) is None
    assert feed.block(ring.open.number) is None
    assert feed.block(ring.oldest) is not None


def test_blocks_read_in_any_order_are_the_same() -> None:
    ring = ring_of(4)
    both = Selection(frozenset({"alpha", "beta"}))
    forwards = feed_of(ring, BlockCache(10**6), both)
    backwards = feed_of(ring, BlockCache(0), both)
    wanted = [forwards.block(number) for number in range(4)]
    for number in (3, 1, 0, 2, 3):
        block, same = backwards.block(number), wanted[number]
        assert block is not None
        assert same is not None
        assert block.data == same.data


def test_every_frame_holds_every_partition() -> None:
    feed = feed_of(ring_of(2), BlockCache(10**6), Selection(frozenset({"alpha", "beta"})))
    block = feed.block(1)
    assert block is not None
    frames = FrameReader().feed(block.data)
    assert len(frames) == block.events == 5
    for frame in frames:
        assert frame.identifier is not None
        assert [entry["topic"] for entry in json.loads(frame.identifier)] == ["alpha", "beta"]
    assert frames[-1].identifier == feed.timeline.end().decode()


def test_the_cache_is_bounded() -> None:
    cache = BlockCache(3000)
    ring = ring_of(200)
    feeds = [feed_of(ring, cache, Selection(ALPHA)) for _ in range(10)]
    for number in range(200):
        for feed in feeds:
            feed.block(number)
        assert cache.size <= cache.capacity


def test_the_forms_of_a_block_that_are_made_later_are_counted() -> None:
    cache = BlockCache(10**6)
    feed = feed_of(ring_of(1), cache, Selection(ALPHA))
    block = feed.block(0)
    assert block is not None
    before = cache.size
    chunk, alone, chained = block.chunk, block.independent(), feed.chained(block)
    assert chained is not None
    assert cache.size == before + len(chunk) + len(alone) + len(chained[0])
    assert (block.chunk, block.independent()) == (chunk, alone)
    assert cache.size == before + len(chunk) + len(alone) + len(chained[0])


def test_fields_cut_the_event() -> None:
    feed = feed_of(ring_of(1), BlockCache(10**6), Selection(ALPHA, None, compile_fields("absent")))
    block = feed.block(0)
    assert block is not None
    assert {frame.data for frame in FrameReader().feed(block.data)} == {"{}"}


def test_a_break_is_told_in_its_place() -> None:
    ring = ring_of(1)
    feed = feed_of(ring, BlockCache(10**6), Selection(ALPHA))
    segment = ring.interrupt(Break(PARTITION, 3, 9, "expired", ConsumedPosition(8, 1003)))
    block = feed.block(segment.number)
    assert block is not None
    [frame] = FrameReader().feed(block.data)
    assert frame.event == "gap"
    assert frame.document == {"topic": "alpha", "partition": 0, "requested": 3, "resumed": 9, "reason": "expired"}
    assert frame.identifier == '[{"topic":"alpha","partition":0,"offset":8,"timestamp":1003}]'


async def test_compressed_live_responses_are_whole_members_whatever_comes_between() -> None:
    """Blocks of the chain, heartbeats of one's own and a client that joins late, in one checksum each."""
    ring = ring_of(0)
    live = live_of(ring, Selection(ALPHA))
    clients: list[tuple[LiveClient, FakeSink, list[bytes]]] = []
    for number in range(80):
        if number in (0, 5, 33, 70):
            sink = FakeSink()
            received: list[bytes] = []
            sink.put = received.append  # type: ignore[assignment, method-assign]
            assert sink.transport is not None
            client = LiveClient(sink.transport, Gzip(), sink.send)
            received.append(client.packer.pack(SSE.opening(b"[]", 1)))
            live.add(client, 0.0)
            clients.append((client, sink, received))
        ring.append(PARTITION, number, 1000, None, numbered(number), False)
        segment = ring.close()
        assert segment is not None
        live.deliver(segment, None, float(number))
        if number % 7 == 3:
            live.heartbeat(number + 100.0, 1.0, waiting_for=lambda topics: None)
    for (client, _, received), first in zip(clients, (0, 5, 33, 70), strict=True):
        live.remove(client)
        received.append(client.packer.finish())
        text = gzip.decompress(b"".join(received))
        numbers = [frame.document["n"] for frame in FrameReader().feed(text) if frame.data]
        assert numbers == list(range(first, 80))

"""Feeds with filters, delivered live: what reaches them is what each of them would make by itself, at a lower cost."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed import feed as feed_module
from gateway.feed.cache import BlockCache
from gateway.feed.feed import Feed
from gateway.feed.packer import Gzip, Plain
from gateway.feed.router import ASK_STEPS, DELIVERY_STEPS, FilterRouter
from gateway.feed.selection import Selection
from gateway.feed.timeline import Timeline
from gateway.filters.compile import Filter, compile_filter
from gateway.filters.fields import compile_fields
from gateway.filters.subject import Subject
from gateway.hub.ring import Ring
from gateway.hub.segment import Break, Segment
from gateway.model.position import NOTHING_READ, ConsumedPosition, PositionEncoder
from gateway.model.record import TopicPartition
from gateway.wire.format import Format
from gateway.wire.ndjson import NDJSON
from gateway.wire.sse import SSE
from tests.effort import examples
from tests.feed.live_reader import ALPHA, PARTITIONS, broadcast_of, connect, deliver, fill
from tests.kit.frames import FrameReader

TEXTS = (
    None,
    'event.wiki == "a"',
    'event.wiki == "b" && !event.bot',
    'event.wiki == "a" || event.n > 3',
    'event.wiki in ["a", "c"] && event.n % 2 == 0',
    'event.wiki == "b" || event.title == "t"',
    'topic == "beta"',
    "event.n >= 0",
    "event.absent == 1",
    "event.n in []",
    'event.n in [] || event.wiki == "a"',
)
EVENTS = st.fixed_dictionaries(
    {"n": st.integers(0, 6)},
    optional={"wiki": st.sampled_from(["a", "b", "c", ["a"]]), "bot": st.booleans(), "title": st.sampled_from("tu")},
)
RECORDS = st.tuples(st.sampled_from(PARTITIONS), EVENTS | st.none(), st.booleans())
SEGMENTS = st.lists(RECORDS, max_size=5) | st.sampled_from(PARTITIONS)
SELECTIONS = st.builds(
    Selection,
    st.sampled_from([frozenset(["alpha"]), frozenset(["beta"]), frozenset(["alpha", "beta"])]),
    st.sampled_from(TEXTS).map(lambda text: compile_filter(text) if text else None),
    st.sampled_from([None, "n"]).map(lambda text: compile_fields(text) if text else None),
    st.booleans(),
)


def ring_of_places() -> Ring:
    ring = Ring(10**7)
    for partition in PARTITIONS:
        ring.add(partition, NOTHING_READ, 0)
    return ring


def feed_of(ring: Ring, selection: Selection, form: Format = SSE) -> Feed:
    partitions = dict.fromkeys([partition for partition in PARTITIONS if partition.topic in selection.topics], False)
    return Feed(selection, form, Timeline(PositionEncoder(partitions), ring), ring, BlockCache(10**6))


@given(st.lists(SEGMENTS, min_size=1, max_size=4), st.lists(SELECTIONS, min_size=1, max_size=6), st.data())
@settings(max_examples=examples(200), deadline=None)
def test_live_blocks_are_those_that_each_feed_makes_by_itself(
    segments: list[Any], selections: list[Selection], data: Any
) -> None:
    ring = ring_of_places()
    routers: dict[frozenset[str], FilterRouter[Feed]] = {}
    feeds = [feed_of(ring, selection, data.draw(st.sampled_from([SSE, NDJSON]))) for selection in selections]
    for feed in feeds:
        router = routers.setdefault(feed.selection.topics, FilterRouter(feed.timeline))
        router.join(feed, feed.selection.filter)
    for content in segments:
        if isinstance(content, TopicPartition):
            end = ring.end(content) + 3
            segment: Segment | None = ring.interrupt(Break(content, 0, end, "expired", ConsumedPosition(end - 1, 2000)))
        else:
            segment = fill(ring, content)
        if segment is None:
            continue
        affected: dict[Feed, list[int] | None] = {}
        for router in routers.values():
            found = router.affected(segment)
            assert len(dict(found)) == len(found)
            affected |= dict(found)
        if data.draw(st.booleans()):
            segment.subjects = None
        for feed in feeds:
            alone = feed_of(ring, feed.selection, feed.format).block(segment.number)
            assert alone is not None
            if feed not in affected:
                assert not alone.data
                continue
            matching = affected[feed]
            block = feed.block(segment.number) if matching is None else feed.block_of_matches(segment, matching)
            assert block is not None
            assert (block.data, block.events) == (alone.data, alone.events)
            assert not block.data or feed.block(segment.number) is block
            if feed.selection.filter is not None and not alone.data:
                # At the most canaries matched, which this feed does not want.
                assert all(segment.items[index].canary for index in matching or [])
    for feed in data.draw(st.lists(st.sampled_from(feeds), unique=True)):
        routers[feed.selection.topics].leave(feed, feed.selection.filter)
        feeds.remove(feed)
    segment = fill(ring, [(partition, {"n": 2, "wiki": "a"}, False) for partition in PARTITIONS])
    assert segment is not None
    now = {feed for router in routers.values() for feed, _ in router.affected(segment)}
    assert now == {feed for feed in feeds if any(sent for _, sent in feed_of(ring, feed.selection).selected(segment))}


@pytest.mark.long
async def test_of_a_thousand_filters_those_are_evaluated_that_may_match(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[str] = []
    made: list[Feed] = []
    matches, block_of_matches = Filter.judge, Feed.block_of_matches

    def counted(asked: Filter, subject: Subject, meter: list[int]) -> bool:
        evaluated.append(asked.text)
        return matches(asked, subject, meter)

    def noted(feed: Feed, segment: Segment, matching: list[int]) -> Any:
        made.append(feed)
        return block_of_matches(feed, segment, matching)

    monkeypatch.setattr(Filter, "judge", counted)
    monkeypatch.setattr(Feed, "block_of_matches", noted)
    broadcast = broadcast_of()
    readers = [connect(broadcast, f'event.wiki == "w{number}" && !event.bot', Plain()) for number in range(1000)]
    other = connect(broadcast, 'event.wiki == "w7"    && !event.bot', Plain(), NDJSON)
    deliver(broadcast, {"n": 1, "wiki": "w7", "bot": False}, {"n": 2, "wiki": "w8", "bot": True})
    deliver(broadcast, {"n": 3, "wiki": "elsewhere", "bot": False})
    # Once for both formats; nothing where nothing can match; no block where nothing matches.
    assert evaluated == ['event.wiki == "w7" && !event.bot', 'event.wiki == "w8" && !event.bot']
    assert made == [readers[7].live_feed.feed, other.live_feed.feed]
    assert [reader.numbers() for reader in readers[6:9]] == [[], [1], []]


async def test_what_nobody_uses_is_given_up() -> None:
    broadcast = broadcast_of()
    feeds = [broadcast.join(Selection(ALPHA, compile_filter(f"event.n == {number % 3}")), SSE) for number in range(9)]
    assert len(set(feeds)) == 3
    random.Random(1).shuffle(feeds)
    for number, live in enumerate(feeds):
        assert broadcast.join(live.feed.selection, SSE) is live
        broadcast.leave(live)
        broadcast.leave(live)
        assert bool(broadcast._feeds) is bool(broadcast._routers) is (number < 8)


async def test_a_client_that_changes_its_feed_in_the_middle_of_a_chain_can_read_on() -> None:
    """So it happens to all when a topic grows; one that is slow comes to the new feed later than others."""
    broadcast = broadcast_of()
    first, second = connect(broadcast, None, Gzip()), connect(broadcast, "event.n > 2", Gzip())
    for number in range(1, 4):
        deliver(broadcast, {"n": number, "text": "the same words again"})
    second.move(first.live_feed)
    for number in range(4, 40):
        deliver(broadcast, {"n": number, "text": "the same words again"})
    assert first.numbers() == list(range(1, 40))
    assert second.numbers() == list(range(3, 40))


async def test_compressors_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAXIMUM_CHAINS", 1)
    broadcast = broadcast_of()
    plain = connect(broadcast, None, Plain())
    first, second = connect(broadcast, "event.n > 0", Gzip()), connect(broadcast, "event.n > -1", Gzip())
    for number in range(1, 6):
        deliver(broadcast, {"n": number, "text": "the same words again"})
    # Only one of them has a chain; the other's blocks stand alone, and are longer.
    assert broadcast.cache.chains == 1
    chained, alone = sorted((first, second), key=lambda reader: reader.live_feed.feed._deflate is None)
    assert len(chained.sent[-1]) < len(alone.sent[-1])
    assert chained.numbers() == list(range(1, 6))
    assert broadcast.cache.chains == 0
    for number in range(6, 11):
        deliver(broadcast, {"n": number, "text": "the same words again"})
    assert broadcast.cache.chains == 1
    assert plain.numbers() == alone.numbers() == list(range(1, 11))
    assert broadcast.cache.chains == 0


async def test_heartbeats_say_where_quiet_feeds_stand() -> None:
    broadcast = broadcast_of()
    quiet, busy = connect(broadcast, 'event.wiki == "elsewhere"', Plain()), connect(broadcast, None, Plain())
    deliver(broadcast, {"n": 1, "wiki": "a"})
    deliver(broadcast, {"n": 2, "wiki": "b"})
    for reader in (quiet, busy):
        reader.live_feed.heartbeat(math.inf, 15.0, waiting_for=lambda topics: None)
    frame = FrameReader().feed(b"".join(quiet.sent))[-1]
    last = FrameReader().feed(b"".join(busy.sent))[-1]
    assert frame.data is last.data is None
    assert frame.identifier == last.identifier
    assert '"offset":1,' in str(frame.identifier)


async def test_users_are_counted_by_what_they_read() -> None:
    broadcast = broadcast_of(2)
    both = Selection(frozenset(["alpha", "beta"]))
    held = [broadcast.join(selection, SSE) for selection in (Selection(ALPHA), Selection(ALPHA), both)]
    held.append(broadcast.join(Selection(ALPHA, compile_filter("event.n == 1")), SSE))
    assert broadcast.users() == {ALPHA: 3, both.topics: 1}
    for feed in held:
        broadcast.leave(feed)
    assert broadcast.users() == {}


@pytest.mark.long
def test_many_cheap_filters_together_take_no_more_than_the_turn_has() -> None:
    ring = ring_of_places()
    router: FilterRouter[str] = FilterRouter(feed_of(ring, Selection(frozenset(["alpha"]), None, None, False)).timeline)
    cheap = compile_filter("event.n >= 0")
    dear = [compile_filter(f"event.l.all(x, x < {number})") for number in range(10, 2010)]
    router.join("cheap", cheap)
    for number, asked in enumerate(dear):
        router.join(f"dear {number}", asked)
    segment = fill(ring, [(PARTITIONS[0], {"n": 1, "l": list(range(9))}, False)] * 30)
    assert segment is not None
    budget = [DELIVERY_STEPS]
    affected = dict(router.affected(segment, budget))
    assert budget[0] > -ASK_STEPS * len(dear)
    alone = router.take_dear()
    assert sum(map(router.spent, [cheap, *dear])) < DELIVERY_STEPS - budget[0]
    # Each is told now, or reads on its own; the cheap one is among those who are told.
    assert "cheap" in affected
    assert set(affected) | set(alone) == {"cheap", *(f"dear {number}" for number in range(2000))}
    assert set(affected).isdisjoint(alone)
    # What is used up in a delivery is so for all routers.
    assert router.affected(segment, [0]) == []
    assert len(router.take_dear()) == 2001

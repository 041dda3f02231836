"""A feed: all that clients with the same streams, filter, fields and format share.

For each segment of the ring a feed has one block: the frames of the matching events, made once and compressed once.
Live, lagging and resumed clients take the same blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from gateway.feed.cache import BlockCache
from gateway.feed.cursor import Cursor
from gateway.feed.notice import gap_document
from gateway.feed.selection import Selection
from gateway.feed.timeline import Timeline
from gateway.filters.subject import Subject
from gateway.hub.history_segment import HistorySegment
from gateway.hub.ring import Ring
from gateway.hub.segment import ITEM_OVERHEAD, PLACE_OVERHEAD, Item, Segment
from gateway.model.event import parse_again, parsed_size
from gateway.model.position import ConsumedPosition, PositionEncoder
from gateway.model.record import TopicPartition
from gateway.wire import gzip
from gateway.wire.chunked import http_chunk
from gateway.wire.format import Format

MATCH_OVERHEAD = 100
"""Bytes that a remembered match costs."""
PARSED_SEGMENTS = 64
"""The number of newest segments whose events, once parsed again for a returning client, are kept for the next one.
After a network failure thousands return at once, with different filters."""
MAXIMUM_CHAINS = 256
"""Feeds that keep a compressor of their own (256 KB each); the blocks of further ones each stand alone."""

_SERIALS = itertools.count()

Selected = list[tuple[Item, bytes | None]]
"""The records of a segment that belong to the subscription; with the bytes to be sent where one matches."""
LARGE_SEGMENT = 262_144
"""Bytes of a segment beyond which no block is made for all clients at once. Live clients read it as readers that
lag, and those that inspect it take turns with others."""
Chosen = dict[int, bytes]
"""The bytes to be sent of a segment's records, by index; only of those that are sent."""


class Block:
    """The frames of one segment for one feed; compressed forms are made when the first client asks for them."""

    __slots__ = ("_chunk", "_independent", "chain", "data", "effort", "events", "grown", "number")

    def __init__(self, number: int, data: bytes, events: int, grown: Callable[[int], None] | None = None) -> None:
        self.number = number
        self.grown = grown
        """Told of the bytes of each form that is made later, where the block is kept."""
        self.data = data
        self.events = events
        self.effort: Any = None
        """The cost of choosing the events, if they are of the past and a filter was asked (`judge.Effort`)."""
        self.chain: tuple[bytes, bool] | None = None
        """The compressed frames that refer back, and whether this is a key block; None where no live client asked."""
        self._chunk: bytes | None = None
        self._independent: bytes | None = None

    @property
    def chunk(self) -> bytes:
        """The frames as a chunk of HTTP/1.1."""
        if self._chunk is None:
            self._chunk = http_chunk(self.data)
            self.grow(len(self._chunk))
        return self._chunk

    def independent(self) -> bytes:
        """The compressed frames, for a client that has not had a key block."""
        if self._independent is None:
            self._independent = gzip.independent(self.data)
            self.grow(len(self._independent))
        return self._independent

    def grow(self, size: int) -> None:
        """The block holds this many bytes more."""
        if self.grown is not None:
            self.grown(size)


PastBlock = tuple[Block, dict[TopicPartition, ConsumedPosition]]
"""A block of the past, and the consumed positions behind it."""


class Feed:
    """Makes the blocks of one selection in one format, over a fixed set of partitions."""

    __slots__ = ("_cache", "_choice", "_deflate", "_ring", "_serial", "format", "selection", "timeline")

    def __init__(self, selection: Selection, form: Format, timeline: Timeline, ring: Ring, cache: BlockCache) -> None:
        self.selection = selection
        self.format = form
        self.timeline = timeline
        self._ring = ring
        self._cache = cache
        self._choice = selection.digest
        self._serial = next(_SERIALS)
        self._deflate: gzip.SharedDeflate | None = None

    @property
    def encoder(self) -> PositionEncoder:
        """Writes the positions of all who read this feed."""
        return self.timeline.encoder

    @property
    def newest(self) -> int:
        """The number of the segment that is being filled: the next that live clients get."""
        return self._ring.open.number

    def block(self, number: int) -> Block | None:
        """The block of a segment, or None where the ring does not hold the segment."""
        segment = self._ring.segment(number)
        if segment is None:
            return None
        cached: Block | None = self._cache.get((self._serial, segment.serial))
        return cached or self._make(segment, self._choose(segment))

    def following(self, number: int, most: int) -> Iterator[Segment]:
        """The segments behind this one that the ring holds, so many at most."""
        for later in range(number + 1, number + 1 + most):
            segment = self._ring.segment(later)
            if segment is None:
                return
            yield segment

    def judged(self, segment: Segment) -> Any:
        """The judgement of the segment for this selection, if there is one; see `judge.Judged`."""
        return self._cache.get(self._judged_key(segment))

    def _judged_key(self, segment: Segment) -> tuple[object, ...]:
        return (self._choice, segment.serial)

    def remember(self, segment: Segment, judged: Any) -> None:
        """Keep it for others."""
        size = MATCH_OVERHEAD * len(judged.chosen)
        if self.selection.fields is not None:
            size += sum(map(len, judged.chosen.values()))
        self._cache.put(self._judged_key(segment), judged, size)

    def block_of_chosen(self, segment: Segment, chosen: Chosen) -> Block:
        """The block of a segment of which this is sent."""
        cached: Block | None = self._cache.get((self._serial, segment.serial))
        return cached or self._make(segment, chosen)

    def block_of_matches(self, segment: Segment, matching: list[int]) -> Block:
        """The same of a segment whose records have been judged: the filter is true of those at these indices."""
        selection, items = self.selection, segment.items
        chosen: Chosen = {}
        for index in matching:
            item = items[index]
            if item.data is not None and (selection.canary or not item.canary):
                cuts = selection.fields is not None
                data = selection.cut(item.data, subject_at(segment, index)) if cuts else item.data
                if data is not None:
                    chosen[index] = data
        return self._make(segment, chosen)

    def selected(self, segment: Segment, chosen: Chosen | None = None) -> Selected:
        """The records of the segment; `chosen` is what is sent of them, where they have been judged."""
        chosen = self._choose(segment) if chosen is None else chosen
        return [(item, chosen.get(index)) for index, item in segment.select(self.selection.topics)]

    def known_past_block(
        self, segment: HistorySegment, consumed: Mapping[TopicPartition, ConsumedPosition]
    ) -> PastBlock | None:
        """The result of `past_block` for a history segment and clients that have read up to these positions."""
        cached: PastBlock | None = self._cache.get(self._past_key(segment, consumed))
        return cached

    def past_block(
        self,
        segment: HistorySegment,
        consumed: Mapping[TopicPartition, ConsumedPosition],
        chosen: Sequence[bytes | None],
    ) -> PastBlock:
        """The block of a history segment for all clients that have read up to these positions, and those behind it.
        `chosen` is the part of each record that is sent."""
        cursor = Cursor(self.encoder, consumed)
        identifiers = [identifier for run in segment.runs for identifier in cursor.follow(*run)]
        message = self.format.message
        frames = [
            message(identifier, data) for identifier, data in zip(identifiers, chosen, strict=True) if data is not None
        ]
        key = self._past_key(segment, consumed)
        block = Block(segment.serial, b"".join(frames), len(frames), partial(self._cache.grow, key))
        self._cache.put(key, (block, cursor.consumed), len(block.data) + PLACE_OVERHEAD * len(cursor.consumed))
        return block, cursor.consumed

    def _past_key(
        self, segment: HistorySegment, consumed: Mapping[TopicPartition, ConsumedPosition]
    ) -> tuple[object, ...]:
        # By its serial: the key of a block must not hold the records that it was made of.
        return (self._serial, segment.serial, tuple([consumed[partition] for partition in self.encoder.partitions]))

    def chained(self, block: Block) -> tuple[bytes, bool] | None:
        """The block compressed in the chain of the live blocks, with whether it is a key block; None if too many
        feeds have a chain. Called once a block is delivered."""
        if self._deflate is None and self._cache.chains < MAXIMUM_CHAINS:
            self._deflate = gzip.SharedDeflate()
            self._cache.chains += 1
        if block.chain is None and self._deflate is not None:
            block.chain = self._deflate.compress(block.data)
            block.grow(len(block.chain[0]))
        return block.chain

    def end_chain(self) -> None:
        """Give the compressor back; the next block delivered begins another chain."""
        if self._deflate is not None:
            self._deflate = None
            self._cache.chains -= 1

    def _choose(self, segment: Segment) -> Chosen:
        """The part of a segment that is sent, judged at once: nobody filters, so it takes no time."""
        selection = self.selection
        if not selection.reads:
            # To remember it would take longer than to choose again.
            return {
                index: item.data
                for index, item in segment.select(selection.topics)
                if item.data is not None and (selection.canary or not item.canary)
            }
        key = (self._choice, "chosen", segment.serial)
        chosen: Chosen | None = self._cache.get(key)
        if chosen is not None:
            return chosen
        chosen = {}
        subjects = self.subjects(segment)
        for index, item in segment.select(selection.topics):
            data = selection.choose(item.data, item.canary, subjects.get(index))
            if data is not None:
                chosen[index] = data
        size = MATCH_OVERHEAD * len(chosen)
        if selection.fields is not None:
            size += sum(map(len, chosen.values()))
        self._cache.put(key, chosen, size)
        return chosen

    def subjects(self, segment: Segment) -> dict[int, Subject]:
        """The subject for filters of each event in a segment."""
        key = ("subjects", segment.serial)
        subjects: dict[int, Subject] | None = self._cache.get(key) or self._cache.shared.get(segment.serial)
        if subjects is None:
            subjects = {
                index: subject_at(segment, index) for index, item in enumerate(segment.items) if item.data is not None
            }
            if segment.subjects is None and self.newest - segment.number <= PARSED_SEGMENTS:
                size = sum(parsed_size(segment.items[index].data or b"") + ITEM_OVERHEAD for index in subjects)
                self._cache.put(key, subjects, size)
            self._cache.shared.put(segment.serial, subjects)
        return subjects

    def wait_for(self, segment: Segment) -> AbstractContextManager[None]:
        """Wait to look into a segment, and do: whoever waits for the same gets the events that another has parsed."""
        return self._cache.shared.wait(segment.serial)

    def _identifiers(self, segment: Segment) -> tuple[bytes, list[bytes]]:
        key = ("identifiers", self.timeline.serial, segment.serial)
        found: tuple[bytes, list[bytes]] | None = self._cache.get(key)
        if found is None:
            found = self.timeline.identifiers(segment)
            self._cache.put(key, found, sum(map(len, found[1])) + MATCH_OVERHEAD * len(found[1]))
        return found

    def _make(self, segment: Segment, chosen: Chosen) -> Block:
        form, gap = self.format, segment.gap
        tells = gap is not None and gap.partition.topic in self.selection.topics
        if not chosen and not tells:
            # Most segments, to a filter; what was chosen is remembered already.
            return Block(segment.number, b"", 0)
        first, identifiers = self._identifiers(segment)
        frames = [form.message(identifiers[index], data) for index, data in chosen.items()]
        if gap is not None and tells:
            frames.insert(0, form.notice(b"gap", first, gap_document(gap)))
        key = (self._serial, segment.serial)
        block = Block(segment.number, b"".join(frames), len(chosen), partial(self._cache.grow, key))
        self._cache.put(key, block, len(block.data))
        return block


def subject_at(segment: Segment, index: int) -> Subject:
    """The subject for filters of the record at this index. It is parsed when somebody asks, and while the segment is
    delivered it is kept for all others who do."""
    if segment.subjects is not None and (known := segment.subjects.get(index)) is not None:
        return known
    item = segment.items[index]
    partition, consumed = item.partition, item.consumed
    event = parse_again(item.data)
    subject = Subject(event, partition.topic, partition.partition, consumed.offset, consumed.timestamp, item.key)
    if segment.subjects is not None:
        segment.subjects[index] = subject
    return subject

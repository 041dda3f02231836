"""A feed: what all clients with the same streams, filter, fields and format share.

For every segment of the ring a feed has one block: the frames of the events that match, made once, compressed once.
Live clients, those that lag and those that resume take the same blocks.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass

from gateway.filters.compile import Filter
from gateway.filters.fields import Fields
from gateway.filters.subject import Subject
from gateway.hub.ring import Item, Ring, Segment
from gateway.json_event import parse_event
from gateway.position import NOTHING_READ, PositionEncoder
from gateway.subscription.cursor import Cursor
from gateway.subscription.notice import gap_document
from gateway.wire import gzip
from gateway.wire.format import Format

MATCH_OVERHEAD = 100
"""Bytes that a remembered match costs."""
MAXIMUM_CHAINS = 256
"""Feeds that keep a compressor of their own (256 KB each); the blocks of further ones each stand alone."""

_SERIALS = itertools.count()

Matches = list[tuple[Item, bytes | None]]
"""The records of a segment that belong to the subscription; with the bytes to be sent where one matches."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are sent, and how much of each."""

    topics: frozenset[str]
    filter: Filter | None = None
    fields: Fields | None = None
    canary: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for selections that send the same bytes."""
        return (
            self.topics,
            self.filter.text if self.filter else None,
            self.fields.text if self.fields else None,
            self.canary,
        )

    @property
    def reads(self) -> bool:
        """Whether the parsed event is needed."""
        return self.filter is not None or self.fields is not None

    def choose(self, data: bytes | None, canary: bool, subject: Subject | None) -> bytes | None:
        """The bytes to be sent of a record, or None where it is not sent; the subject counts where `reads`."""
        if data is None or (canary and not self.canary):
            return None
        if subject is None or not self.reads:
            return data
        if self.filter is not None and not self.filter.matches(subject):
            return None
        return data if self.fields is None else self.fields.cut(data, subject.event)

    def judge(self, item: Item, subject: Subject | None) -> bytes | None:
        """The same for a record in the ring; its event is parsed again where that is needed and no longer kept."""
        if subject is None and self.reads and item.data is not None:
            subject = subject_of(item)
        return self.choose(item.data, item.canary, subject)


def subject_of(item: Item) -> Subject:
    """What filters see of a record in the ring whose parsed event is no longer kept."""
    partition, mark = item.partition, item.mark
    event = parse_event(item.data)
    return Subject(event, partition.topic, partition.partition, mark.offset, mark.timestamp, item.key)


class Block:
    """The frames of one segment for one feed; compressed forms are made when the first client asks for them."""

    __slots__ = ("_independent", "chain", "chunk", "data", "events", "identifier", "number")

    def __init__(self, number: int, data: bytes, events: int, identifier: bytes) -> None:
        self.number = number
        self.data = data
        self.events = events
        self.identifier = identifier
        """The position when the block has been read to its end."""
        self.chunk = http_chunk(data) if data else b""
        self.chain: tuple[bytes, bool] | None = None
        """The compressed frames that refer back, and whether this is a key block; None where no live client asked."""
        self._independent: bytes | None = None

    def independent(self) -> bytes:
        """The compressed frames, for a client that has not had a key block."""
        if self._independent is None:
            self._independent = gzip.independent(self.data)
        return self._independent


def http_chunk(data: bytes) -> bytes:
    """A chunk of HTTP/1.1's chunked coding (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class BlockCache:
    """Blocks and matches of all feeds, bounded in bytes; those not used for longest go first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._entries: OrderedDict[tuple[object, ...], tuple[object, int]] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> object | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: tuple[object, ...], value: object, size: int) -> None:
        self._entries[key] = (value, size)
        self.size += size
        while self.size > self.capacity and len(self._entries) > 1:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed


class Feed:
    """Makes the blocks of one selection in one format, over a fixed set of partitions."""

    def __init__(self, selection: Selection, form: Format, encoder: PositionEncoder, ring: Ring, cache: BlockCache):
        self.selection = selection
        self.format = form
        self.encoder = encoder
        self._ring = ring
        self._cache = cache
        self._cursor: Cursor | None = None
        self._next = -1
        self._serial = next(_SERIALS)
        self._deflate: gzip.SharedDeflate | None = None

    def block(self, number: int) -> Block | None:
        """The block of a segment, or None where the ring does not hold the segment."""
        key = (self._serial, number)
        cached = self._cache.get(key)
        if isinstance(cached, Block):
            return cached
        segment = self._ring.segment(number)
        if segment is None:
            return None
        block = self._make(segment)
        self._cache.put(key, block, 2 * len(block.data) + MATCH_OVERHEAD + len(block.identifier))
        return block

    @property
    def newest(self) -> int:
        """The number of the segment that is being filled: the next that live clients get."""
        return self._ring.open.number

    def identifier(self) -> bytes:
        """Where a client stands that has read all of the ring."""
        return self._cursor_at(self._ring.open.number).identifier()

    def matches(self, segment: Segment) -> Matches:
        """The records of the segment, judged once for all clients of the same selection."""
        selection = self.selection
        key = (selection.key, segment.number)
        cached = self._cache.get(key)
        if isinstance(cached, list):
            return cached
        subjects = segment.subjects or {}
        chosen = [
            (item, selection.judge(item, subjects.get(index))) for index, item in segment.select(selection.topics)
        ]
        size = MATCH_OVERHEAD * (1 + len(chosen))
        if selection.fields is not None:
            size += sum(len(data) for _, data in chosen if data)
        self._cache.put(key, chosen, size)
        return chosen

    def chained(self, block: Block, allowed: bool) -> tuple[bytes, bool] | None:
        """The block compressed in the chain of the blocks delivered live. Called once a block is delivered."""
        if block.chain is None and allowed:
            if self._deflate is None:
                self._deflate = gzip.SharedDeflate()
            block.chain = self._deflate.compress(block.data)
        return block.chain

    def _cursor_at(self, number: int) -> Cursor:
        if self._cursor is None or self._next != number:
            held = [place for place in self.encoder.partitions if place in self._ring.partitions()]
            marks = dict.fromkeys(self.encoder.partitions, NOTHING_READ) | self._ring.marks_at(number, held)
            self._cursor = Cursor(self.encoder, marks)
            self._next = number
        return self._cursor

    def _make(self, segment: Segment) -> Block:
        cursor = self._cursor_at(segment.number)
        frames: list[bytes] = []
        events = 0
        if segment.gap is not None and segment.gap.partition.topic in self.selection.topics:
            cursor.advance(segment.gap.partition, segment.gap.mark)
            frames.append(self.format.notice(b"gap", cursor.identifier(), gap_document(segment.gap)))
        for item, data in self.matches(segment):
            cursor.advance(item.partition, item.mark)
            if data is not None:
                events += 1
                frames.append(self.format.message(cursor.identifier(), data))
        self._next = segment.number + 1
        return Block(segment.number, b"".join(frames), events, cursor.identifier())

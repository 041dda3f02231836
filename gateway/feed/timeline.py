"""A timeline: the ids along the ring, for all clients that read the same partitions."""

from __future__ import annotations

from gateway.feed.cursor import Cursor
from gateway.hub.ring import Ring
from gateway.hub.segment import Segment
from gateway.model.position import NOTHING_READ, PositionEncoder


class Timeline:
    """Writes the position after each record, once for all feeds of the same streams."""

    __slots__ = ("_cursor", "_epoch", "_next", "_ring", "encoder", "topics")

    def __init__(self, encoder: PositionEncoder, ring: Ring) -> None:
        self.encoder = encoder
        self.topics = frozenset(partition.topic for partition in encoder.partitions)
        self._ring = ring
        self._cursor: Cursor | None = None
        self._next = -1
        self._epoch = ring.epoch

    def end(self) -> bytes:
        """Where a client stands that has read all of the ring."""
        return self._cursor_at(self._ring.open.number).identifier()

    def identifiers(self, segment: Segment) -> tuple[bytes, list[bytes]]:
        """The id before the first record of the segment (and after its gap), and the one after each record."""
        cursor = self._cursor_at(segment.number)
        if segment.gap is not None and segment.gap.partition.topic in self.topics:
            cursor.advance(segment.gap.partition, segment.gap.consumed)
        first = identifier = cursor.identifier()
        identifiers = []
        for item in segment.items:
            if item.partition.topic in self.topics:
                cursor.advance(item.partition, item.consumed)
                identifier = cursor.identifier()
            identifiers.append(identifier)
        self._next = segment.number + 1
        return first, identifiers

    def _cursor_at(self, number: int) -> Cursor:
        if self._cursor is None or self._next != number or self._epoch != self._ring.epoch:
            held = [partition for partition in self.encoder.partitions if partition in self._ring.partitions()]
            consumed = dict.fromkeys(self.encoder.partitions, NOTHING_READ) | self._ring.consumed_at(number, held)
            self._cursor = Cursor(self.encoder, consumed)
            self._next = number
            self._epoch = self._ring.epoch
        return self._cursor

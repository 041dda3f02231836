"""A timeline: the ids along the ring, for all clients that read the same partitions."""

from __future__ import annotations

from itertools import count, groupby
from operator import attrgetter

from gateway.feed.cursor import Cursor
from gateway.hub.ring import Ring
from gateway.hub.segment import Segment
from gateway.model.position import NOTHING_READ, PositionEncoder

_PARTITION = attrgetter("partition")
_SERIALS = count()


class Timeline:
    """Writes the position after each record, once for all feeds of the same streams."""

    __slots__ = ("_cursor", "_epoch", "_next", "_ring", "encoder", "serial", "topics")

    def __init__(self, encoder: PositionEncoder, ring: Ring) -> None:
        self.encoder = encoder
        self.serial = next(_SERIALS)
        self.topics = frozenset(partition.topic for partition in encoder.partitions)
        self._ring = ring
        self._cursor: Cursor | None = None
        self._next = -1
        self._epoch = ring.epoch

    def end(self) -> bytes:
        """Where a client stands that has read all of the ring."""
        return self._cursor_at(self._ring.open.number).identifier()

    def identifiers(self, segment: Segment) -> tuple[bytes, list[bytes]]:
        """The id after the gap of the segment, empty without one; and the id after each record, empty for those of
        other topics."""
        cursor = self._cursor_at(segment.number)
        first = b""
        if segment.gap is not None and segment.gap.partition.topic in self.topics:
            cursor.advance(segment.gap.partition, segment.gap.consumed)
            first = cursor.identifier()
        identifiers: list[bytes] = []
        for partition, run in groupby(segment.items, _PARTITION):
            passed = [item.consumed for item in run]
            identifiers += cursor.pass_by(partition, passed) if partition.topic in self.topics else [b""] * len(passed)
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

"""A cursor: how far one reader has come in every partition of its subscription, and the `id:` that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.model.position import ConsumedPosition, PositionEncoder
from gateway.model.position.encoder import Pen
from gateway.model.position.entry import Entry, timeless
from gateway.model.record import Record, TopicPartition

_NONE: set[TopicPartition] = set()
"""Of those that have written no id yet, which most open streams have not: nothing is added to it."""


class Cursor:
    """Consumed positions for a fixed set of partitions. Changing one and writing the id costs the same for a hundred
    partitions as for one, except for a copy of the bytes. Only the changed part is rewritten, and nothing happens
    before an id is asked for."""

    __slots__ = ("_encoder", "_pen", "_stale", "consumed")

    def __init__(self, encoder: PositionEncoder, consumed: Mapping[TopicPartition, ConsumedPosition]) -> None:
        self._encoder = encoder
        self.consumed = dict(consumed)
        self._pen: Pen | None = None
        self._stale = _NONE

    def advance(self, partition: TopicPartition, last: ConsumedPosition) -> None:
        """Say that everything up to this position has been read."""
        self.consumed[partition] = last
        if self._pen is not None:
            self._stale.add(partition)

    def pass_by(self, partition: TopicPartition, passed: Sequence[ConsumedPosition]) -> list[bytes]:
        """Say that these positions, the next of one partition, have been passed; the position after each."""
        if len(passed) == 1 or self._encoder.waits(partition):
            self.advance(partition, passed[-1])
            return [self.identifier()] * len(passed)
        pen = self._brought_up_to_date()
        entries: list[Entry] = []
        if self._encoder.by_timestamp(partition):
            timed = (None, *self.consumed[partition].timed)
            for _, timestamp, seen in passed:
                if timestamp >= 0:
                    timed = (None, timestamp, seen)
                entries.append(timed)
        else:
            entries = [(offset, timestamp, 0) for offset, timestamp, _ in passed]
        self.consumed[partition] = passed[-1]
        return pen.follow(self._encoder.indices[partition], entries)

    def follow(self, partition: TopicPartition, records: Iterable[Record]) -> list[bytes]:
        """Say that these records, the next of one partition, have been read; the position after each. Much cheaper than
        record by record."""
        pen = self._brought_up_to_date()
        by_timestamp = self._encoder.by_timestamp(partition)
        before = self.consumed[partition]
        offset, timestamp, seen = before
        timed = before.timed
        entries: list[Entry] = []
        for record in records:
            offset, known = record.offset, timestamp
            timestamp = record.timestamp
            seen = seen + 1 if timestamp == known and seen else 1
            if not by_timestamp:
                entries.append((offset, timestamp, 0))
                continue
            if timestamp >= 0:
                timed = timestamp, seen
            entries.append((None, *timed))
        is_timeless = by_timestamp and timestamp < 0
        last = timeless(offset, timestamp, seen, timed) if is_timeless else ConsumedPosition(offset, timestamp, seen)
        self.consumed[partition] = last
        return pen.follow(self._encoder.indices[partition], entries)

    def identifier(self) -> bytes:
        """The position as it stands in `id:`."""
        return self._brought_up_to_date().text()

    def _brought_up_to_date(self) -> Pen:
        encoder, consumed = self._encoder, self.consumed
        if self._pen is None:
            self._pen = encoder.pen(consumed)
            self._stale = set()
        else:
            for partition in self._stale:
                last = consumed[partition]
                # A record without a time is as old as the one before it. An id by time that said "none" would lead back
                # to the first record.
                if last.timed[0] >= 0 or not encoder.by_timestamp(partition):
                    self._pen.put(encoder.indices[partition], encoder.requested(partition, last))
        self._stale.clear()
        return self._pen

"""The ring: the newest part of the log in memory, in the order in which the log delivered it.

Records come in segments (`segment.py`). A reader at the start of a segment in every partition is called aligned: from
there on it sees what every other aligned reader sees.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from gateway.hub.segment import Break, Item, Segment, size_of
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition

SWEPT_AT_ONCE = 200
"""Segments that are looked through at once for records which the log has deleted."""


class _Portion(NamedTuple):
    """The records of one partition in one segment: where it begins."""

    number: int
    before: ConsumedPosition
    first: int


class _Partition:
    __slots__ = ("end", "portions", "start", "tail")

    def __init__(self, consumed: ConsumedPosition, end: int) -> None:
        self.start = consumed
        self.tail = consumed
        self.end = end
        self.portions: deque[_Portion] = deque()


class Location(NamedTuple):
    """Where a reader finds its next record: a segment, and whether it is aligned with that segment's start."""

    number: int
    aligned: bool


class Ring:
    """Bounded in bytes; the oldest segments go first. Pure: it neither waits nor reads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self.records = 0
        self.epoch = 0
        """Changes with each interruption, and where records are forgotten that the log has lost: positions read before
        must be held against the log again."""
        self._segments: deque[Segment] = deque([Segment(0)])
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._starts: dict[TopicPartition, int] = {}
        """Below these offsets the log has deleted records that the ring holds. Nobody receives them, and they are
        removed gradually."""
        self._deletions = 0
        self._unswept = self._swept_from = 0
        """The number of the segment that is looked through next, and the first that needs no look."""

    @property
    def open(self) -> Segment:
        """The segment that is being filled; not yet served to anyone."""
        return self._segments[-1]

    @property
    def oldest(self) -> int:
        """The number of the oldest segment held."""
        return self._segments[0].number

    def segment(self, number: int) -> Segment | None:
        """A closed segment, or None where it is gone or not yet there. It has nothing that the log has deleted."""
        index = number - self.oldest
        return self._sweep(index) if 0 <= index < len(self._segments) - 1 else None

    def partitions(self) -> Collection[TopicPartition]:
        return self._partitions.keys()

    def add(self, partition: TopicPartition, consumed: ConsumedPosition, end: int) -> None:
        """Hold a partition from now on. `end` is the next offset to be read of it. Where one of this name was held, it
        was another, and what was held is given up."""
        self.remove(partition)
        self._partitions[partition] = _Partition(consumed, end)

    def remove(self, partition: TopicPartition) -> None:
        """Drop a partition that no longer exists, with its records."""
        if self._partitions.pop(partition, None) is not None:
            self._restart()

    def tail(self, partition: TopicPartition) -> ConsumedPosition | None:
        """The last record read of a partition, or None for one that is not held."""
        state = self._partitions.get(partition)
        return state.tail if state else None

    def end(self, partition: TopicPartition) -> int:
        """The next offset to be read from the log."""
        return self._partitions[partition].end

    def reached(self, partition: TopicPartition, end: int) -> None:
        """The log has been read to just before `end`, perhaps beyond the last record."""
        self._partitions[partition].end = end

    def append(
        self,
        partition: TopicPartition,
        offset: int,
        timestamp: int,
        key: bytes | None,
        data: bytes | None,
        canary: bool,
    ) -> int:
        """Add the next record of a partition to the open segment; returns its index there."""
        state = self._partitions[partition]
        segment = self._segments[-1]
        if not state.portions or state.portions[-1].number != segment.number:
            state.portions.append(_Portion(segment.number, state.tail, offset))
        consumed = state.tail = state.tail.after(offset, timestamp)
        state.end = offset + 1
        item = Item(partition, consumed, key, data, canary)
        segment.items.append(item)
        segment.topics.add(partition.topic)
        size = size_of(item)
        segment.size += size
        self.size += size
        self.records += 1
        return len(segment.items) - 1

    def close(self) -> Segment | None:
        """Close the open segment so that it can be served; None where it is empty."""
        segment = self.open
        if not segment.items and segment.gap is None:
            return None
        self._segments.append(Segment(segment.number + 1, swept=self._deletions))
        while self.size > self.capacity and len(self._segments) > 2:
            self._drop()
        return segment

    def interrupt(self, gap: Break) -> Segment:
        """Report a break in one partition, in a segment of its own; the records held before it are dropped."""
        self._restart()
        self._partitions[gap.partition] = _Partition(gap.consumed, gap.resumed)
        self.open.gap = gap
        self.open.topics.add(gap.partition.topic)
        segment = self.close()
        assert segment is not None
        return segment

    def withdraw(self, partition: TopicPartition, end: int) -> None:
        """Continue at `end`, which lies behind the last record and before the position reached. Nothing is lost, but
        others may have reached beyond it."""
        self._partitions[partition].end = end
        self.epoch += 1

    def forget(self, starts: Mapping[TopicPartition, int]) -> bool:
        """Drop the records of partitions below these offsets: their log has deleted them. Clients that have read
        them continue as before; the positions of others are compared with the log again. Returns whether there were
        any."""
        found = False
        for partition, start in starts.items():
            state = self._partitions.get(partition)
            if state is not None and state.portions and state.portions[0].first < start:
                self._begin_at(partition, state, start)
                # No further than the held records: a later record is newer, wherever the log says that it starts.
                self._starts[partition] = min(start, state.tail.offset + 1)
                found = True
        if found:
            self.epoch += 1
            self._deletions += 1
            self._unswept, self._swept_from = self.oldest, self.open.number + 1
        return found

    def _begin_at(self, partition: TopicPartition, state: _Partition, start: int) -> None:
        """Hold nothing of a partition below this offset."""
        while len(state.portions) > 1 and state.portions[1].first < start:
            state.portions.popleft()
        portion = state.portions.popleft()
        segment = self._segments[portion.number - self.oldest]
        found = [item.consumed for item in segment.items if item.partition == partition]
        index = bisect_left(found, start, key=_offset)
        state.start = found[index - 1]
        if index < len(found):
            state.portions.appendleft(_Portion(portion.number, state.start, found[index].offset))

    def sweep(self) -> bool:
        """Take out of some segments what the log has deleted; False once there are no more to be looked through."""
        oldest = self.oldest
        first = max(self._unswept, oldest)
        last = min(first + SWEPT_AT_ONCE, self._swept_from)
        for number in range(first, last):
            self._sweep(number - oldest)
        self._unswept = max(first, last)
        return self._unswept < self._swept_from

    def _sweep(self, index: int) -> Segment:
        """The segment, without what the log has deleted."""
        segment = self._segments[index]
        if segment.swept == self._deletions:
            return segment
        segment.swept = self._deletions
        starts = self._starts
        kept = [item for item in segment.items if item.consumed.offset >= starts.get(item.partition, 0)]
        if len(kept) == len(segment.items):
            return segment
        topics = {item.partition.topic for item in kept}
        if segment.gap is not None:
            topics.add(segment.gap.partition.topic)
        size = sum(map(size_of, kept))
        swept = Segment(segment.number, kept, topics, segment.gap, size, swept=self._deletions)
        self._segments[index] = swept
        self.size -= segment.size - size
        self.records -= len(segment.items) - len(kept)
        return swept

    def _restart(self) -> None:
        """Drop all records, so that the positions of lagging readers are compared with the log again."""
        while len(self._segments) > 1:
            self._drop()
        self._segments[0] = Segment(self.open.number + 1, swept=self._deletions)
        self._starts.clear()
        self.size = self.records = 0
        self.epoch += 1
        for state in self._partitions.values():
            state.portions.clear()
            state.start = state.tail

    def _drop(self) -> None:
        segment = self._segments.popleft()
        self.size -= segment.size
        self.records -= len(segment.items)
        for partition in {item.partition for item in segment.items}:
            state = self._partitions.get(partition)
            if state is None or not state.portions or state.portions[0].number != segment.number:
                continue
            state.portions.popleft()
            state.start = state.portions[0].before if state.portions else state.tail

    def consumed_at(
        self, number: int, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, ConsumedPosition]:
        """The consumed positions of these partitions when the segment began."""
        found = {}
        for partition in partitions:
            state = self._partitions[partition]
            portion = _first_portion(state, number)
            found[partition] = portion.before if portion else state.tail
        return found

    def locate(self, positions: Mapping[TopicPartition, int]) -> Location | None:
        """The segment at which a reader with these next offsets continues, or None if the ring does not hold its
        next record."""
        number = self.open.number
        for partition, position in positions.items():
            state = self._partitions.get(partition)
            if state is None or position <= state.start.offset:
                return None
            if position <= state.tail.offset:
                index = max(0, bisect_right(state.portions, position - 1, key=_offset_before) - 1)
                number = min(number, state.portions[index].number)
        return Location(number, self.aligned(number, positions))

    def aligned(self, number: int, positions: Mapping[TopicPartition, int]) -> bool:
        """Whether a reader at the start of the segment has read just what every aligned reader has read there."""
        for partition, position in positions.items():
            state = self._partitions[partition]
            portion = _first_portion(state, number)
            if position > (portion.first if portion else state.end):
                return False
        return True

    def newest(self, topics: frozenset[str], most: int = 20_000) -> Iterator[Item]:
        """The newest records of these topics, newest first, among this many records of the ring."""
        looked_at = 0
        for segment in reversed(self._segments):
            for _, item in reversed(segment.select(topics)):
                yield item
            looked_at += len(segment.items)
            if looked_at >= most:
                return

    def before(self, partition: TopicPartition, offset: int) -> ConsumedPosition | None:
        """The last record below this offset, where the ring knows which that is: what was not read yet may hold one."""
        state = self._partitions.get(partition)
        if state is None or not state.start.offset < offset <= state.end:
            return None
        if offset > state.tail.offset:
            return state.tail
        index = max(0, bisect_left(state.portions, offset, key=_first) - 1)
        if state.portions[index].first >= offset:
            return state.start
        items = self._segments[state.portions[index].number - self.oldest].items
        found = [item.consumed for item in items if item.partition == partition and item.consumed.offset < offset]
        return found[-1]

    def start(self, partition: TopicPartition) -> ConsumedPosition:
        """The record before the oldest that is held of a partition."""
        return self._partitions[partition].start

    def holds(self, partition: TopicPartition, offset: int) -> Item | None:
        """The record at this offset, where the ring has it."""
        item = self.next(partition, offset)
        return item if item is not None and item.consumed.offset == offset else None

    def next(self, partition: TopicPartition, offset: int) -> Item | None:
        """The first record at or after this offset, where the ring has what comes there."""
        state = self._partitions.get(partition)
        if state is None or not state.start.offset < offset <= state.tail.offset:
            return None
        first = max(0, bisect_right(state.portions, offset - 1, key=_offset_before) - 1)
        for portion in islice(state.portions, first, None):
            for item in self._segments[portion.number - self.oldest].items:
                if item.partition == partition and item.consumed.offset >= offset:
                    return item
        return None


def _first_portion(state: _Partition, number: int) -> _Portion | None:
    index = bisect_left(state.portions, number, key=_number)
    return state.portions[index] if index < len(state.portions) else None


def _offset(consumed: ConsumedPosition) -> int:
    return consumed.offset


def _number(portion: _Portion) -> int:
    return portion.number


def _first(portion: _Portion) -> int:
    return portion.first


def _offset_before(portion: _Portion) -> int:
    return portion.before.offset

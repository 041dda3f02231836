"""The ring against a model that keeps everything in plain lists."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.hub.ring import Ring
from gateway.hub.segment import ITEM_OVERHEAD, Break
from gateway.model.position import NOTHING_READ, ConsumedPosition
from gateway.model.record import TopicPartition
from tests.effort import examples

PARTITIONS = [TopicPartition("alpha", 0), TopicPartition("alpha", 1), TopicPartition("beta", 0)]
partitions = st.sampled_from(PARTITIONS)


class RingMachine(RuleBasedStateMachine):
    """Appends, closes and interrupts; after each step every question is asked of both."""

    @initialize(kept=st.integers(1, 6))
    def begin(self, kept: int) -> None:
        self.ring = Ring(kept * (ITEM_OVERHEAD + 10))
        self.segments: dict[int, list[tuple[TopicPartition, ConsumedPosition]]] = {0: []}
        self.start = dict.fromkeys(PARTITIONS, NOTHING_READ)
        self.tails = dict.fromkeys(PARTITIONS, NOTHING_READ)
        self.ends = dict.fromkeys(PARTITIONS, 0)
        for partition in PARTITIONS:
            self.ring.add(partition, NOTHING_READ, 0)

    @rule(partition=partitions, hole=st.integers(0, 2), later=st.integers(0, 1))
    def append(self, partition: TopicPartition, hole: int, later: int) -> None:
        offset = self.ends[partition] + hole
        tail = self.tails[partition]
        timestamp = tail.timestamp + later
        self.ring.append(partition, offset, timestamp, None, b"x" * 10, False)
        seen = tail.seen + 1 if timestamp == tail.timestamp and tail.seen else 1
        self.tails[partition] = ConsumedPosition(offset, timestamp, seen)
        self.ends[partition] = offset + 1
        self.segments[max(self.segments)].append((partition, self.tails[partition]))

    @rule(partition=partitions, count=st.integers(1, 3))
    def pass_over(self, partition: TopicPartition, count: int) -> None:
        self.ends[partition] += count
        self.ring.reached(partition, self.ends[partition])

    @rule()
    def close(self) -> None:
        newest = max(self.segments)
        segment = self.ring.close()
        assert (segment is None) == (not self.segments[newest])
        if segment is not None:
            assert [(item.partition, item.consumed) for item in segment.items] == self.segments[newest]
            self.segments[newest + 1] = []
            self.evict()

    @rule(partition=partitions, lost=st.integers(1, 5))
    def interrupt(self, partition: TopicPartition, lost: int) -> None:
        # The hub closes what is open before it tells of a break.
        self.close()
        epoch = self.ring.epoch
        resumed = self.ends[partition] + lost
        consumed = ConsumedPosition(resumed - 1, self.tails[partition].timestamp)
        segment = self.ring.interrupt(Break(partition, self.tails[partition].offset, resumed, "expired", consumed))
        assert segment.gap is not None
        assert self.ring.epoch != epoch
        self.tails[partition] = consumed
        self.ends[partition] = resumed
        self.start = dict(self.tails)
        self.segments = {segment.number: [], segment.number + 1: []}

    @rule(partition=partitions, data=st.data())
    def forget(self, partition: TopicPartition, data: st.DataObject) -> None:
        """The log has deleted the oldest records of a partition."""
        start = data.draw(st.integers(0, self.ends[partition] + 1))
        epoch, oldest = self.ring.epoch, self.ring.segment(self.ring.oldest)
        gone = [consumed for _, held, consumed in self.records() if held == partition and consumed.offset < start]
        assert self.ring.forget({partition: start}) == bool(gone) == (self.ring.epoch != epoch)
        for number, records in self.segments.items():
            self.segments[number] = [
                (held, consumed) for held, consumed in records if held != partition or consumed not in gone
            ]
        self.start[partition] = max([self.start[partition], *gone])
        if oldest is not None and any(item.partition == partition and item.consumed in gone for item in oldest.items):
            found = self.ring.segment(oldest.number)
            assert found is not None
            assert found.serial != oldest.serial
            assert found.topics == {item.partition.topic for item in found.items}
        while self.ring.sweep():
            pass

    @rule(partition=partitions)
    def withdraw(self, partition: TopicPartition) -> None:
        """The log has gone back over what held no records."""
        epoch = self.ring.epoch
        self.ends[partition] = self.tails[partition].offset + 1
        self.ring.withdraw(partition, self.ends[partition])
        assert self.ring.epoch != epoch

    def evict(self) -> None:
        while len(self.segments) > 2:
            size = sum(len(records) for records in self.segments.values()) * (ITEM_OVERHEAD + 10)
            if size <= self.ring.capacity:
                return
            for partition, consumed in self.segments.pop(min(self.segments)):
                self.start[partition] = consumed

    def records(self, first: int = 0) -> list[tuple[int, TopicPartition, ConsumedPosition]]:
        return [
            (number, partition, consumed)
            for number, records in self.segments.items()
            if number >= first
            for partition, consumed in records
        ]

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "ring"):
            return
        assert self.ring.oldest == min(self.segments)
        assert self.ring.open.number == max(self.segments)
        assert self.ring.records == len(self.records())
        assert self.ring.size == self.ring.records * (ITEM_OVERHEAD + 10)
        for partition in PARTITIONS:
            assert self.ring.tail(partition) == self.tails[partition]
            assert self.ring.end(partition) == self.ends[partition]
        for _, partition, consumed in self.records():
            item = self.ring.holds(partition, consumed.offset)
            assert item is not None
            assert item.consumed == consumed
        for number, records in self.segments.items():
            segment = self.ring.segment(number)
            assert segment is None or [(item.partition, item.consumed) for item in segment.items] == records

    @rule(partition=partitions, data=st.data())
    def asks_what_was_read_before(self, partition: TopicPartition, data: st.DataObject) -> None:
        offset = data.draw(st.integers(-1, self.ends[partition] + 1))
        read = [self.start[partition], *(consumed for _, held, consumed in self.records() if held == partition)]
        before = max((consumed for consumed in read if consumed.offset < offset), default=None)
        if offset > self.ends[partition]:
            before = None  # What was not read yet may hold a record.
        assert self.ring.before(partition, offset) == before
        assert self.ring.start(partition) == self.start[partition]

    @invariant()
    def knows_what_was_read_at_each_segment(self) -> None:
        if not hasattr(self, "ring"):
            return
        read = dict(self.start)
        for number, records in self.segments.items():
            assert self.ring.consumed_at(number, PARTITIONS) == read
            read.update(records)

    @rule(data=st.data())
    def partition(self, data: st.DataObject) -> None:
        """A reader finds its next record, or learns that it is gone."""
        chosen = data.draw(st.lists(partitions, unique=True, min_size=1))
        positions = {partition: data.draw(st.integers(0, self.ends[partition] + 1)) for partition in chosen}
        location = self.ring.locate(positions)
        gone = any(position <= self.start[partition].offset for partition, position in positions.items())
        assert (location is None) == gone
        if location is None:
            return
        unread = [
            number
            for number, partition, consumed in self.records()
            if partition in positions and consumed.offset >= positions[partition]
        ]
        assert location.number == min(unread, default=max(self.segments))
        assert location.aligned == self.ring.aligned(location.number, positions)
        # Aligned: nothing in the segments to come has been read already.
        reread = [
            consumed
            for _, partition, consumed in self.records(location.number)
            if partition in positions and consumed.offset < positions[partition]
        ]
        if location.aligned:
            assert not reread
        elif not reread:
            # It is ahead of what the ring has read.
            assert any(position > self.ring.end(partition) for partition, position in positions.items())


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)


def test_a_partition_that_is_not_held_has_no_tail() -> None:
    ring = Ring(1000)
    assert ring.tail(PARTITIONS[0]) is None
    assert ring.locate({PARTITIONS[0]: 0}) is None
    ring.remove(PARTITIONS[0])


def test_an_empty_segment_is_not_closed() -> None:
    assert Ring(1000).close() is None


def test_the_newest_segment_stays_whatever_its_size() -> None:
    ring = Ring(1)
    ring.add(PARTITIONS[0], NOTHING_READ, 0)
    for offset in range(3):
        ring.append(PARTITIONS[0], offset, 1, None, b"{}", False)
        segment = ring.close()
        assert segment is not None
        assert ring.segment(segment.number) is segment
        assert ring.records == 1


def test_a_record_that_comes_below_the_start_of_its_log_stays_until_it_is_forgotten_itself() -> None:
    """It was on its way when the log deleted everything. What another partition forgets takes nothing of it."""
    alpha, beta = PARTITIONS[0], PARTITIONS[2]
    ring = Ring(100_000)
    for partition in (alpha, beta):
        ring.add(partition, NOTHING_READ, 0)
        ring.append(partition, 0, 1, None, b"{}", False)
    assert ring.forget({alpha: 5})
    while ring.sweep():
        pass
    ring.append(alpha, 4, 1, None, b"{}", False)
    assert ring.forget({beta: 1})
    while ring.sweep():
        pass
    assert [(item.partition, item.consumed.offset) for item in ring.open.items] == [(alpha, 4)]
    assert ring.records == 1
    assert ring.forget({alpha: 5})
    while ring.sweep():
        pass
    assert ring.records == 0

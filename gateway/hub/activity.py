"""Counts the events of each topic in each of the last seconds, and keeps the newest event. Pure: the time is given.

It counts records as the hub reads them. So a busy topic hides no quiet one, and an answer costs the same under any
load. An event belongs to the second of its record's time. So a late event changes only its own second, and the records
that the hub reads at a start count as if it had seen them happen.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.eventlog.port import TopicState
from gateway.hub.losses import Lost
from gateway.hub.segment import Item
from gateway.model.record import TopicPartition

SPAN = 60
"""The seconds that are reported."""
AHEAD = 60
"""Seconds that a record's time may lie ahead of the clock, and still counts when it has come."""
_SLOTS = 128
"""Of which none belongs to two of those seconds."""
LONGEST_EXAMPLE = 65_536
EXAMPLES_BYTES = 8_388_608
"""Bytes of one newest event that are kept, and of all together. The place of others is known, for as long as the ring
has them."""


class Newest(NamedTuple):
    """The newest event of a topic that is no canary: where it stands, and what it is, where that is kept. `number`
    grows with each that is read."""

    number: int
    partition: TopicPartition
    offset: int
    data: bytes | None


@dataclass(slots=True)
class _Topic:
    """`last` is the latest second that has a slot, `begun` the earliest of an event; `counted` has the offsets behind
    those that were counted last."""

    identity: str | None
    last: int
    begun: float = math.inf
    slots: list[int] = field(default_factory=lambda: [0] * _SLOTS)
    counted: dict[int, int] = field(default_factory=dict)
    newest: Newest | None = None

    def add(self, second: int) -> None:
        if second > self.last:
            for passed in range(max(self.last, second - _SLOTS) + 1, second + 1):
                self.slots[passed % _SLOTS] = 0
            self.last = second
        self.slots[second % _SLOTS] += 1

    def within(self, first: int, end: int) -> Iterator[int]:
        """The count of each second from `first` to just before `end`."""
        known = range(self.last - _SLOTS + 1, self.last + 1)
        return (self.slots[second % _SLOTS] if second in known else 0 for second in range(first, end))


class Activity:
    """Its size is bounded for each topic that the hub reads."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._kept = 0
        self._number = 0

    def count(self, items: Iterable[Item], known: Mapping[str, TopicState], now: int) -> None:
        """Take records read at `now` (ms), of topics as they are `known`: a topic of another identity is another
        one. Records that were read again do not count again."""
        first, last = now // 1000 - SPAN, now // 1000 + AHEAD
        here: dict[str, _Topic] = {}
        newest: dict[str, tuple[int, Item]] = {}
        for item in items:
            partition, consumed, _, data, canary = item
            topic = here.get(partition.topic)
            if topic is None:
                topic = here[partition.topic] = self._topic(partition.topic, known.get(partition.topic), last)
            if consumed.offset < topic.counted.get(partition.partition, 0):
                continue
            topic.counted[partition.partition] = consumed.offset + 1
            if data is None or canary:
                continue
            self._number += 1
            newest[partition.topic] = self._number, item
            second = consumed.timestamp // 1000
            topic.begun = min(topic.begun, second)
            if first <= second <= last:
                topic.add(second)
        for name, (number, item) in newest.items():
            self._keep(here[name], Newest(number, item.partition, item.consumed.offset, item.data))

    def counts(self, topics: Collection[str], end: int, seconds: int = SPAN) -> list[int]:
        """The events of these topics in each of the seconds before `end`, itself a second since the epoch."""
        each = [self._topics[name].within(end - seconds, end) for name in topics if name in self._topics]
        return [sum(counts) for counts in zip(*each, strict=True)] if each else [0] * seconds

    def begun(self, topic: str) -> float:
        """The earliest second of an event of this topic; infinite where there was none."""
        found = self._topics.get(topic)
        return math.inf if found is None else found.begun

    def newest(self, topics: Collection[str]) -> Newest | None:
        """The event of these topics that was read last."""
        found = [topic.newest for name in topics if (topic := self._topics.get(name)) is not None]
        return max((one for one in found if one is not None), default=None, key=lambda one: one.number)

    def forget(self, lost: Lost) -> None:
        """Lost records are no examples, and records written over them count again."""
        for partition, remains in lost.items():
            topic = self._topics.get(partition.topic)
            if topic is None:
                continue
            if remains.end is not None and topic.counted.get(partition.partition, 0) > remains.end:
                topic.counted[partition.partition] = remains.end
            newest = topic.newest
            if newest is not None and newest.partition == partition and remains.misses(newest.offset, newest.offset):
                self._keep(topic, None)

    def _topic(self, name: str, state: TopicState | None, last: int) -> _Topic:
        identity = None if state is None else state.identity
        topic = self._topics.get(name)
        if topic is None or topic.identity != identity:
            if topic is not None:
                self._keep(topic, None)
            topic = self._topics[name] = _Topic(identity, last - _SLOTS)
        return topic

    def _keep(self, topic: _Topic, newest: Newest | None) -> None:
        if topic.newest is not None and topic.newest.data is not None:
            self._kept -= len(topic.newest.data)
        if newest is not None and newest.data is not None:
            size = len(newest.data)
            if size > LONGEST_EXAMPLE or self._kept + size > EXAMPLES_BYTES:
                newest = newest._replace(data=None)
            else:
                self._kept += size
        topic.newest = newest

"""A segment of the ring: what arrived between two flushes.

It is the unit in which clients are served, frames are shared and memory is freed.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.filters.subject import Subject
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition

ITEM_OVERHEAD = 400
"""Bytes that a record costs beside its data: the tuple, its numbers, its places in lists."""
PLACE_OVERHEAD = 100
"""Bytes that the position of one partition costs where it is remembered."""

_SERIALS = itertools.count()


class Item(NamedTuple):
    """A record as the ring keeps it. `consumed` is the position of a client that has read up to it. `data` is the
    value on one line, or None if it is not an event."""

    partition: TopicPartition
    consumed: ConsumedPosition
    key: bytes | None
    data: bytes | None
    canary: bool


class Break(NamedTuple):
    """A break of the log: records are gone, or the topic is another one. `consumed` is the position to continue
    from."""

    partition: TopicPartition
    requested: int
    resumed: int
    reason: str
    consumed: ConsumedPosition


@dataclass(slots=True, eq=False)
class Segment:
    """Records that arrived together. Blocks made of them are known by the `serial`: if some records are removed,
    another segment takes the number."""

    number: int
    items: list[Item] = field(default_factory=list)
    topics: set[str] = field(default_factory=set)
    gap: Break | None = None
    size: int = 0
    subjects: dict[int, Subject] | None = None
    """While the segment is delivered, the parsed events that somebody has looked into, by index."""
    swept: int = 0
    """As of which deletion there is nothing in it that the log has deleted."""
    serial: int = field(default_factory=_SERIALS.__next__)

    def select(self, topics: Collection[str]) -> list[tuple[int, Item]]:
        """The records of these topics, each with its index in the segment."""
        if self.topics.isdisjoint(topics):
            return []
        if self.topics.issubset(topics):
            return list(enumerate(self.items))
        return [(index, item) for index, item in enumerate(self.items) if item.partition.topic in topics]

    def size_of(self, topics: Collection[str]) -> int:
        """The bytes of the records of these topics."""
        if self.topics.isdisjoint(topics):
            return 0
        return self.size if self.topics.issubset(topics) else sum(size_of(item) for _, item in self.select(topics))

    def count(self, topics: Collection[str]) -> int:
        """How many records of these topics there are."""
        if self.topics.issubset(topics):
            return len(self.items)
        return sum(item.partition.topic in topics for item in self.items) if self.topics & set(topics) else 0


def size_of(item: Item) -> int:
    """Bytes that a record takes in the ring."""
    return ITEM_OVERHEAD + len(item.data or b"") + len(item.key or b"")

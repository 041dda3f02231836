"""Places: how far a view has read its topic, as numbers by partition. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from gateway.model.position import NOTHING_READ, ConsumedPosition
from gateway.model.record import TopicPartition

Cut = Mapping[int, int]
"""Of each partition the first offset that is not counted any more; of one that is not named, none is."""


class Place(NamedTuple):
    """Where a partition is read next, and the last record that was read of it, as a `ConsumedPosition` has it."""

    next: int
    offset: int = NOTHING_READ.offset
    timestamp: int = NOTHING_READ.timestamp
    seen: int = NOTHING_READ.seen

    def after(self, offset: int, timestamp: int) -> Place:
        """Once this record has been read."""
        consumed = ConsumedPosition(self.offset, self.timestamp, self.seen).after(offset, timestamp)
        return Place(offset + 1, *consumed)

    @property
    def consumed(self) -> ConsumedPosition:
        """The last record that was read."""
        return ConsumedPosition(self.offset, self.timestamp, self.seen)


Places = dict[int, Place]


def written(places: Mapping[int, Place]) -> bytes:
    """Places as the store has them."""
    return orjson.dumps([[partition, *place] for partition, place in sorted(places.items())])


def read(data: bytes) -> Places:
    """The same, read."""
    return {partition: Place(*place) for partition, *place in orjson.loads(data)}


def cut_of(places: Mapping[int, Place]) -> dict[int, int]:
    """The cut just behind what was read."""
    return {partition: place.next for partition, place in places.items()}


def covers(cut: Cut, other: Cut) -> bool:
    """Whether nothing that one cut counts is beyond another."""
    return all(cut.get(partition, 0) >= offset for partition, offset in other.items())


def consumed_of(topic: str, places: Mapping[int, Place]) -> dict[TopicPartition, ConsumedPosition]:
    """What an id is made of."""
    return {TopicPartition(topic, partition): place.consumed for partition, place in places.items()}

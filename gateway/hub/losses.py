"""What the log has lost of what was read: memory must not give what the log does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.event import TopicPartition

MOST_CUTS = 16
"""So many are remembered of each partition; those before count as one, which is the lowest of them."""


class Remains(NamedTuple):
    """What is left of a partition: the offsets from `start` to just before `end`; without an end, all from there on."""

    start: int
    end: int | None = None

    def misses(self, first: int, last: int) -> bool:
        """Whether any of the records from one offset to another is gone."""
        return first < self.start or (self.end is not None and last >= self.end)


Lost = Mapping[TopicPartition, Remains]
"""The partitions that have lost something."""


class _Cut(NamedTuple):
    epoch: int
    offset: int


class Cuts:
    """Where partitions were cut back, each time by the ring's epoch since which that is known. Pure."""

    def __init__(self) -> None:
        self._cuts: dict[TopicPartition, list[_Cut]] = {}

    def add(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        """Nothing is there any more that was read before this epoch at this offset or after it."""
        cuts = self._cuts.setdefault(partition, [])
        cuts.append(_Cut(epoch, offset))
        if len(cuts) > MOST_CUTS:
            first, second = cuts[:2]
            cuts[:2] = [_Cut(second.epoch, min(first.offset, second.offset))]

    def lowest(self, partition: TopicPartition, offset: int, since: int = -1) -> int | None:
        """The lowest offset to which a partition was cut back below or at this one, after this epoch; None where it was
        not."""
        cuts = self._cuts.get(partition, ())
        return min((cut.offset for cut in cuts if cut.epoch > since and cut.offset <= offset), default=None)

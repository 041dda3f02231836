"""Makes memory forget the records that the log has lost: nobody may get from memory what the log no longer has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from gateway.hub.ring import Ring
from gateway.model.record import TopicPartition

MOST_CUTS = 16
"""The losses remembered for each partition; older ones count as one, which is the lowest of them."""


class Remains(NamedTuple):
    """The rest of a partition: the offsets from `start` to just before `end`; without an end, all from there on."""

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


class Losses:
    """Makes the keepers of records forget those that the log has lost. It looks for deleted records every `interval`
    seconds."""

    def __init__(self, ring: Ring, interval: float) -> None:
        self._ring = ring
        self._interval = interval
        self._next_look = 0.0
        self._starts: dict[TopicPartition, int] = {}
        self.cuts = Cuts()
        self.memories: list[Callable[[Lost], None]] = []
        """Called with what the log has lost, or may have erased, once the ring has forgotten it."""

    def is_due(self, now: float) -> bool:
        """Whether it is time to look."""
        return now >= self._next_look

    def look(self, starts: Mapping[TopicPartition, int], now: float) -> bool:
        """Forget what lies before the first offsets that the log has by now. Whether that was anything in the ring."""
        self._next_look = now + self._interval
        held = self._ring.partitions()
        # Where the log begins after what was read, it is not continuous, which is told otherwise.
        counted = {
            partition: at for partition, at in starts.items() if partition in held and at <= self._ring.end(partition)
        }
        forgotten = self._ring.forget(counted)
        moved = {partition: at for partition, at in counted.items() if at != self._starts.get(partition, 0)}
        self._starts |= counted
        if forgotten or moved:
            self._tell({partition: Remains(at) for partition, at in counted.items()})
        return forgotten

    def cut(self, partition: TopicPartition, end: int) -> None:
        """The log was truncated to this offset, and the ring continues there."""
        self.cuts.add(partition, end, self._ring.epoch)
        self._starts.pop(partition, None)
        self._tell({partition: Remains(0, end)})

    def replaced(self, partition: TopicPartition) -> None:
        """There is another topic by this name: nothing is left of what was read."""
        self._starts.pop(partition, None)
        self._tell({partition: Remains(0, 0)})

    def erased(self, topics: Collection[str]) -> None:
        """Records of these topics were emptied in the log: nothing that was read of them before is kept. Whoever has
        read them continues as before, since their offsets are still there."""
        held = [partition for partition in self._ring.partitions() if partition.topic in topics]
        self._ring.forget({partition: self._ring.end(partition) for partition in held})
        for partition in held:
            self._starts.pop(partition, None)
        self._tell({partition: Remains(0, 0) for partition in held})

    def _tell(self, lost: Lost) -> None:
        for forget in self.memories:
            forget(lost)

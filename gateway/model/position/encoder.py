"""Writes the positions of one subscription."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from gateway.model.position.entry import ConsumedPosition, Entry, RequestedPosition
from gateway.model.position.text import TextForm
from gateway.model.position.token import TokenForm
from gateway.model.record import TopicPartition

COMPACT_BYTES = 2048
"""Ids that may be longer than this in JSON are compact."""


class Ids(NamedTuple):
    """The form that ids have: one that was asked for, or compact where JSON may be longer than `compact_from` bytes."""

    form: Literal["json", "compact"] | None = None
    compact_from: int = COMPACT_BYTES


DEFAULT_IDS = Ids()


class Pen(Protocol):
    """A position as it is written; `index` is that of a partition in their order."""

    def put(self, index: int, position: Entry) -> None:
        """The partition is there now."""

    def text(self) -> bytes:
        """The id."""

    def follow(self, index: int, positions: Sequence[Entry]) -> list[bytes]:
        """The ids as one partition moves on: all by offset, or all by time."""


class PositionEncoder:
    """Writes positions of one subscription: the same partitions, in the same order, every time."""

    def __init__(
        self,
        by_timestamp: Mapping[TopicPartition, bool],
        waiting: Mapping[TopicPartition, RequestedPosition] | None = None,
        ids: Ids = DEFAULT_IDS,
    ) -> None:
        self.partitions = tuple(sorted(by_timestamp))
        self.ids = ids
        self._by_timestamp = {partition: by_timestamp[partition] for partition in self.partitions}
        self._waiting = dict(waiting or {})
        """The partitions that the log does not give yet: an id holds what was requested there, word for word."""
        self._form: TextForm | TokenForm = TextForm(self._by_timestamp)
        if ids.form == "compact" or (ids.form is None and self._form.longest > ids.compact_from):
            self._form = TokenForm(self._by_timestamp)
        self.indices = {partition: index for index, partition in enumerate(self.partitions)}
        self._last: tuple[Mapping[TopicPartition, ConsumedPosition | RequestedPosition], bytes] = {}, b""
        """The position whose id was asked for last, and the id: those who come back together come to the same one."""

    @property
    def longest(self) -> int:
        """Bytes of the longest id that there may be, whatever is read."""
        return self._form.longest

    @property
    def compact(self) -> bool:
        """Whether ids are tokens."""
        return isinstance(self._form, TokenForm)

    def waiting_for(
        self, waiting: Mapping[TopicPartition, RequestedPosition], partitions: Iterable[TopicPartition]
    ) -> PositionEncoder:
        """One for these partitions of the same topics, of which some wait."""
        by_topic = {partition.topic: by_timestamp for partition, by_timestamp in self._by_timestamp.items()}
        return PositionEncoder({partition: by_topic[partition.topic] for partition in partitions}, waiting, self.ids)

    def by_timestamp(self, partition: TopicPartition) -> bool:
        """Whether the ids hold times of this partition and no offsets."""
        return self._by_timestamp[partition]

    def waits(self, partition: TopicPartition) -> bool:
        """Whether ids hold what was requested of this partition, whatever is read of it."""
        return partition in self._waiting

    def requested(self, partition: TopicPartition, at: ConsumedPosition | RequestedPosition) -> RequestedPosition:
        """The position that an id requests, when sent back, if it says that the partition exists."""
        if (waiting := self._waiting.get(partition)) is not None and isinstance(at, ConsumedPosition):
            at = waiting
        offset, timestamp, seen = at
        if self._by_timestamp[partition] and timestamp is not None:
            if timestamp < 0 and isinstance(at, ConsumedPosition):
                timestamp, seen = at.timed
            return RequestedPosition(None, timestamp, seen)
        if offset is not None and offset < 0:
            # A position before the first record; an offset of -1 beside a time means the time.
            return RequestedPosition(None, timestamp, 0)
        return RequestedPosition(offset, timestamp, 0 if offset is not None else seen)

    def pen(self, position: Mapping[TopicPartition, ConsumedPosition | RequestedPosition]) -> Pen:
        """Begins with this position."""
        return self._form.pen([self.requested(partition, position[partition]) for partition in self.partitions])

    def identifier(self, position: Mapping[TopicPartition, ConsumedPosition | RequestedPosition]) -> bytes:
        """The id of one position."""
        if self._waiting:
            return self.pen(position).text()
        if self._last[0] != position or not position:
            self._last = dict(position), self.pen(position).text()
        return self._last[1]

"""How many events a subscription has read, by the ids that it got: also those that its filter left out. Pure."""

from __future__ import annotations

from gateway.errors import InvalidPosition
from gateway.model.position import parse_position
from gateway.model.record import TopicPartition


class Reach:
    """Counts what lies between the first position and the last: offsets, and so about the events. None where the ids
    have no offsets."""

    def __init__(self) -> None:
        self._first: dict[TopicPartition, int] = {}
        self._last: dict[TopicPartition, int] = {}
        self._seen = ("", "")
        """The first position and the last."""

    def note(self, position: str) -> None:
        """The subscription has come so far."""
        if not position or position in self._seen:
            return
        self._seen = (self._seen[0] or position, position)
        try:
            entries = parse_position(position)
        except InvalidPosition:
            return
        offsets = {partition: entry.offset for partition, entry in entries.items() if entry.offset is not None}
        for partition, offset in offsets.items():
            # A partition that comes later is read from its first record on.
            self._first.setdefault(partition, -1 if self._last else offset)
            self._last[partition] = offset

    @property
    def read(self) -> int | None:
        """The number of records read since the first position."""
        if not self._last:
            return None
        return sum(max(0, last - self._first[partition]) for partition, last in self._last.items())

"""The position of an event in the log of its server, as far as the ids say."""

from __future__ import annotations

from typing import NamedTuple

from gateway.errors import InvalidPosition
from gateway.model.position import RequestedPosition, parse_position
from gateway.model.record import TopicPartition


class Place(NamedTuple):
    """The record's place; `offset` or `timestamp` (ms) is None where the ids do not hold it."""

    topic: str
    partition: int
    offset: int | None
    timestamp: int | None


class Places:
    """Reads the ids of one stream in their order: the entry that an event's id has changed is that of the event."""

    def __init__(self, last_event_id: str = "") -> None:
        self._before: dict[TopicPartition, RequestedPosition] = {}
        self._last = ""
        if last_event_id:
            self.read(last_event_id)

    def read(self, identifier: str) -> Place | None:
        """The place of the event with this id; None where the id is no position, or says nothing new."""
        if identifier == self._last:
            return None
        try:
            now = parse_position(identifier)
        except InvalidPosition:
            return None
        before, self._before, self._last = self._before, now, identifier
        changed = [(partition, requested) for partition, requested in now.items() if before.get(partition) != requested]
        if len(changed) > 1:
            # The id moved over events that were not sent; the newest is the one that came.
            changed.sort(key=lambda entry: entry[1].timestamp or 0)
        if not changed:
            return None
        partition, requested = changed[-1]
        return Place(partition.topic, partition.partition, requested.offset, requested.timestamp)

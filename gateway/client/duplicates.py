"""Recognises the events that a subscription has had before. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway import json_text
from gateway.client.frame import StreamEvent
from gateway.errors import InvalidPosition
from gateway.model.position import RequestedPosition, parse_position
from gateway.model.record import TopicPartition

RECENT_IDS = 100_000
"""Ids of events that are remembered where nothing else is said; one takes about 150 bytes."""


class RecentIds:
    """The newest `meta.id` of events, a bounded number; subscriptions to several servers or topics may share one."""

    def __init__(self, size: int = RECENT_IDS) -> None:
        self._size = size
        self._ids: dict[str, None] = {}

    def is_repeated(self, data: bytes) -> bool:
        """Whether an event with this `meta.id` was here before; remembers it. Without an id it was not."""
        try:
            identifier = json_text.loads_any(data)["meta"]["id"]
        except (ValueError, KeyError, TypeError):
            return False
        if not isinstance(identifier, str):
            return False
        if identifier in self._ids:
            return True
        self._ids[identifier] = None
        if len(self._ids) > self._size:
            del self._ids[next(iter(self._ids))]
        return False


class Duplicates:
    """Recognizes an event that came before. It goes by the position, if ids hold offsets or count the events of a
    time, and by `meta.id` if `recent` is given."""

    def __init__(self, last_event_id: str = "", recent: RecentIds | None = None) -> None:
        self._recent = recent
        self._read: dict[TopicPartition, RequestedPosition] = {}
        self.reset(last_event_id)

    def reset(self, identifier: str) -> None:
        """The stream continues at this position after a gap, perhaps behind the one before."""
        self._read = _parse(identifier)

    def is_repeated(self, event: StreamEvent) -> bool:
        """Whether it came before; remembers it."""
        # An id that stands in an earlier frame is not this event's.
        now = _parse(event.id) if event.named else {}
        if _lies_behind(now, self._read):
            return True
        self._read.update(now)
        return self._recent is not None and self._recent.is_repeated(event.data)


def _parse(identifier: str) -> dict[TopicPartition, RequestedPosition]:
    try:
        return parse_position(identifier) if identifier else {}
    except InvalidPosition:
        return {}


def _lies_behind(
    now: Mapping[TopicPartition, RequestedPosition], read: Mapping[TopicPartition, RequestedPosition]
) -> bool:
    """Whether a position is sure to hold nothing that was not read. A time without more does not tell: events may
    share it."""
    told = False
    for partition, requested in now.items():
        if requested.offset is None and not requested.seen:
            if requested.timestamp:
                return False
            continue  # Of an empty partition nothing was read.
        before = read.get(partition)
        if before is None or not _is_behind(requested, before):
            return False
        told = True
    return told


def _is_behind(requested: RequestedPosition, before: RequestedPosition) -> bool:
    if requested.offset is None or before.offset is None:
        return (requested.timestamp or 0, requested.seen) <= (before.timestamp or 0, before.seen)
    # In a topic that was created again offsets begin afresh, and times go on.
    later = requested.timestamp is not None and before.timestamp is not None and requested.timestamp > before.timestamp
    return requested.offset <= before.offset and not later

"""Recognises the events that a subscription has had before. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from gateway import json_text
from gateway.client.frame import StreamEvent
from gateway.errors import InvalidPosition
from gateway.model.position import RequestedPosition, parse_position
from gateway.model.record import TopicPartition

RECENT_IDS = 100_000
"""Ids of events that are remembered where nothing else is said; one takes about 150 bytes."""


class RecentIds:
    """The newest `meta.id` of events that were processed, a bounded number; subscriptions to several servers or topics
    may share one."""

    def __init__(self, size: int = RECENT_IDS) -> None:
        self.size = size
        self._ids: dict[str, None] = {}

    def __contains__(self, meta_id: str) -> bool:
        return meta_id in self._ids

    def add(self, meta_id: str) -> None:
        """An event with this id was processed."""
        _put(self._ids, meta_id, self.size)


class Duplicates:
    """Recognizes an event that came before. It goes by the position, if ids hold offsets, and by `meta.id` if `recent`
    is given.

    An event that is read is not processed yet, and may never be. So other subscriptions learn of its `meta.id` once
    whoever processes events says so: `hand_over` as each is begun, `settle` when they are done.
    """

    def __init__(self, last_event_id: str = "", recent: RecentIds | None = None) -> None:
        self._recent = recent
        self._read: dict[TopicPartition, RequestedPosition] = {}
        self._unsettled: dict[str, None] = {}
        """Each `meta.id` that was read here and is not processed yet."""
        self._begun: deque[tuple[str, str]] = deque(maxlen=None if recent is None else recent.size)
        """The positions of the events that were handed over and are not processed yet, and their `meta.id`."""
        self.reset(last_event_id)

    def reset(self, identifier: str) -> None:
        """The stream continues at this position after a gap, perhaps behind the one before."""
        self._read = _parse(identifier)

    def identified(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """The events with their `meta.id`, where that is wanted."""
        if self._recent is None:
            return events
        return [event._replace(meta_id=_meta_id(event.data)) if event.event == "message" else event for event in events]

    def is_repeated(self, event: StreamEvent) -> bool:
        """Whether it came before; remembers that it was read."""
        # An id that stands in an earlier frame is not this event's.
        now = _parse(event.id) if event.named else {}
        if _lies_behind(now, self._read):
            return True
        self._read.update(now)
        if self._recent is None or not event.meta_id:
            return False
        if event.meta_id in self._recent or event.meta_id in self._unsettled:
            return True
        _put(self._unsettled, event.meta_id, self._recent.size)
        return False

    def hand_over(self, position: str, meta_id: str) -> bool:
        """Whether an event that was read, after which the position is this, is to be processed: not where another
        subscription has got it meanwhile."""
        if self._recent is None:
            return True
        if meta_id and meta_id in self._recent:
            self._unsettled.pop(meta_id, None)
            return False
        self._begun.append((position, meta_id))
        return True

    def settle(self, position: str | None = None) -> None:
        """What was handed over is processed: all of it, or up to this position."""
        if not self._begun:
            return
        count = len(self._begun)
        if position is not None:
            count = max((number for number, (at, _) in enumerate(self._begun, 1) if at == position), default=0)
        for _ in range(count):
            _, meta_id = self._begun.popleft()
            if self._recent is not None and meta_id:
                self._unsettled.pop(meta_id, None)
                self._recent.add(meta_id)


def _meta_id(data: bytes) -> str:
    """Empty where an event has none."""
    try:
        found = json_text.loads_any(data)["meta"]["id"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


def _put(ids: dict[str, None], meta_id: str, size: int) -> None:
    """Add it to so many newest ones."""
    ids[meta_id] = None
    if len(ids) > size:
        del ids[next(iter(ids))]


def _parse(identifier: str) -> dict[TopicPartition, RequestedPosition]:
    try:
        return parse_position(identifier) if identifier else {}
    except InvalidPosition:
        return {}


def _lies_behind(
    now: Mapping[TopicPartition, RequestedPosition], read: Mapping[TopicPartition, RequestedPosition]
) -> bool:
    """Whether a position is sure to hold nothing that was not read. Times do not tell, also with the number of events
    that share one: they go back in the order of a log, and two logs number the events of one time differently."""
    told = False
    for partition, requested in now.items():
        if requested.offset is None:
            if requested.timestamp or requested.seen:
                return False
            continue  # Of an empty partition nothing was read.
        before = read.get(partition)
        if before is None or before.offset is None or not _is_behind(requested, before):
            return False
        told = True
    return told


def _is_behind(requested: RequestedPosition, before: RequestedPosition) -> bool:
    """Whether an offset lies behind another one."""
    assert requested.offset is not None
    assert before.offset is not None
    # In a topic that was created again offsets begin afresh, and times go on.
    later = requested.timestamp is not None and before.timestamp is not None and requested.timestamp > before.timestamp
    return requested.offset <= before.offset and not later

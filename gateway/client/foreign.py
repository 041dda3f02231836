"""Does what a server that knows only `since` leaves to its clients: `filter`, `fields`, `until`, canary events."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gateway.client.frame import StreamEvent
from gateway.client.place import Places
from gateway.client.query import Query
from gateway.errors import BadRecord
from gateway.filters.fields import compile_fields
from gateway.model.event import is_canary, parse_event


class LocalQuery:
    """The part of a query that is answered here. `finished`: an event at or after `until` came, and was not chosen."""

    def __init__(self, query: Query, honoured: Collection[str], last_event_id: str = "") -> None:
        self.finished = False
        self._filter = _Filter(query.filter) if query.filter and "filter" not in honoured else None
        self._fields = compile_fields(query.fields) if query.fields and "fields" not in honoured else None
        self._until = query.until if "until" not in honoured else None
        self._canary = query.canary or "canary" in honoured
        self._places = Places(last_event_id)
        self._idle = self._canary and self._filter is None and self._fields is None and self._until is None

    def choose(self, event: StreamEvent) -> StreamEvent | None:
        """The event, cut down where that was asked for, or None where it is not wanted."""
        if self._idle:
            return event
        place = self._places.read(event.id)
        try:
            parsed = parse_event(event.data)
        except BadRecord:
            return None
        time = (place.timestamp if place else None) or 0
        if self._until is not None and time >= self._until:
            self.finished = True
            return None
        if not self._canary and is_canary(parsed):
            return None
        if self._filter is not None:
            topic, partition, offset = (place.topic, place.partition, place.offset or 0) if place else ("", 0, 0)
            if not self._filter.matches(parsed, topic, partition, offset, time):
                return None
        if self._fields is not None:
            return event._replace(data=self._fields.cut(event.data, parsed))
        return event


class _Filter:
    """The language of filters is imported where one is needed: it takes longer than all the rest of the client."""

    def __init__(self, text: str) -> None:
        from gateway.filters.compile import compile_filter
        from gateway.filters.subject import Subject

        self._subject = Subject
        self._filter = compile_filter(text)

    def matches(self, event: dict[str, Any], topic: str, partition: int, offset: int, time: int) -> bool:
        return self._filter.matches(self._subject(event, topic, partition, offset, time, None))

"""The record of an event that came from elsewhere, and the position up to which the source was read."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import orjson

from gateway.catalog.stream import Stream
from gateway.client import Places, StreamEvent
from gateway.errors import BadRecord
from gateway.intake.validate import TIMESTAMP_AHEAD, InvalidEvent, key_of, timestamp_of
from gateway.model.event import parse_event
from gateway.model.record import NewRecord


class SourcePosition(NamedTuple):
    """The position in the source: its last id (empty if it sends none), and the number of all stored events. So a
    position differs from the one before even if the id does not."""

    id: str = ""
    events: int = 0

    def encode(self) -> bytes:
        """As it is kept in the log."""
        return orjson.dumps(self._asdict())

    @classmethod
    def decode(cls, kept: bytes | None) -> SourcePosition:
        """The stored position; the beginning if there is none."""
        return cls() if kept is None else cls(**orjson.loads(kept))


class Recorder:
    """Makes records of the events of one source, in their order. The bytes of an event stay as they are; its key is
    made of the stream's fields, where the event has them."""

    def __init__(self, stream: Stream, position: str) -> None:
        self._stream = stream
        self._dated = replace(stream, timestamp_field="meta.dt")
        self._places = Places(position)

    def record(self, event: StreamEvent, now: int) -> tuple[NewRecord, int | None]:
        """The record, and the time of the event (ms). The source's id holds that of its record, or else `meta.dt`
        does. If neither does, or the time is one that a log may refuse (before 1970, or far ahead), it is None. The
        time of the record is then now (ms)."""
        place = self._places.read(event.id)
        time = None if place is None else place.timestamp
        if time is None or not 0 < time <= now + TIMESTAMP_AHEAD:
            time = self._dt(event, now)
        return NewRecord(event.data, self._key(event), now if time is None else time), time

    def _dt(self, event: StreamEvent, now: int) -> int | None:
        try:
            return timestamp_of(parse_event(event.data), self._dated, now)
        except (BadRecord, InvalidEvent):
            return None

    def _key(self, event: StreamEvent) -> bytes | None:
        if not self._stream.message_key_fields:
            return None
        try:
            return key_of(parse_event(event.data), self._stream)
        except (BadRecord, InvalidEvent):
            return None

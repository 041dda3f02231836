"""A stretch of the past: records that everybody reads who stands where it begins."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.event import Record, TopicPartition
from gateway.filters.subject import Subject
from gateway.hub.decode import decode
from gateway.hub.ring import ITEM_OVERHEAD
from gateway.json_event import parse_event

_SERIALS = itertools.count()


class Passed(NamedTuple):
    """A record of the past. `data` is the value on one line, or None where it is not an event."""

    partition: TopicPartition
    offset: int
    timestamp: int
    key: bytes | None
    data: bytes | None
    canary: bool


@dataclass(slots=True, eq=False)
class Stretch:
    """Records merged by timestamp; in each partition in log order. `positions` are the next offsets after it.

    Without records, and with the positions where it began, it is the end of the log.
    """

    serial: int
    records: list[Passed]
    positions: Mapping[TopicPartition, int]
    size: int
    exhausted: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Partitions that had no more to be merged, and their ends then."""
    events: list[dict[str, Any] | None] | None = None
    """The parsed events, as long as they are kept."""
    _subjects: dict[int, Subject] = field(default_factory=dict)

    def subject(self, index: int) -> Subject:
        """What filters see of a record that is an event."""
        subject = self._subjects.get(index)
        if subject is None:
            (topic, partition), offset, timestamp, key, data, _ = self.records[index]
            event = self.events[index] if self.events is not None else None
            subject = Subject(event or parse_event(data), topic, partition, offset, timestamp, key)
            if self.events is not None:
                self._subjects[index] = subject
        return subject

    def covers(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether what lies before these ends was merged, as far as it belongs here."""
        return all(end >= ends.get(place, 0) for place, end in self.exhausted.items())

    def forget(self) -> None:
        """Keep the parsed events no longer."""
        self.events = None
        self._subjects.clear()


def decode_stretch(
    taken: list[Record],
    places: Mapping[tuple[str, int], TopicPartition],
    positions: Mapping[TopicPartition, int],
    parsed: bool,
) -> Stretch:
    """A stretch of these records; `places` are the partitions that they are of."""
    records, events, size = [], [], 0
    for record in taken:
        event, data, canary = decode(record)
        key = record.key
        records.append(Passed(places[record[:2]], record.offset, record.timestamp, key, data, canary))
        if parsed:
            events.append(event)
        size += ITEM_OVERHEAD + (len(data) if data else 0) + (len(key) if key else 0)
    return Stretch(next(_SERIALS), records, positions, size, events=events if parsed else None)

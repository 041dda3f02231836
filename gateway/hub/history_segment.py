"""A history segment: records of the past that all readers share which stand where it begins."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.filters.subject import Subject
from gateway.hub.decode import decode, glance
from gateway.hub.losses import Lost
from gateway.hub.segment import ITEM_OVERHEAD
from gateway.model.event import parse_again, parsed_size
from gateway.model.record import Record, RecordRun, TopicPartition

PARSED_BYTES = 8 * 1024 * 1024
"""The most that the parsed events of one history segment may take."""
_SERIALS = itertools.count()


@dataclass(slots=True, eq=False)
class HistorySegment:
    """Records merged by timestamp; in each partition in log order. `positions` are the next offsets after it.

    A record's value is on one line, and None where it is not an event; its headers are gone. Without records, and with
    the positions where it began, it is the end of the log.
    """

    serial: int
    runs: list[RecordRun]
    records: list[Record]
    """The same, one after the other."""
    canaries: set[int]
    """The indices of those that are canaries."""
    positions: Mapping[TopicPartition, int]
    size: int
    exhausted: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Partitions that had no more to be merged, and their ends then."""
    events: list[dict[str, Any] | None] | None = None
    """The parsed events, as long as they are kept; where one is missing, it is parsed again each time."""
    parsed: int = 0
    """Bytes that these take, about."""
    spans: dict[TopicPartition, tuple[int, int]] = field(default_factory=dict)
    """The first and the last offset of each partition that it has records of."""
    _subjects: dict[int, Subject] = field(default_factory=dict)

    def subject(self, index: int) -> Subject:
        """The subject for filters of a record that is an event."""
        subject = self._subjects.get(index)
        if subject is None:
            topic, partition, offset, timestamp, key, data, *_ = self.records[index]
            event = self.events[index] if self.events is not None else None
            subject = Subject(event or parse_again(data), topic, partition, offset, timestamp, key)
            if event is not None:
                self._subjects[index] = subject
        return subject

    def covers(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether what lies before these ends was merged, as far as it belongs here."""
        return all(end >= ends.get(partition, 0) for partition, end in self.exhausted.items())

    def misses(self, lost: Lost) -> TopicPartition | None:
        """A partition of which it has records that are gone by now."""
        for partition, (first, last) in self.spans.items():
            remains = lost.get(partition)
            if remains is not None and remains.misses(first, last):
                return partition
        return None

    def forget(self) -> None:
        """Keep the parsed events no longer."""
        self.events = None
        self.parsed = 0
        self._subjects.clear()


def decode_segment(taken: Iterable[RecordRun], positions: Mapping[TopicPartition, int], parsed: bool) -> HistorySegment:
    """A history segment of these records."""
    runs: list[RecordRun] = []
    flat: list[Record] = []
    events: list[dict[str, Any] | None] = []
    canaries: set[int] = set()
    spans: dict[TopicPartition, tuple[int, int]] = {}
    size = kept = 0
    for partition, stored in taken:
        begin = len(flat)
        for record in stored:
            # What is large is parsed by whoever looks into it, one event at a time.
            weight = parsed_size(record.value or b"") + ITEM_OVERHEAD if parsed else 0
            if parsed and kept + weight <= PARSED_BYTES:
                event, data, canary = decode(record, replayed=True)
                kept += weight
            else:
                event, (data, canary, _) = None, glance(record)
            events.append(event)
            if canary:
                canaries.add(len(flat))
            as_it_is = data is record.value and not record.headers
            flat.append(record if as_it_is else record._replace(value=data, headers=()))
            size += ITEM_OVERHEAD + (len(data) if data else 0) + (len(record.key) if record.key else 0)
        runs.append((partition, flat[begin:]))
        spans[partition] = (spans.get(partition, (flat[begin].offset, 0))[0], flat[-1].offset)
    given = events if parsed else None
    return HistorySegment(next(_SERIALS), runs, flat, canaries, positions, size, events=given, parsed=kept, spans=spans)

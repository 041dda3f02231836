"""A selection: which events a feed sends, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from gateway.filters.compile import Filter
from gateway.filters.fields import Fields
from gateway.filters.rows import Rows
from gateway.filters.subject import Subject
from gateway.hub.history_segment import HistorySegment
from gateway.observability import telemetry


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are sent, and how much of each."""

    topics: frozenset[str]
    filter: Filter | None = None
    fields: Fields | Rows | None = None
    canary: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for selections that send the same bytes."""
        return (
            self.topics,
            self.filter.text if self.filter else None,
            self.fields.text if self.fields else None,
            self.canary,
        )

    @property
    def digest(self) -> bytes:
        """Stands for the key where much is remembered: a filter may be long, and its length is not counted there."""
        written = repr((sorted(self.topics), *self.key[1:]))
        return blake2b(written.encode(), digest_size=32).digest()

    @property
    def reads(self) -> bool:
        """Whether the parsed event is needed."""
        return self.filter is not None or self.fields is not None

    def choose(self, data: bytes | None, canary: bool, subject: Subject | None) -> bytes | None:
        """The bytes to be sent of a record, or None where it is not sent; the subject counts where `reads`."""
        if data is None or (canary and not self.canary):
            return None
        if subject is None or not self.reads:
            return data
        try:
            if self.filter is not None and not self.filter.matches(subject):
                return None
        except Exception as error:
            telemetry.record_mistake(subject.topic, subject.partition, subject.offset, error)
            return None
        return self.cut(data, subject)

    def choose_past(self, segment: HistorySegment, index: int) -> bytes | None:
        """The same for a record of the past."""
        data = segment.records[index].value
        subject = segment.subject(index) if self.reads and data is not None else None
        return self.choose(data, index in segment.canaries, subject)

    def choose_all(self, segment: HistorySegment) -> list[bytes | None]:
        """`choose_past` each, where no event is looked into."""
        if self.canary or not segment.canaries:
            return [record.value for record in segment.records]
        return [self.choose_past(segment, index) for index in range(len(segment.records))]

    def cut(self, data: bytes, subject: Subject) -> bytes | None:
        """The bytes to be sent of a record that is sent; None where a mistake of our own keeps it back."""
        if self.fields is None:
            return data
        try:
            return self.fields.cut(data, subject.event)
        except Exception as error:
            telemetry.record_mistake(subject.topic, subject.partition, subject.offset, error)
            return None

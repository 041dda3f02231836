"""Decodes a stored record into an event, once for all its readers."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.errors import BadRecord
from gateway.filters.subject import Subject
from gateway.model.event import check_event, is_canary, one_line, parse_event
from gateway.model.record import Record
from gateway.observability import telemetry


class Decoded(NamedTuple):
    """`data` is the value on one line; both are None where the value is not an event."""

    event: dict[str, Any] | None
    data: bytes | None
    canary: bool

    def subject(self, record: Record) -> Subject:
        """The subject for filters of the record."""
        return Subject(self.event or {}, record.topic, record.partition, record.offset, record.timestamp, record.key)


def decode(record: Record, replayed: bool = False) -> Decoded:
    """Parse a record's value. A value that is not an event is counted, logged and skipped; so is one that an
    internal error keeps from being read. `replayed`: it comes from history, and perhaps again."""
    try:
        event = parse_event(record.value)
        assert record.value is not None
        return Decoded(event, one_line(record.value), is_canary(event))
    except BadRecord as error:
        _tell(record, error, replayed)
    except Exception as error:
        telemetry.record_mistake(record.topic, record.partition, record.offset, error)
    return Decoded(None, None, False)


def glance(record: Record) -> tuple[bytes | None, bool]:
    """`data` and `canary` of a record of history into which nobody looks now."""
    value = record.value
    try:
        canary = check_event(value)
        assert value is not None
        return one_line(value), canary
    except BadRecord as error:
        _tell(record, error, replayed=True)
    except Exception as error:
        telemetry.record_mistake(record.topic, record.partition, record.offset, error)
    return None, False


def _tell(record: Record, error: BadRecord, replayed: bool) -> None:
    telemetry.bad_record(record.topic, record.partition, record.offset, str(error), replayed)

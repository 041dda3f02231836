"""Decodes a stored record into an event. Most are only glanced at: nobody looks into what only passes through."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.errors import BadRecord
from gateway.model.event import is_canary, one_line, parse_event
from gateway.model.glance import check_event
from gateway.model.record import Record
from gateway.observability import telemetry


class Decoded(NamedTuple):
    """`data` is the value on one line; both are None where the value is not an event."""

    event: dict[str, Any] | None
    data: bytes | None
    canary: bool


class Glance(NamedTuple):
    """`data` and `canary` as in Decoded, and the names by which the intake knows the event."""

    data: bytes | None
    canary: bool
    names: tuple[tuple[str | None, str], ...] = ()


def decode(record: Record, replayed: bool = False) -> Decoded:
    """Parse a record's value. A value that is not an event is counted, logged and skipped; so is one that an
    internal error keeps from being read. `replayed`: it comes from history, and perhaps again."""
    try:
        _check(record)
        event = parse_event(record.value)
        assert record.value is not None
        return Decoded(event, one_line(record.value), is_canary(event))
    except BadRecord as error:
        _tell(record, error, replayed)
    except Exception as error:
        telemetry.record_mistake(record.topic, record.partition, record.offset, error)
    return Decoded(None, None, False)


def glance(record: Record, replayed: bool = True) -> Glance:
    """The same of a record into which nobody looks now."""
    value = record.value
    try:
        _check(record)
        sight = check_event(value)
        assert value is not None
        return Glance(one_line(value), *sight)
    except BadRecord as error:
        _tell(record, error, replayed)
    except Exception as error:
        telemetry.record_mistake(record.topic, record.partition, record.offset, error)
    return Glance(None, False)


def _check(record: Record) -> None:
    if record.fault is not None:
        raise BadRecord(record.fault)


def _tell(record: Record, error: BadRecord, replayed: bool) -> None:
    telemetry.bad_record(record.topic, record.partition, record.offset, str(error), replayed)

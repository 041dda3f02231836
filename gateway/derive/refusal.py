"""An event that a derived stream refused, as an event for its error stream. Pure.

The form is that of the intake's error events; the message names the place of the source's record. One and the same
refusal has the same id, however often it is written.
"""

from __future__ import annotations

from typing import Any

from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.derive.identity import Identity
from gateway.derive.row import Refused, written
from gateway.errors import BadRecord
from gateway.intake.error_event import EMITTER, NAME_CHARACTERS, RAW_EVENT_BYTES, named
from gateway.intake.validate import InvalidEvent, key_of, timestamp_of
from gateway.model.event import parse_event
from gateway.model.record import NO_TIMESTAMP, NewRecord
from gateway.schemas.repository import Schema
from gateway.times import iso_time

REASON_CHARACTERS = 4_096
"""Of the reason that an error event tells."""


def error_record(
    refused: Refused, name: str, derivation: Derivation, target: Stream, schema: Schema, now_ms: int
) -> NewRecord:
    """The record for the error stream `target`, whose schema is `schema`, of what the derived stream of this name
    refused. Raises InvalidEvent where the error stream takes no such event."""
    record, identity = refused.record, Identity(name, derivation.version)
    place, time = "", now_ms
    if record is not None:
        place = f" ({record.topic}, partition {record.partition}, offset {record.offset})"
        # A record's time may be one that no calendar has.
        if record.timestamp != NO_TIMESTAMP and iso_time(record.timestamp).endswith("Z"):
            time = record.timestamp
    told: dict[str, Any] = {
        "$schema": schema.uri,
        "meta": {
            "id": identity.of_refusal(refused.kind, record, refused.value),
            "dt": iso_time(time),
            "stream": target.name,
        },
        "emitter_id": EMITTER,
        "error_type": refused.kind,
        "message": refused.reason[:REASON_CHARACTERS] + place,
        "raw_event": refused.value[:RAW_EVENT_BYTES].decode(errors="replace"),
        "errored_stream_name": name[:NAME_CHARACTERS],
    }
    uri = _uri(refused.value)
    if uri is not None:
        told["errored_schema_uri"] = uri[:NAME_CHARACTERS]
    told = {
        key: value.encode(errors="replace").decode() if isinstance(value, str) else value for key, value in told.items()
    }
    if faults := schema.faults(told):
        raise InvalidEvent("; ".join(faults))
    # How far ahead a source may be is not for the error stream to judge.
    return NewRecord(written(told), key_of(told, target), timestamp_of(told, target, now_ms, 0))


def _uri(value: bytes) -> str | None:
    try:
        return named(parse_event(value))[1]
    except BadRecord:
        return None

"""Dead events: events that a rule gave up, as events of its `dead_stream`, and how they are read again. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from gateway.catalog.catalog import Catalog
from gateway.intake.error_event import EMITTER, NAME_CHARACTERS, RAW_EVENT_BYTES, named
from gateway.intake.validate import InvalidEvent, validate
from gateway.model.event import parse_event
from gateway.model.record import NewRecord, Record
from gateway.rules.tries import HEADER, Tries, tries_of, with_tries
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time

VALUE_HEADER = "gateway-rule-value"
"""Of a dead event whose `raw_event` is cut short: the event as a whole."""
HEADER_BYTES = 8192
"""Of the record's own headers that are kept together."""
ANSWER_CHARACTERS = 1000
"""Of the last answer, in the dead event."""


class Dead(NamedTuple):
    """Why an event is given up. `status` is None where nothing was answered, `answer` the beginning of the body."""

    reason: str
    status: int | None = None
    answer: bytes = b""


def dead_record(
    record: Record,
    event: object,
    tries: Tries,
    dead: Dead,
    target: str,
    catalog: Catalog,
    schemas: SchemaRepository,
    now: int,
    whole: bool = True,
) -> tuple[str, NewRecord]:
    """The topic and the record of a dead event. `whole`: with all of the event, however long it is. Raises
    InvalidEvent where the stream does not take it."""
    stream = catalog.streams[target]
    schema = schemas.taken_by(stream)
    if schema is None:
        raise InvalidEvent(f"the dead stream {target} has no schema")
    text = record.value or b""
    source, uri = named(event)
    topic, partition = tries.partition
    told: dict[str, Any] = {
        "$schema": schema.uri,
        "meta": {"stream": target},
        "emitter_id": EMITTER,
        "error_type": "dead",
        "message": f"rule {tries.rule}: {dead.reason}",
        "raw_event": text[:RAW_EVENT_BYTES].decode(errors="replace"),
        "rule": tries.rule,
        "attempts": tries.tries,
        "source": {"topic": topic, "partition": partition, "offset": tries.offset, "timestamp": tries.timestamp},
    }
    if tries.first:
        told["first_attempt"] = iso_time(tries.first)
    if dead.status is not None:
        told["status"] = dead.status
    if dead.answer:
        told["answer"] = dead.answer.decode(errors="replace")[:ANSWER_CHARACTERS]
    if source is not None:
        told["errored_stream_name"] = source[:NAME_CHARACTERS]
    if uri is not None:
        told["errored_schema_uri"] = uri[:NAME_CHARACTERS]
    accepted = validate(orjson.dumps(told), told, catalog, schemas, now, hint=False)
    headers = [tries.header()]
    if whole and len(text) > RAW_EVENT_BYTES:
        headers.append((VALUE_HEADER, text))
    left = HEADER_BYTES
    for name, value in record.headers:
        left -= len(name) + len(value)
        if name not in (HEADER, VALUE_HEADER) and left >= 0:
            headers.append((name, value))
    key = record.key if accepted.key is None else accepted.key
    return accepted.topic, NewRecord(accepted.value, key, accepted.timestamp, headers=tuple(headers))


def is_dead_of(record: Record, rule: str) -> bool:
    """Whether a record of the dead stream is of this rule."""
    tries = tries_of(record)
    return tries is not None and tries.rule == rule


def revived(record: Record) -> NewRecord | None:
    """The record that is tried again for a dead one; None where the event is not whole."""
    tries = tries_of(record)
    told = parse_event(record.value)
    headers = dict(record.headers)
    raw = told.get("raw_event")
    value = headers.get(VALUE_HEADER)
    if value is None and isinstance(raw, str) and len(raw.encode()) < RAW_EVENT_BYTES:
        value = raw.encode()
    if tries is None or not value:
        return None
    kept = tuple((name, one) for name, one in record.headers if name != VALUE_HEADER)
    return with_tries(record._replace(value=value, headers=kept), tries.anew())

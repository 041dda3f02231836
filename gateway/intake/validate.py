"""Validates an event and makes its record. Pure: no input or output, and the time is given.

Every event enters its stream through here. So everything in the log is known to be valid.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.lineage import made_of
from gateway.catalog.stream import REGISTERED, Stream
from gateway.errors import BadRecord, GatewayError
from gateway.intake.insert import insert_meta
from gateway.model.record import NewRecord
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.text import random_uuid
from gateway.times import iso_time, read_time

LARGEST_SECONDS = 100_000_000_000
"""A number below this in a timestamp field is seconds, from it on milliseconds: as seconds it is the year 5138, as
milliseconds 1973."""

TIMESTAMP_AHEAD = 3_600_000
"""Milliseconds that a timestamp field may lie ahead of now where nothing else is said; Kafka refuses what is further by
default too (`message.timestamp.after.max.ms`)."""

_FIRST_TIME, _LAST_TIME = -62_167_219_200_000, 253_402_300_799_999
"""Milliseconds of a number; the first and the last that four digits of a year can write."""


class InvalidEvent(GatewayError):
    """An event that is not taken, by its sender's fault."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SchemaAway(GatewayError):
    """The schema registry has not said yet what events of the stream are made of."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"the schema registry has not given the schema of {stream} yet; send it again in a moment")


class Accepted(NamedTuple):
    """An event as it is to be stored: its record, and the topic that takes it. `given_id` is the `meta.id` that the
    event came with."""

    stream: Stream
    topic: str
    record: NewRecord
    given_id: str | None

    @property
    def key(self) -> bytes | None:
        """The key of the record."""
        return self.record.key

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since the epoch."""
        return self.record.timestamp

    @property
    def value(self) -> bytes:
        """The text of the event."""
        return self.record.value or b""


Targets = dict[tuple[Any, Any], tuple[Stream, Schema]]
"""The stream and the schema of events, by their `meta.stream` and `$schema`."""


def validate(
    text: bytes,
    event: object,
    catalog: Catalog,
    schemas: SchemaRepository,
    now_ms: int,
    *,
    stream: Stream | None = None,
    new_id: str | None = None,
    request_id: str | None = None,
    hint: bool = True,
    ahead_ms: int = TIMESTAMP_AHEAD,
    known: Targets | None = None,
) -> Accepted:
    """The record of an event for the stream that its `meta.stream` names; `stream` is taken where it names none.

    `text` is the event as it came, and is stored as it is where nothing is missing; `event` what it says. `meta.id`
    (`new_id`, or a random one), `meta.dt`, `meta.stream` and (where one is given) `meta.request_id` are put in where
    they are missing and the schema allows them. Without `hint`, no time is spent on what a wrong name may mean.
    `ahead_ms` is how far the record's time may lie ahead of now; 0 is as far as it likes. `known` remembers what events
    of this catalogue and these schemas were for, as those of one request mostly are for the same. Raises InvalidEvent:
    no object, no such stream or schema, not valid, or no field that the record is made of.
    """
    if not isinstance(event, dict):
        raise InvalidEvent("the event is not a JSON object")
    meta = event.get("meta", {})
    if not isinstance(meta, dict):
        raise InvalidEvent("/meta: it is not an object; it takes one, such as {} or {stream: …}")
    found = None if known is None or stream is not None else _known(known, meta.get("stream"), event.get("$schema"))
    if found is None:
        found = _target(event, meta, catalog, schemas, stream, hint, known)
    target, schema = found
    if target.form != "json":
        return _in_form(text, event, meta, target, schema, now_ms, new_id, request_id, ahead_ms)
    added = _missing(meta, target, now_ms, new_id, request_id)
    if added:
        event, added = _completed(event, meta, added, schema)
        text = insert_meta(text, added)
    elif faults := schema.faults(event):
        raise InvalidEvent("; ".join(faults))
    key = key_of(event, target) if target.message_key_fields else None
    timestamp = now_ms if target.timestamp_field is None else timestamp_of(event, target, now_ms, ahead_ms)
    given_id = meta.get("id")
    record = NewRecord(text, key, timestamp)
    return Accepted(target, target.topics[0], record, given_id if isinstance(given_id, str) else None)


def _in_form(
    text: bytes,
    event: dict[str, Any],
    meta: dict[str, Any],
    target: Stream,
    schema: Schema,
    now_ms: int,
    new_id: str | None,
    request_id: str | None,
    ahead_ms: int,
) -> Accepted:
    """The record of an event for a stream of another form. `$schema` and `meta` are part of the value only where the
    schema names them: no Avro has a member `$schema`."""
    if schema.encode is None:
        raise InvalidEvent(f"/$schema: {schema.uri} is no schema of the registry that has those of {target.name}")
    own = schema.document.get("properties", {})
    value = {name: part for name, part in event.items() if name in own or name not in ("$schema", "meta")}
    if "meta" in own and (added := _missing(meta, target, now_ms, new_id, request_id)):
        value, _ = _completed(value, meta, added, schema)
    elif faults := schema.faults(value):
        raise InvalidEvent("; ".join(faults))
    try:
        data = schema.encode(value, len(text))
    except BadRecord as error:
        raise InvalidEvent(str(error)) from None
    complete = {**event, **value}
    key = key_of(complete, target) if target.message_key_fields else None
    given_id = meta.get("id")
    record = NewRecord(data, key, timestamp_of(complete, target, now_ms, ahead_ms))
    return Accepted(target, target.topics[0], record, given_id if isinstance(given_id, str) else None)


def _target(
    event: dict[str, Any],
    meta: dict[str, Any],
    catalog: Catalog,
    schemas: SchemaRepository,
    stream: Stream | None,
    hint: bool,
    known: Targets | None,
) -> tuple[Stream, Schema]:
    """The stream that takes the event, and its schema."""
    target = _stream(meta, catalog, stream, hint)
    if target.derive is not None:
        # Canaries too: one of now would be ahead of the rows that come.
        sources = ", ".join(made_of(target))
        raise InvalidEvent(f"/meta/stream: {target.name} is made of {sources}, and takes no other events")
    if target.form == "cloudevents":
        raise InvalidEvent(
            f"/meta/stream: {target.name} takes CloudEvents: send them as application/cloudevents+json, with "
            f"?stream={target.name}"
        )
    schema = _schema(event, target, schemas)
    if known is not None and stream is None:
        known[meta["stream"], event["$schema"]] = target, schema
    return target, schema


def _known(known: Targets, name: object, uri: object) -> tuple[Stream, Schema] | None:
    """What an event of these names was for; they may be anything."""
    return known.get((name, uri)) if type(name) is str and type(uri) is str else None


def _missing(
    meta: dict[str, Any], stream: Stream, now_ms: int, new_id: str | None, request_id: str | None
) -> dict[str, str]:
    """The members that `meta` lacks; optional ones come last."""
    missing: dict[str, str] = {}
    if "stream" in meta and "id" in meta and "dt" in meta and (request_id is None or "request_id" in meta):
        return missing
    if "stream" not in meta:
        missing["stream"] = stream.name
    if "id" not in meta:
        missing["id"] = new_id or random_uuid()
    if "dt" not in meta:
        missing["dt"] = iso_time(now_ms)
    if request_id is not None and "request_id" not in meta:
        missing["request_id"] = request_id
    return missing


def _completed(
    event: dict[str, Any], meta: dict[str, Any], added: dict[str, str], schema: Schema
) -> tuple[dict[str, Any], dict[str, str]]:
    """The event with what it lacks, and what was added. No addition makes a valid event invalid: where the schema has
    no place for all of them, it gets those without `request_id`, or none."""
    without = {name: value for name, value in added.items() if name != "request_id"}
    faults: list[str] = []
    for attempt in (added, without) if len(without) < len(added) else (added,):
        complete = {**event, "meta": {**meta, **attempt}}
        faults = schema.faults(complete)
        if not faults:
            return complete, attempt
    if own := schema.faults(event):
        # Fewer of them are faults of what was added, or of what was not.
        raise InvalidEvent("; ".join(own if len(own) < len(faults) else faults))
    return event, {}


def _stream(meta: dict[str, Any], catalog: Catalog, stream: Stream | None, hint: bool) -> Stream:
    name = meta.get("stream")
    if "stream" not in meta:
        if stream is None:
            raise InvalidEvent("/meta/stream: it is missing; it takes the name of a stream")
    elif not isinstance(name, str):
        raise InvalidEvent("/meta/stream: it is not a string; it takes the name of a stream")
    elif stream is None:
        # Aliases are for readers: the stored name must be the one that all events of the stream carry.
        stream = catalog.streams.get(name)
        if stream is None:
            if (named := catalog.get(name)) is not None:
                raise InvalidEvent(f'/meta/stream: "{name}" is an alias, for readers; it takes "{named.name}"')
            close = catalog.close_matches(name) if hint else ()
            told = f"; close to it: {', '.join(close)}" if close else ""
            raise InvalidEvent(f'/meta/stream: there is no stream "{name[:100]}"{told}')
    elif name != stream.name:
        raise InvalidEvent(f'/meta/stream: it is "{name[:100]}", but the event is for {stream.name}')
    if stream.schema_title is None:
        raise InvalidEvent(f"the stream {stream.name} has no schema_title, and so takes no events")
    return stream


def _schema(event: dict[str, Any], stream: Stream, schemas: SchemaRepository) -> Schema:
    if stream.form in REGISTERED and schemas.described(stream.name) is None:
        raise SchemaAway(stream.name)
    uri = event.get("$schema")
    if not isinstance(uri, str):
        what = "it is not a string" if "$schema" in event else "it is missing"
        raise InvalidEvent(f"/$schema: {what}; {_right(stream, schemas)}")
    schema = schemas.named(uri)
    if schema is None:
        raise InvalidEvent(f'/$schema: "{uri[:100]}" is in no schema repository; {_right(stream, schemas)}')
    if not stream.takes(schema.title):
        right = _right(stream, schemas)
        raise InvalidEvent(f"/$schema: the schema {schema.title} is not one that {stream.name} takes; {right}")
    return schema


def _right(stream: Stream, schemas: SchemaRepository) -> str:
    """The forms of `$schema` that the stream accepts."""
    newest = schemas.taken_by(stream)
    such_as = "" if newest is None else f", such as {newest.uri}"
    return f"it takes a version of {stream.schema_title}{such_as}"


def key_of(event: dict[str, Any], stream: Stream) -> bytes | None:
    """The key of the record: the one field as it is (a text) or as JSON, several as a JSON array. Raises InvalidEvent
    where a field is missing, or holds what has no bytes: without it the event would go to another partition than its
    like."""
    fields = stream.message_key_fields
    if not fields:
        return None
    values = [_at(event, path) for path in fields]
    for path, value in zip(fields, values, strict=True):
        if value is None:
            raise InvalidEvent(f"/{path.replace('.', '/')}: it is missing, and the record's key needs it")
    is_text = len(values) == 1 and isinstance(values[0], str) and stream.key_form != "json"
    try:
        return values[0].encode() if is_text else orjson.dumps(values if len(values) > 1 else values[0])
    except (UnicodeEncodeError, TypeError):
        paths = ", ".join(f"/{path.replace('.', '/')}" for path in fields)
        raise InvalidEvent(f"{paths}: half of a character, or nested too deep to be the record's key") from None


def timestamp_of(event: dict[str, Any], stream: Stream, now_ms: int, ahead_ms: int = TIMESTAMP_AHEAD) -> int:
    """Milliseconds since the epoch, rounded down: the stream's `timestamp_field`, or now if the stream has none. The
    field may hold all that `read_time` reads, which includes `format: date-time`, or a number of seconds or
    milliseconds. Raises InvalidEvent if the field is missing, not a time, or more than `ahead_ms` ahead of now. Such
    a record would stay the newest one for readers by time, and keep its topic from expiring."""
    path = stream.timestamp_field
    if path is None:
        return now_ms
    value = _at(event, path)
    time = time_of_value(value)
    if time is None:
        what = "missing" if value is None else "not a usable time"
        raise InvalidEvent(f"/{path.replace('.', '/')}: it is {what}; it takes ISO 8601, as in {iso_time(now_ms)}")
    if 0 < ahead_ms < time - now_ms:
        raise InvalidEvent(
            f"/{path.replace('.', '/')}: {iso_time(time)} is further ahead of now ({iso_time(now_ms)}) than "
            f"timestamp_ahead_max allows ({ahead_ms / 1000:g} s)"
        )
    return time


def _at(event: dict[str, Any], path: str) -> Any:
    part: Any = event
    for name in path.split("."):
        if not isinstance(part, dict):
            return None
        part = part.get(name)
    return part


def time_of_value(value: Any) -> int | None:
    """The value of a timestamp field in milliseconds since the epoch; None if it is not a time."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # Also false for a number that is not finite.
        if not _FIRST_TIME <= value <= _LAST_TIME:
            return None
        # The decimal that was written: in floating point, 1.001 seconds would be 1000 milliseconds.
        number = Decimal(repr(value))
        return math.floor(number * 1000 if abs(number) < LARGEST_SECONDS else number)
    if not isinstance(value, str):
        return None
    try:
        return read_time(value)
    except ValueError:
        return None

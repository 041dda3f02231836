"""Makes canary events from a schema's first example: they show whether a silent stream is empty or broken. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.intake.validate import LARGEST_SECONDS, Accepted, InvalidEvent, validate
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.times import iso_time

CANARY = "canary"
"""The `meta.domain` by which subscribers are spared them."""


def canary_event(stream: Stream, catalog: Catalog, schemas: SchemaRepository, now_ms: int) -> Accepted:
    """The record of a canary event for the stream, taken in like any other. Its time is now, also where the stream
    takes that from a field of its own. Raises InvalidEvent where the stream takes no events, its schema has no example,
    or the example does not make a valid event."""
    schema = canary_schema(stream, schemas)
    event = dict(schema.examples[0])
    given = event.get("meta")
    kept = {name: value for name, value in given.items() if name != "request_id"} if isinstance(given, dict) else {}
    event["$schema"] = schema.uri
    event["meta"] = {**kept, "stream": stream.name, "domain": CANARY, "id": str(uuid.uuid4()), "dt": iso_time(now_ms)}
    if stream.timestamp_field is not None:
        event = _at_time(event, stream.timestamp_field.split("."), now_ms)
    return validate(orjson.dumps(event), event, catalog, schemas, now_ms)


def canary_schema(stream: Stream, schemas: SchemaRepository) -> Schema:
    """The schema whose example is used: the newest of the stream's title; where that is a /regular expression/, of the
    first title with an example. Raises InvalidEvent."""
    if stream.schema_title is None:
        raise InvalidEvent("it has no schema_title, and so takes no events")
    newest = [
        schema for title in schemas.titles() if stream.takes(title) and (schema := schemas.get(title)) is not None
    ]
    if not newest:
        raise InvalidEvent(f"no schema repository has a schema that it takes: {stream.schema_title}")
    found = next((schema for schema in newest if schema.examples), None)
    if found is None:
        named = ", ".join(schema.uri for schema in newest[:3])
        raise InvalidEvent(f"a canary event is made of a schema's first example, and there is none in {named}")
    return found


def missing_canaries(catalog: Catalog, schemas: SchemaRepository, now_ms: int) -> Iterator[str]:
    """The reasons why streams with `canary_events_enabled` cannot have canary events, a line each. A schema that is
    in no repository is reported elsewhere."""
    for stream in catalog.streams.values():
        absent = stream.schema_title is not None and schemas.taken_by(stream) is None
        if stream.canary_events_enabled and stream.derive is None and not absent:
            try:
                canary_event(stream, catalog, schemas, now_ms)
            except InvalidEvent as error:
                yield f"{stream.name}: canary_events_enabled is set, but it can have none: {error}"


def _at_time(event: dict[str, Any], path: list[str], now_ms: int) -> dict[str, Any]:
    """The event with now at the path, in the form of what is there; as it is where nothing is."""
    name, *rest = path
    value = event.get(name)
    now: object
    if rest and isinstance(value, dict):
        now = _at_time(value, rest, now_ms)
    elif rest or value is None:
        return event
    elif isinstance(value, str):
        now = iso_time(now_ms)
    elif isinstance(value, int | float):
        now = now_ms // 1000 if abs(value) < LARGEST_SECONDS else now_ms
    else:
        return event
    return {**event, name: now}

"""Makes a dead letter of a rejected event: the raw event and the reason. Pure.

The fields are those of Wikimedia's error schema. So a stream may name that schema or the one that is shipped.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.intake.validate import Accepted, InvalidEvent, validate
from gateway.schemas.repository import SchemaRepository

EMITTER = "event-gateway"
RAW_EVENT_BYTES = 32 * 1024
"""The part of a rejected event that is kept."""
NAME_CHARACTERS = 512


def error_event(
    text: bytes, event: object, reason: str, target: Stream, catalog: Catalog, schemas: SchemaRepository, now_ms: int
) -> Accepted:
    """The dead letter for the error stream `target`. Raises InvalidEvent if that stream does not accept it."""
    schema = schemas.taken_by(target)
    if schema is None:
        raise InvalidEvent(f"the error stream {target.name} has no schema")
    stream, uri = named(event)
    told: dict[str, Any] = {
        "$schema": schema.uri,
        "meta": {"stream": target.name},
        "emitter_id": EMITTER,
        "error_type": "invalid",
        "message": reason,
        "raw_event": text[:RAW_EVENT_BYTES].decode(errors="replace"),
    }
    if stream is not None:
        told["errored_stream_name"] = stream[:NAME_CHARACTERS]
    if uri is not None:
        told["errored_schema_uri"] = uri[:NAME_CHARACTERS]
    # What was read by the slower decoder may hold halves of characters.
    told = orjson.loads(orjson.dumps({key: _whole(value) for key, value in told.items()}))
    return validate(orjson.dumps(told), told, catalog, schemas, now_ms)


def named(event: object) -> tuple[str | None, str | None]:
    """The stream and the schema that an event names, where it does."""
    if not isinstance(event, dict):
        return None, None
    meta = event.get("meta")
    stream = meta.get("stream") if isinstance(meta, dict) else None
    uri = event.get("$schema")
    return stream if isinstance(stream, str) else None, uri if isinstance(uri, str) else None


def _whole(value: Any) -> Any:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value

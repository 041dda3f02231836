"""Takes CloudEvents (CloudEvents 1.0, HTTP protocol binding) for a stream whose format they are. Pure.

They are stored as they came, in structured mode. The stream's schema describes the whole event.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.errors import BadRecord, Problem
from gateway.forms.cloudevents import binary, check_attributes
from gateway.intake.body import STRUCTURED
from gateway.intake.validate import TIMESTAMP_AHEAD, Accepted, InvalidEvent, key_of, timestamp_of
from gateway.model.glance import source_and_id
from gateway.model.record import NewRecord
from gateway.schemas.repository import SchemaRepository
from gateway.times import read_time

HEADER = b"ce-"
MARK = b"ce-specversion"
"""The header that makes a request an event in binary mode."""
MOST_ATTRIBUTES = 100
_NAME = re.compile(r"[a-z0-9]{1,100}")
_TEXTS = ("datacontenttype", "dataschema", "subject", "time")
STORED_AS = (("content-type", STRUCTURED.encode()),)
"""The headers of the record: those of the request never become its headers."""


def binary_body(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The event in binary mode, in structured mode. Raises Problem."""
    attributes: dict[str, str] = {}
    media_type = None
    for name, value in headers:
        if name == b"content-type":
            media_type = value.decode("latin-1")
        elif name.startswith(HEADER):
            attribute = name.removeprefix(HEADER).decode("latin-1")
            if attribute in attributes:
                raise _bad(attribute, "it is given more than once; send it once")
            if not _NAME.fullmatch(attribute) or attribute in ("data", "datacontenttype"):
                raise _bad(attribute, "it is no name of an attribute (a to z, 0 to 9)")
            attributes[attribute] = _decoded(attribute, value)
    if len(attributes) > MOST_ATTRIBUTES:
        raise Problem(400, "Bad body", f"a CloudEvent has at most {MOST_ATTRIBUTES} attributes here")
    try:
        return binary(attributes, media_type, body or None)
    except BadRecord as error:
        raise Problem(400, "Bad body", str(error)) from None


def _decoded(attribute: str, value: bytes) -> str:
    """The value of a header (HTTP protocol binding, section 3.1.3.2)."""
    text = value.decode("latin-1").strip()
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise _bad(attribute, "it is not UTF-8, percent-encoded") from None


def _bad(attribute: str, detail: str) -> Problem:
    return Problem(400, "Bad request", f"`ce-{attribute[:100]}`: {detail}", f"ce-{attribute[:100]}")


def stream_of(name: str | None, catalog: Catalog) -> Stream:
    """The stream of a request with CloudEvents. Raises Problem: all of its events are for it."""
    if name is None:
        raise Problem(400, "Bad request", "`stream`: it is missing; it names the stream of the CloudEvents", "stream")
    stream = catalog.streams.get(name)
    if stream is None:
        close = catalog.close_matches(name)
        hint = f"; close to it: {', '.join(close)}" if close else ""
        raise Problem(400, "Bad request", f"`stream`: there is no stream {name[:100]!r}{hint}", "stream")
    if stream.form != "cloudevents":
        raise Problem(400, "Bad request", f"`stream`: {stream.name} takes no CloudEvents (format)", "stream")
    return stream


def validate_cloudevent(
    text: bytes, event: object, stream: Stream, schemas: SchemaRepository, now_ms: int, ahead_ms: int = TIMESTAMP_AHEAD
) -> Accepted:
    """The record of a CloudEvent, which is stored as it is. Raises InvalidEvent."""
    if not isinstance(event, dict):
        raise InvalidEvent("the event is not a JSON object")
    if stream.schema_title is None:
        raise InvalidEvent(f"the stream {stream.name} has no schema_title, and so takes no events")
    try:
        check_attributes(event)
    except BadRecord as error:
        raise InvalidEvent(str(error)) from None
    for name, value in event.items():
        if name not in ("data", "data_base64"):
            _check(name, value)
    _check_data(event)
    schema = schemas.taken_by(stream)
    if schema is None:
        raise InvalidEvent(f"no schema repository has a schema that {stream.name} takes: {stream.schema_title}")
    if faults := schema.faults(event):
        raise InvalidEvent("; ".join(faults))
    key = key_of(event, stream) if stream.message_key_fields else _partition_key(event, stream)
    record = NewRecord(text, key, timestamp_of(event, stream, now_ms, ahead_ms), headers=STORED_AS)
    return Accepted(stream, stream.topics[0], record, source_and_id(event))


def _check(name: str, value: Any) -> None:
    """An attribute. Raises InvalidEvent."""
    if not _NAME.fullmatch(name):
        raise InvalidEvent(f"/{name[:100]}: it is no name of an attribute (a to z, 0 to 9)")
    if value is None:
        return  # As if it were not there (JSON event format, section 2.1).
    if isinstance(value, dict | list | float) or (name in _TEXTS and not isinstance(value, str)):
        raise InvalidEvent(f"/{name}: an attribute is a text, a whole number, or true or false")
    if name == "time":
        try:
            read_time(value)
        except ValueError:
            raise InvalidEvent("/time: it is not a usable time; it takes RFC 3339") from None


def _check_data(event: dict[str, Any]) -> None:
    data = event.get("data_base64")
    if data is None:
        return
    if event.get("data") is not None:
        raise InvalidEvent("/data_base64: an event has data or data_base64, not both")
    try:
        b64decode(data, validate=True)
    except (ValueError, TypeError):
        raise InvalidEvent("/data_base64: it is no Base64") from None


def _partition_key(event: dict[str, Any], stream: Stream) -> bytes | None:
    """That of the extension for partitioning."""
    key = event.get("partitionkey")
    if not isinstance(key, str) or not key:
        return None
    return orjson.dumps(key) if stream.key_form == "json" else key.encode()

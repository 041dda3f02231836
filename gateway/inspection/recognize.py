"""Guesses in which form the values of a topic are written, from a few of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.errors import BadRecord
from gateway.forms.frame import HEAD, schema_id
from gateway.model.event import parse_event
from gateway.model.record import Record
from gateway.text import printable

FRAMED = "framed"
"""With a schema registry's frame; which form it is, the registry knows."""
_KINDS = {"AVRO": "avro", "PROTOBUF": "protobuf", "JSON": "json-schema"}
_EVENT = ("id", "source", "specversion", "type")
"""The members that each CloudEvent has (its specification, version 1.0.2)."""


def form_of(record: Record) -> str | None:
    """`json`, `cloudevents`, FRAMED, or None where it is none of them."""
    headers = {name.lower() for name, _ in record.headers}
    if "ce_specversion" in headers or "ce-specversion" in headers:
        return "cloudevents"
    value = record.value
    if value is None:
        return None
    # Registries count from 1; the id 0 is seen where numbers of 8 bytes are taken for frames (Kafka's Long).
    if len(value) > HEAD and frame_id(record):
        return FRAMED
    try:
        event = parse_event(value)
    except BadRecord:
        return None
    return "cloudevents" if all(isinstance(event.get(name), str) for name in _EVENT) else "json"


def common_form(records: Iterable[Record]) -> tuple[str | None, int]:
    """The form that most records have which have a value, and how many have another one, or none."""
    forms = Counter(form_of(record) for record in records if record.value is not None or record.headers)
    if not forms:
        return None, 0
    known = [(count, form) for form, count in forms.items() if form is not None]
    form = max(known)[1] if known else None
    return form, sum(forms.values()) - forms[form]


def registered_form(kind: str) -> str | None:
    """The form of a stream for what a registry calls the kind of a schema."""
    return _KINDS.get(kind)


def frame_id(record: Record) -> int | None:
    """The id of the schema in the frame."""
    try:
        return schema_id(record.value or b"")
    except BadRecord:
        return None


def advice(form: str | None, value: bytes | None) -> str:
    """What to write in the stream, after its records were found to be in this form."""
    if form == FRAMED:
        return "it has a schema registry's frame: set format: avro, protobuf or json-schema, and schema_registry"
    if form == "cloudevents":
        return "it is a CloudEvent: set format: cloudevents"
    if form == "json":
        return "it is plain JSON: leave out format"
    text = (value or b"")[:1]
    return "it is a text, and no JSON object" if text.isalnum() or text in (b'"', b"[") else "its form is not known"


def cut(value: bytes, most: int = 160) -> str:
    """A JSON text for a terminal: on one line, and cut where it is long."""
    text = " ".join(value[: 4 * most].decode("utf-8", "replace").split())
    return printable(text if len(text) <= most else text[: most - 1] + "…")


def schema_of(event: Mapping[str, Any]) -> str | None:
    """What an event says of its schema."""
    found = event.get("$schema")
    return found if isinstance(found, str) else None

"""Makes records of the forms that streams declare into records of JSON. Asks nothing and waits for nothing: where a
schema is not known yet, it says which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import orjson

from gateway.catalog.stream import REGISTERED, Form, KeyForm, Stream
from gateway.errors import BadRecord
from gateway.forms.cloudevents import record_event
from gateway.forms.frame import schema_id
from gateway.forms.schema import KINDS, Schema, expected
from gateway.model.record import Record
from gateway.observability import telemetry
from gateway.text import printable


class Forms(NamedTuple):
    """How the values and keys of a topic are written."""

    value: Form
    key: KeyForm


PLAIN = Forms("json", "string")


class Schemas(Protocol):
    """What knows schemas by their ids; see Registry."""

    def known(self, number: int) -> Schema | None:
        """The schema; None where it has to be fetched. Raises BadRecord where there is none."""
        ...

    def note(self, topic: str, number: int) -> None:
        """A value of the topic was written with this schema."""
        ...


class SchemaMissing(Exception):
    """A schema has to be fetched before the record can be read."""

    def __init__(self, number: int) -> None:
        super().__init__(f"schema {number}")
        self.number = number


def declared_forms(streams: Iterable[Stream]) -> dict[str, Forms]:
    """All topics of these streams with their forms; streams over one topic agree in them."""
    return {topic: Forms(stream.form, stream.key_form) for stream in streams for topic in stream.topics}


def forms_of(streams: Iterable[Stream]) -> dict[str, Forms]:
    """The topics that are not plain JSON, with their forms."""
    return {topic: forms for topic, forms in declared_forms(streams).items() if forms != PLAIN}


def converted(record: Record, forms: Forms, schemas: Schemas) -> Record:
    """The record with its value as JSON and its key as text; with its fault where it cannot be read. Raises
    SchemaMissing."""
    try:
        record = record._replace(key=_key(record.key, forms.key, schemas))
        value = _value(record, forms.value, schemas)
    except BadRecord as error:
        return record._replace(value=b"", headers=(), fault=printable(str(error)))
    except SchemaMissing:
        raise
    except Exception as error:
        # A mistake of our own, or of a library, is the trouble of this record and of no other.
        telemetry.mistake("forms", error)
        return record._replace(value=b"", headers=(), fault=f"an internal error ({type(error).__name__})")
    # Those of CloudEvents have become members.
    return record._replace(value=value, headers=() if forms.value == "cloudevents" else record.headers)


def ids_of(record: Record, forms: Forms) -> list[int]:
    """The ids of the schemas that the record is written with, as far as it names any."""
    found = []
    for part, form in ((record.key, forms.key), (record.value, forms.value)):
        if part is not None and form in REGISTERED:
            try:
                found.append(schema_id(part))
            except BadRecord:
                continue
    return found


def _value(record: Record, form: Form, schemas: Schemas) -> bytes | None:
    value = record.value
    if form == "cloudevents":
        return record_event(value, record.headers)
    if value is None or form == "json":
        return value
    converted = _schema(value, form, schemas).convert(value)
    schemas.note(record.topic, schema_id(value))
    return converted


def _key(key: bytes | None, form: KeyForm, schemas: Schemas) -> bytes | None:
    """A text stands for itself, anything else for its JSON."""
    if key is None or form == "string":
        return key
    try:
        text = key if form == "json" else _schema(key, form, schemas).convert(key)
        value = orjson.loads(text)
    except BadRecord as error:
        raise BadRecord(f"its key: {error}") from None
    except orjson.JSONDecodeError:
        raise BadRecord("its key is not JSON") from None
    return value.encode() if isinstance(value, str) else _key_text(value)


def _key_text(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # It reads more levels than it writes.
        raise BadRecord("its key is nested too deep") from None


def _schema(value: bytes, form: str, schemas: Schemas) -> Schema:
    number = schema_id(value)
    schema = schemas.known(number)
    if schema is None:
        raise SchemaMissing(number)
    expected(KINDS, form, schema)
    return schema

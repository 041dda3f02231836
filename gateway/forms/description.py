"""Describes schemas of a registry as JSONSchemas, for the documents of the gateway and for the tables of archives. Slow
for large schemas: run it on a thread."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from gateway.errors import BadRecord
from gateway.forms.avro import AvroReader
from gateway.forms.avro_shape import avro_shape
from gateway.forms.bounds import UnusableSchema
from gateway.forms.described import Shape, either
from gateway.forms.schema import Source, avro_of, check_size, protobuf_of, read_json
from gateway.forms.writing import encoder
from gateway.schemas.references import BadReferenceError, dereference
from gateway.schemas.repository import Described, Schema, registered
from gateway.schemas.validator import NEWEST_DRAFT, BadSchemaError, compile_validator, draft_of

PREFIX = "registry/"
"""How the titles of a registry's schemas begin."""
LONGEST_TITLE = 200

_UNFIT = re.compile(r"[^A-Za-z0-9._/-]|(?<![^/])(?=[/.-])|/$")


class Undescribed(Exception):
    """A schema of which there is no JSONSchema; the message says why."""


def title_of(subject: str) -> str:
    """The title of a subject's schemas. No other subject has it: what no title may hold is followed by a hash."""
    title = _UNFIT.sub("_", subject)[:LONGEST_TITLE].rstrip("/") or "_"
    if title == subject:
        return PREFIX + title
    return f"{PREFIX}{title}-{hashlib.blake2b(subject.encode(errors='replace'), digest_size=4).hexdigest()}"


def describe(
    subject: str, version: int, source: Source, paths: Iterable[tuple[int, ...]] = (), number: int = 0
) -> Schema:
    """The JSONSchema of the values that a version of a subject writes, whose id is `number`. `paths` are the messages
    of Protobuf that values are; without any, it is the first. Raises Undescribed."""
    title, shown = title_of(subject), f"{version}.0.0"
    try:
        check_size(source)
        messages = sorted(paths) or [(0,)]
        shape = _shape(f"/{title}/{shown}", source, messages)
        document = {"$id": f"/{title}/{shown}", "title": title, **shape}
        return registered(title, shown, document, encoder(number, source, messages[0]))
    except (UnusableSchema, BadReferenceError, BadSchemaError, BadRecord) as error:
        raise Undescribed(f"{subject[:200]} {version}: {error}") from error


def together(schemas: list[Schema]) -> Described:
    """What describes the events that any of these describes, the newest first."""
    newest = schemas[0]
    if len(schemas) == 1:
        return Described(newest, tuple(schemas))
    shapes = [{key: value for key, value in one.document.items() if key not in ("$id", "title")} for one in schemas]
    document = {"$id": newest.uri, "title": newest.title, **either(shapes)}
    return Described(registered(newest.title, newest.version, document), tuple(schemas))


def _shape(uri: str, source: Source, paths: list[tuple[int, ...]]) -> Shape:
    if source.kind == "AVRO":
        parsed, referred = avro_of(source)
        AvroReader(parsed, referred)  # What it refuses is not described either.
        return avro_shape(parsed, referred)
    if source.kind == "PROTOBUF":
        from gateway.forms.protobuf_shape import protobuf_shape

        reader = protobuf_of(source)
        return either(protobuf_shape(reader.message(path)) for path in paths)
    if source.kind != "JSON":
        raise UnusableSchema(f"it is of the kind {source.kind[:50]}")
    return _json_schema(uri, source)


def _json_schema(uri: str, source: Source) -> Shape:
    """The schema itself, without its references."""
    document = read_json(source.text)
    if not isinstance(document, dict):
        raise UnusableSchema("it is not an object")
    base = uri.rpartition("/")[0]
    others = {f"{base}/{one.name.lstrip('/')}": read_json(one.text) for one in source.referred}

    def find(path: str) -> tuple[str, dict[str, Any]] | None:
        found = others.get(path)
        return (path, found) if isinstance(found, dict) else None

    modern = draft_of(document) >= "2019"
    shape = dereference(uri, document, find, modern)
    compile_validator(shape, draft_of(document))  # What cannot be used is not shown.
    draft = {"$schema": document["$schema"]} if draft_of(document) != NEWEST_DRAFT else {}
    return draft | {key: value for key, value in shape.items() if key not in ("$id", "id", "title", "$schema")}

"""The schema of a derived stream's rows, as a file to be reviewed: inferred once, and checked from then on. Pure."""

from __future__ import annotations

from typing import Any

from gateway.catalog.stream import Stream
from gateway.derive.declared import Found
from gateway.derive.shape import schema_of
from gateway.schemas.repository import SchemaRepository

COMMON = "fragment/common"
"""The schema of what every event has, where a repository holds one of that title."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"
"""The `$schema` of the schemas that are written."""
FIRST_VERSION = "1.0.0"
"""Of the schema of a new stream."""


def schema_document(stream: Stream, found: Found, schemas: SchemaRepository) -> dict[str, Any]:
    """The schema of the rows. A member that may be missing is not required."""
    title = stream.schema_title or stream.name
    common = schemas.get(COMMON)
    document: dict[str, Any] = {
        "title": title,
        "description": stream.description or stream.title,
        "$id": f"/{title}/{FIRST_VERSION}",
        "$schema": DRAFT,
        "type": "object",
    }
    if common is not None:
        document["allOf"] = [{"$ref": f"{common.uri}#"}]
    own = {} if common is not None else _envelope()
    document["properties"] = own | {name: schema_of(one.reading) for name, one in found.members.items()}
    document["required"] = [*own, *(name for name, one in found.members.items() if one.always)]
    return document


def _envelope() -> dict[str, Any]:
    text = {"type": "string"}
    meta = {"id": text | {"format": "uuid"}, "dt": text | {"format": "date-time"}, "stream": text}
    return {"$schema": text, "meta": {"type": "object", "properties": meta, "required": ["id", "dt", "stream"]}}

"""The schemas of the events of streams, as components."""

from __future__ import annotations

from gateway.description.facts import Facts
from gateway.description.parts import TEXT, Json, component, record
from gateway.schemas.modern import modernized
from gateway.schemas.repository import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""Of all schemas in the document: those of older drafts are rewritten, since few readers of OpenAPI know several."""

ANY_EVENT = record(
    {"$schema": TEXT, "meta": {"type": "object"}},
    ("$schema", "meta"),
    additionalProperties=True,
    description="An event: a JSON object.",
)


def name_of(schema: Schema) -> str:
    """The name of its component, which may hold no slash. No other schema has it: a dot becomes two, and a part of a
    title begins with none."""
    return f"{schema.title.replace('.', '..').replace('/', '.')}-{schema.version}"


def told(facts: Facts) -> dict[str, Schema]:
    """The newest schemas of all streams that are told of, by component."""
    return {name_of(schema): schema for stream in facts.catalog.streams.values() for schema in facts.schemas_of(stream)}


def components(facts: Facts) -> Json:
    """`Event` is what a stream sends, `Sent` what the intake takes; and the schemas that they refer to."""
    schemas = told(facts)
    names = [component(name) for name in schemas]
    free = any(not facts.schemas_of(stream) for stream in facts.catalog.streams.values())
    sent = record(
        {
            "$schema": {**TEXT, "description": "Title and version of the schema, such as /wiki/change/1.0.0."},
            "meta": record({"stream": {**TEXT, "description": "The stream of the event."}}, additionalProperties=True),
        },
        # Said, since what was generated leaves out members of which nothing is.
        additionalProperties=True,
        description="An event to store. It must be valid against the schema that it names.",
    )
    return {
        "Event": {"anyOf": [*names, ANY_EVENT]} if names and free else {"anyOf": names} if names else ANY_EVENT,
        "Sent": sent,
        **{name: _component(schema) for name, schema in schemas.items()},
    }


def _component(schema: Schema) -> Json:
    document = modernized(schema.document)
    document.pop("id", None)
    return {**document, "$schema": DIALECT, "$id": schema.uri}

"""The schemas of the events of streams, as components."""

from __future__ import annotations

import re

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


def told(facts: Facts, taken: bool = False) -> dict[str, Schema]:
    """The newest schemas of all described streams, by component; `taken`: of those that take events as JSON."""
    streams = [one for one in facts.catalog.streams.values() if not taken or facts.takes_json(one)]
    return {name_of(schema): schema for stream in streams for schema in facts.schemas_of(stream)}


def models(facts: Facts) -> dict[str, Schema]:
    """These schemas by names that differ in letters and digits. Generators of clients name classes by these alone,
    ignore case, and leave out the second of two equal names."""
    found: dict[str, Schema] = {}
    taken: set[str] = set()
    for name, schema in told(facts).items():
        distinct, number = name, 1
        while (plain := re.sub("[^a-z0-9]", "", distinct.casefold())) in taken:
            number += 1
            distinct = f"{name}-{number}"
        taken.add(plain)
        found[distinct] = schema
    return found


def event(facts: Facts) -> Json:
    """Where what a stream sends is described. One schema alone is made no union: openapi-python-client loses both."""
    names = list(models(facts))
    return component(names[0] if len(names) == 1 and not _has_free(facts) else "Event")


def components(facts: Facts) -> Json:
    """`Event` is what a stream sends, where that is no schema by itself; `Sent` what the intake takes; and all
    schemas."""
    schemas = models(facts)
    names = [component(name) for name in schemas]
    if _has_free(facts):
        names.append(ANY_EVENT)
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
        **({"Event": {"anyOf": names} if schemas else ANY_EVENT} if event(facts) == component("Event") else {}),
        "Sent": sent,
        **{name: _component(name, schema) for name, schema in schemas.items()},
    }


def _has_free(facts: Facts) -> bool:
    """Whether a stream has events of any form."""
    return any(not facts.schemas_of(stream) for stream in facts.catalog.streams.values())


def _component(name: str, schema: Schema) -> Json:
    document = modernized(schema.document)
    document.pop("id", None)
    # Its own title is the end of its `$id`. Classes are named after this member: of `wiki/change` after `change` alone.
    return {**document, "$schema": DIALECT, "$id": schema.uri, "title": name}

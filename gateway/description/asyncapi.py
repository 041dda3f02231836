"""`/asyncapi.json`: AsyncAPI 3.0 from the side of a client, which receives from streams and sends to the intake."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from gateway.catalog.lineage import made_of
from gateway.catalog.stream import Stream
from gateway.description.events import ANY_EVENT, name_of, told
from gateway.description.facts import Facts
from gateway.description.parts import PROBLEM, TEXT, Json, record
from gateway.description.streams import PARAMETERS
from gateway.schemas.repository import Schema
from gateway.schemas.validator import draft_of

HTTP_BINDING = "0.3.0"
_DRAFTS = {"04": "draft-04", "06": "draft-06", "07": "draft-07"}
_GAP = record(
    {
        "topic": TEXT,
        "partition": {"type": "integer"},
        "requested": {"type": "integer"},
        "resumed": {"type": "integer"},
        "reason": {"enum": ["expired", "future", "unknown"]},
    },
    ("requested", "resumed"),
)
_NOTICES: dict[str, tuple[str, Json]] = {
    "gap": ("Requested events no longer exist.", _GAP),
    "error": ("A permanent problem; the stream ends.", PROBLEM),
    "end": ("A finite stream is complete.", record({"reason": {"enum": ["limit", "until"]}})),
}
"""The messages of a stream beside events."""


def asyncapi(facts: Facts, base: str) -> Json:
    """The document; `base` is the address that the gateway was asked under, such as http://localhost:8080/."""
    schemas = told(facts)
    streams = [stream for stream in facts.catalog.streams.values() if "/" not in stream.name and "~" not in stream.name]
    channels = {stream.name: _channel(facts, stream) for stream in streams}
    operations = {f"receive-{stream.name}": _receive(facts, stream) for stream in streams}
    taken = [name_of(schema) for schema in told(facts, taken=True).values()]
    if facts.intake and taken:
        intake = _free("intake", channels)
        channels[intake] = _intake_channel(taken)
        operations["send"] = _send(intake, taken)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Event gateway",
            "version": facts.version,
            "description": "Live event streams over HTTP, from the side of a client. It receives from streams "
            "(server-sent events or JSON lines), and sends to the intake. /openapi.json describes the requests.",
        },
        "defaultContentType": "application/json",
        "servers": {"gateway": {**server_address(base), "description": "This server."}},
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {
                **{name_of(schema): _message(schema) for schema in schemas.values()},
                "event": {"name": "message", "title": "An event", "payload": ANY_EVENT},
                **{
                    name: {"name": name, "title": f"`event: {name}`", "summary": summary, "payload": payload}
                    for name, (summary, payload) in _NOTICES.items()
                },
            }
        },
    }


def server_address(base: str) -> Json:
    """The members of a server object that tell its address."""
    address = urlsplit(base)
    pathname = {"pathname": address.path.rstrip("/")} if address.path.strip("/") else {}
    return {"host": address.netloc, "protocol": address.scheme, **pathname}


def _channel(facts: Facts, stream: Stream) -> Json:
    sources = [name for name in made_of(stream) if name in facts.catalog.streams]
    return {
        "address": f"/v2/stream/{quote(stream.name)}",
        "title": stream.title or stream.name,
        "description": stream.description,
        "messages": {name: _component(name) for name in _messages(facts, stream)},
        **({"x-derived-from": sources} if sources else {}),
    }


def _messages(facts: Facts, stream: Stream) -> list[str]:
    return [*([name_of(schema) for schema in facts.schemas_of(stream)] or ["event"]), *_NOTICES]


def _receive(facts: Facts, stream: Stream) -> Json:
    query = {
        "type": "object",
        "properties": {name: {**schema, "description": text} for name, (text, schema, _) in PARAMETERS.items()},
        "additionalProperties": False,
    }
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{stream.name}"},
        "summary": f"Follow {stream.title or stream.name}",
        "bindings": {"http": {"method": "GET", "query": query, "bindingVersion": HTTP_BINDING}},
        "messages": [{"$ref": f"#/channels/{stream.name}/messages/{name}"} for name in _messages(facts, stream)],
    }


def _intake_channel(names: list[str]) -> Json:
    return {
        "address": "/v1/events",
        "title": "Intake",
        "description": "Takes events; `meta.stream` names the stream of each.",
        "messages": {name: _component(name) for name in names},
    }


def _free(name: str, taken: Mapping[str, Json]) -> str:
    """The name, with as many dashes as no stream has behind it."""
    while name in taken:
        name += "-"
    return name


def _send(channel: str, names: list[str]) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": "Send an event",
        "bindings": {"http": {"method": "POST", "bindingVersion": HTTP_BINDING}},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _message(schema: Schema) -> Json:
    """An event of a schema, which stays in the draft that it is written in."""
    draft = draft_of(schema.document)
    document = {key: value for key, value in schema.document.items() if key not in ("id", "$id")}
    message: Json = {
        "name": "message",
        "title": schema.title,
        "contentType": "application/json",
        "payload": {
            "schemaFormat": f"application/schema+json;version={_DRAFTS.get(draft, draft)}",
            "schema": document,
        },
    }
    if schema.examples:
        message["examples"] = [{"payload": example} for example in schema.examples]
    return message


def _component(name: str) -> Json:
    return {"$ref": f"#/components/messages/{name}"}

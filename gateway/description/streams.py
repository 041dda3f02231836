"""`GET /v2/stream/{streams}`. No other module defines its parameters."""

from __future__ import annotations

import json

from gateway.description.events import event
from gateway.description.facts import Facts
from gateway.description.parts import TEXT, Json, answer, parameter, problems

_POSITION = "Resume after this position: the last `id` that you received, a JSON array or a compact text"

PARAMETERS: dict[str, tuple[str, Json, str | None]] = {
    "since": (
        "Start with the first event at or after this time: RFC 3339 or ISO 8601, milliseconds since 1970, or a time "
        "span before now (`10m`, `2h`, `7d`). A date is midnight, and UTC is the default. Without a time, or with a "
        "future one, start live.",
        TEXT,
        "10m",
    ),
    "until": (
        "Stop before the first event at or after this time. It has the forms of `since`, and must be later.",
        TEXT,
        "0m",
    ),
    "limit": (
        "End the response after this many events.",
        {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        "10",
    ),
    "filter": (
        "A CEL expression; only events for which it is true are sent. Its variables are `event`, `topic`, "
        "`partition`, `offset`, `timestamp` (milliseconds) and `key`.",
        TEXT,
        'event.wiki == "enwiki" && !event.bot',
    ),
    "fields": (
        "Comma-separated dotted paths. Events are cut down to these fields, `$schema` and `meta`.",
        TEXT,
        "title,user",
    ),
    "last_event_id": (
        f"{_POSITION}. For clients that cannot set the header `Last-Event-ID`, which takes precedence.",
        TEXT,
        None,
    ),
    "lastEventId": ("The same as `last_event_id`; send one of the two.", TEXT, None),
    "ids": (
        "The form of ids: `json`, or `compact` for a short opaque text. By default, ids that may be long as JSON are "
        "compact. Both forms are accepted.",
        {"type": "string", "enum": ["json", "compact"]},
        "compact",
    ),
    "canary": (
        "Whether canary events (`meta.domain` is `canary`) are sent.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
        "true",
    ),
}
"""Each query parameter: what it is, its schema, and an example where that does not depend on the streams."""

SAME_AS_HEADER = ("last_event_id", "lastEventId")
"""Parameters for clients that cannot set the header `Last-Event-ID`. OpenAPI describes the header alone, and names
these in words: to generators of clients all three are one name, `last_event_id`, and they give up."""

MEDIA_TYPES = {
    "text/event-stream": "Server-sent events: `id:` is the position after the event, `data:` the event as stored.",
    "application/*": "`application/x-ndjson`, or `application/json` for clients that accept nothing else: one event "
    "per line. An empty line is a heartbeat. Objects with `$gap` or `$error` report what those events report.",
    "text/csv": "A table (RFC 4180) with a header line, for responses with `limit` or `until`: a column for each path "
    "in `fields`, or for each member of the schema that is no object or array. Objects and arrays are JSON text. A "
    "response that lacks something is broken off.",
}
"""A range (OpenAPI 3.1, media types) for newline-delimited JSON. A generated client takes any type with `json` in
its name for one JSON document, asks for it rather than for a stream, and fails."""


def stream(facts: Facts) -> Json:
    """The operation."""
    example = facts.example_stream()
    position = None
    if example is not None:
        position = json.dumps([{"topic": example.topics[0], "partition": 0, "timestamp": 1_772_357_213_000}])
    return {
        "operationId": "subscribe",
        "tags": ["streams"],
        "summary": "Subscribe to streams",
        "description": (
            "Sends events live, or from a time or position. The response is endless unless `limit` or `until` is "
            "set. After a disconnect, send back the last `id`, as EventSource does: no event is lost or repeated. "
            "Besides `message`, there are the events `gap` (requested events have expired), `error` (a permanent "
            "problem) and `end` (of a finite response)."
        ),
        "parameters": [
            parameter(
                "streams",
                "path",
                "Names, aliases or globs (`*`, `?`) of streams, separated by commas; at most "
                f"{facts.limits.maximum_streams}.",
                {**TEXT, "minLength": 1},
                **({} if example is None else {"example": example.name}),
            ),
            *(_query(facts, name) for name in PARAMETERS if name not in SAME_AS_HEADER),
            parameter(
                "Last-Event-ID",
                "header",
                f"{_POSITION}. At most {facts.limits.last_event_id_max} bytes. It takes precedence over `since`. "
                "Clients that cannot set the header can send one of the query parameters "
                f"`{'` and `'.join(SAME_AS_HEADER)}`; the header takes precedence.",
                TEXT,
                **({} if position is None else {"example": position}),
            ),
        ],
        "responses": {
            "200": answer(
                "The events.",
                {kind: _content(facts, description) for kind, description in MEDIA_TYPES.items()},
                (
                    "Cache-Control",
                    "Connection",
                    "Content-Encoding",
                    "Event-Gateway",
                    "Event-Gateway-Heartbeat",
                    "Event-Gateway-Log",
                    "Gateway-Warning",
                    "Vary",
                    "X-Accel-Buffering",
                ),
            ),
            "204": answer(
                "The requested range has ended already; EventSource stops.",
                None,
                ("Cache-Control", "Gateway-Warning"),
            ),
            **problems("NotFound", "NotAcceptable", "TooMany", "Unavailable", *(["Unauthorized"] * facts.tokens)),
        },
    }


def _query(facts: Facts, name: str) -> Json:
    description, schema, example = PARAMETERS[name]
    if name == "filter":
        schema = {**schema, "maxLength": facts.limits.filter_max_length}
    shown: object = example
    if schema.get("type") == "integer" and isinstance(shown, str):
        shown = int(shown)
    return parameter(name, "query", description, schema, **({} if shown is None else {"example": shown}))


def _content(facts: Facts, description: str) -> Json:
    return {"schema": {"type": "string", "description": description}, "x-event": event(facts)}

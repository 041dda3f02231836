"""`POST /v1/events`. No other module defines its parameters."""

from __future__ import annotations

from gateway.description.facts import Facts
from gateway.description.parts import COUNT, TEXT, Json, answer, component, json_of, parameter, problems, record
from gateway.intake.body import BATCHED, CODINGS, JSON, REPORTS, STRUCTURED
from gateway.intake.body import TEXT as PLAIN

PARAMETERS: dict[str, tuple[str, Json]] = {
    "hasty": (
        "Answer before the log has acknowledged the events.",
        {"type": "string", "enum": ["true", "false"], "default": "false"},
    ),
    "stream": ("The stream of CloudEvents; other events name theirs.", TEXT),
}
"""Each query parameter: what it is, and its schema."""

_LISTS = {name: {"type": "array", "items": component("Refused")} for name in ("invalid", "error")}


def intake(facts: Facts) -> Json:
    """The operation."""
    limits = facts.limits
    stored = record({"stored": COUNT, "repeated": COUNT})
    accepted = record({"accepted": COUNT, "repeated": COUNT})
    some = {
        "oneOf": [
            record({"stored": COUNT, "repeated": COUNT, **_LISTS}),
            record({"accepted": COUNT, "repeated": COUNT, **_LISTS}),
        ]
    }
    none = {"allOf": [component("Problem"), {"type": "object", "properties": _LISTS}]}
    refused = {"application/problem+json": {"schema": none}}
    return {
        "operationId": "send",
        "tags": ["intake"],
        "summary": "Send events",
        "description": (
            "Takes one event or an array of events. Validates each against the schema in its `$schema`, and stores its "
            "bytes in the stream in its `meta.stream`. Adds `meta.id`, `meta.dt` and `meta.request_id` if they are "
            "missing. An event that is sent again, with the same `meta.id` or `Idempotency-Key`, is stored once "
            f"and counts as `repeated`. At most {limits.intake_max_events} events and "
            f"{limits.intake_max_bytes} bytes, {limits.intake_event_max_bytes} bytes per event."
        ),
        "parameters": [
            *(
                parameter(name, "query", description, schema, example=schema.get("enum", ["orders"])[0])
                for name, (description, schema) in PARAMETERS.items()
            ),
            parameter(
                "Content-Encoding",
                "header",
                f"The content coding of the body: {' or '.join(CODINGS)}; by default none.",
                {**TEXT, "enum": ["identity", *CODINGS]},
                example="identity",
            ),
            parameter(
                "Idempotency-Key",
                "header",
                "Identifies a request that is sent again, for events without `meta.id`.",
                {**TEXT, "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]+$"},
                example="8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            parameter(
                "X-Request-Id",
                "header",
                "Becomes the `meta.request_id` of events without one.",
                {**TEXT, "pattern": "^[!-~]{1,256}$"},
                example="a-1",
            ),
        ],
        "requestBody": {
            "required": True,
            "description": f"An event, or an array of them, as `{JSON}`. Pages may send the same as `{PLAIN}`, as "
            f"navigator.sendBeacon does, and browsers their reports as `{REPORTS}` (Reporting API). CloudEvents are "
            f"`{STRUCTURED}` or `{BATCHED}`, or have their attributes in `ce-` headers. `stream` names theirs.",
            # Alone: of a body of several types, what generators make cannot be called.
            "content": {JSON: _body(facts)},
        },
        "responses": {
            **problems(
                "RequestTimeout",
                "TooLarge",
                "UnsupportedType",
                "KeyUsed",
                "TooMany",
                "Unavailable",
                *(["Unauthorized"] * facts.tokens),
            ),
            "201": answer("All events are stored; the log has acknowledged them.", json_of(stored), ("Cache-Control",)),
            "202": answer(
                "All events are valid and on their way to the log (`hasty`).", json_of(accepted), ("Cache-Control",)
            ),
            "207": answer("Some events are stored, others are not.", json_of(some), ("Cache-Control", "Retry-After")),
            "400": answer(
                "No event is stored: the events are `invalid`, the log did not take them (`error`), or the request "
                "itself is invalid.",
                refused,
                ("Cache-Control", "WWW-Authenticate", "Connection"),
            ),
        },
    }


def _body(facts: Facts) -> Json:
    one = component("Sent")
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": facts.limits.intake_max_events}
    example = facts.example_event()
    return {"schema": {"oneOf": [one, many]}} | ({} if example is None else {"example": example})

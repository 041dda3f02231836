"""`POST /explorer/trial`."""

from __future__ import annotations

from gateway.description.facts import Facts
from gateway.description.parts import COUNT, TEXT, TIME, Json, answer, json_of, parameter, problems, record

_PLACED = record({"line": {"type": "integer", "minimum": 1}, "text": TEXT})
_COUNTS = record(dict.fromkeys(("records", "rows", "late", "errors", "waiting"), COUNT))
_ROW = record(
    {"time": TEXT, "key": {"type": ["string", "null"]}, "value": {"type": ["object", "null"]}},
    description="A row as it would be stored; without a value, its key is deleted.",
)
_REFUSED = record(
    {
        "kind": {"enum": ["late", "invalid"]},
        "reason": TEXT,
        "place": {
            "oneOf": [record({"topic": TEXT, "partition": COUNT, "offset": COUNT}), {"type": "null"}],
            "description": "The record of the source.",
        },
    }
)
_FOUND = record(
    {
        "mistakes": {"type": "array", "items": _PLACED, "description": "With any, nothing is run."},
        "warnings": {"type": "array", "items": _PLACED},
        "schema": {"type": ["string", "null"], "description": "The schema of the rows, as YAML."},
        "stream": TEXT,
        "operator": TEXT,
        "complete": {"type": "boolean", "description": "Whether all events of the time were read."},
        "from": {**TIME, "description": "The time of the first record that was read."},
        "to": {**TIME, "description": "The time of the last record that was read."},
        "counts": _COUNTS,
        "rows": {"type": "array", "items": _ROW, "description": "The newest rows, the newest first."},
        "refused": {"type": "array", "items": _REFUSED, "description": "Late and invalid events, the newest first."},
        "stopped": {"type": ["string", "null"], "description": "Why the trial ended early."},
    },
    (
        *("mistakes", "warnings", "schema", "stream", "operator", "complete"),
        *("from", "to", "counts", "rows", "refused", "stopped"),
    ),
)


def trial(facts: Facts) -> Json:
    """The operation."""
    return {
        "operationId": "tryDeclaration",
        "tags": ["streams"],
        "summary": "Try a derived stream",
        "description": (
            "Checks the declaration of a derived stream, and runs it on the newest events of its sources. Nothing is "
            "stored. The events count as history, and the time as the work of filters."
        ),
        "parameters": [
            parameter(
                "last", "query", "How far back to read, from `1s` to `1h`.", {**TEXT, "default": "10m"}, example="10m"
            )
        ],
        "requestBody": {
            "required": True,
            "description": "The stream as in the configuration, in YAML.",
            "content": {"application/yaml": {"schema": TEXT}},
        },
        "responses": {
            "200": answer("What the declaration gives.", json_of(_FOUND), ("Cache-Control", "Vary")),
            **problems(
                "RequestTimeout",
                "TooLarge",
                "UnsupportedType",
                "TooMany",
                "Unavailable",
                *(["Unauthorized"] * facts.tokens),
            ),
        },
    }

"""`GET /v2/streams/{names}/counts`."""

from __future__ import annotations

from gateway.description.facts import Facts
from gateway.description.parts import COUNT, TEXT, Json, answer, json_of, parameter, problems, record

COUNTS_PATH = "/v2/streams/{names}/counts"

PARAMETERS: dict[str, tuple[str, Json, str | int]] = {
    "since": (
        "Count from this time on, in the forms of `since` of a stream. By default, from an hour ago.",
        TEXT,
        "6h",
    ),
    "until": ("Count up to just before this time. By default, up to now.", TEXT, "0m"),
    "step": (
        "The length of a bucket, such as `30s`, `1m` or `1h`; there are at most 1,000 buckets. Send `step` or "
        "`buckets`, not both.",
        TEXT,
        "1m",
    ),
    "buckets": (
        "About how many buckets there should be, of a round length.",
        {"type": "integer", "minimum": 1, "maximum": 1000, "default": 60},
        60,
    ),
    "filter": ("Count only events for which this CEL expression is true.", TEXT, 'event.wiki == "enwiki"'),
    "by": ("The dotted path of a member whose commonest values are counted, such as `user`.", TEXT, "user"),
    "values": (
        "How many values of `by` there are at most.",
        {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        10,
    ),
}
"""Each query parameter: what it is, its schema, and an example."""

_COUNTS = record(
    {
        "step": {**TEXT, "description": "The length of a bucket, in the form of the parameter."},
        "from": {**TEXT, "format": "date-time", "description": "The start of the first bucket, a multiple of `step`."},
        "to": {**TEXT, "format": "date-time", "description": "The end of the last bucket, which may be shorter."},
        "scanned": {**COUNT, "description": "The number of records that the counts rest on."},
        "exact": {
            "type": "boolean",
            "description": "Whether all records were looked at. If not, the counts are estimated from some of them.",
        },
        "counts": {"type": "array", "items": COUNT, "description": "The number of events in each bucket."},
        "values": {
            "type": "array",
            "items": record({"value": {"type": ["string", "number", "boolean", "null"]}, "count": COUNT}),
            "description": "The commonest values of `by`, the most frequent first.",
        },
    },
    ("values",),
    description="Events by time.",
)


def counts(facts: Facts) -> Json:
    """The operation."""
    example = facts.example_stream()
    names = parameter(
        "names",
        "path",
        f"Names, aliases or globs of streams, separated by commas; at most {facts.limits.maximum_streams}.",
        {**TEXT, "minLength": 1},
        **({} if example is None else {"example": example.name}),
    )
    return {
        "operationId": "countEvents",
        "tags": ["streams"],
        "summary": "Count the events of streams",
        "description": (
            "Counts events by time, and the commonest values of a member, without sending any. Canary events are not "
            "counted. The records that are looked at are bounded: `exact` and `scanned` tell how many those were."
        ),
        "parameters": [names, *(_query(facts, name) for name in PARAMETERS)],
        "responses": {
            **problems("NotFound", "TooMany", "Unavailable", *(["Unauthorized"] * facts.tokens)),
            "200": answer("The counts.", json_of(_COUNTS), ("Cache-Control", "Gateway-Warning", "Vary")),
        },
    }


def _query(facts: Facts, name: str) -> Json:
    description, schema, example = PARAMETERS[name]
    if name == "filter":
        schema = {**schema, "maxLength": facts.limits.filter_max_length}
    return parameter(name, "query", description, schema, example=example)

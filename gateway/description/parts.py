"""Parts that several operations share: headers, problems, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
TIME: Json = {"type": ["string", "null"], "format": "date-time"}

HEADERS: dict[str, tuple[str, Json]] = {
    "Access-Control-Allow-Origin": ("Every origin may read the response.", {"const": "*"}),
    "Access-Control-Expose-Headers": ("A page may read every header.", {"const": "*"}),
    "Accept": ("The media types that are accepted.", TEXT),
    "Accept-Encoding": ("The content codings that are accepted.", TEXT),
    "Cache-Control": ("Which caches may store the response, and for how long.", TEXT),
    "Connection": ("`close` if the connection ends with the response.", TEXT),
    "Content-Encoding": ("`gzip` if the request accepts it.", TEXT),
    "Content-Security-Policy": ("The resources that the page may load and run.", TEXT),
    "Cross-Origin-Opener-Policy": ("Isolates the page from pages that open it.", TEXT),
    "ETag": ("Identifies this content; send it back as `If-None-Match`.", TEXT),
    "Event-Gateway": ("The query parameters that this server supports.", TEXT),
    "Event-Gateway-Heartbeat": (
        "Seconds of silence after which the stream sends a heartbeat.",
        {"type": "string", "pattern": r"^[0-9.]+$"},
    ),
    "Event-Gateway-Log": ("Identifies the log among those of other servers; absent while it is unknown.", TEXT),
    "Gateway-Warning": (
        "A line for each part of `filter`, `fields` or `by` that the schemas of all the streams exclude: a member that "
        "is not there, a text compared with a number. It is sent all the same. In ASCII, with JSON's `\\u` escapes.",
        TEXT,
    ),
    "Gateway-Position": ("The id of the position that the answer is as of.", TEXT),
    "Permissions-Policy": ("Which features of the device the page may use.", TEXT),
    "Referrer-Policy": ("How much of its address the page reveals to other sites.", TEXT),
    "Retry-After": ("Seconds to wait before the next try.", {"type": "string", "pattern": "^[0-9]+$"}),
    "Vary": ("The request headers on which the response depends.", TEXT),
    "WWW-Authenticate": ("How to send a token (RFC 6750).", TEXT),
    "X-Accel-Buffering": ("`no`: proxies do not buffer the stream.", TEXT),
    "X-Content-Type-Options": ("Browsers do not guess another media type.", {"const": "nosniff"}),
    "X-Frame-Options": ("`DENY`: no page may embed this one.", TEXT),
    "X-Request-Id": ("The id of the request in the log: the one that was sent, or a new one.", TEXT),
}
"""Every header that an answer may have, beside those of the connection and the content."""

ALWAYS = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "X-Content-Type-Options", "X-Request-Id")
PAGE_HEADERS = (
    "Content-Security-Policy",
    "Cross-Origin-Opener-Policy",
    "Permissions-Policy",
    "Referrer-Policy",
    "X-Frame-Options",
)

PROBLEMS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "BadRequest": (400, "A parameter, a header or the body is invalid; the problem names it.", ("WWW-Authenticate",)),
    "Unauthorized": (401, "A token is required, or the token was not accepted.", ("WWW-Authenticate", "Connection")),
    "NotFound": (404, "The resource does not exist; the problem lists similar names.", ()),
    "Gone": (
        410,
        "The state at this time is not known any more; `earliest` is the first time that is. Or the page before is of "
        "another building of the view: begin again at the first page.",
        (),
    ),
    "NotAcceptable": (406, "No media type in `Accept` is available.", ()),
    "RequestTimeout": (408, "The body did not arrive in time.", ("Connection",)),
    "TooLarge": (413, "The body is too large, or has too many events.", ("Connection",)),
    "UnsupportedType": (
        415,
        "The media type or the content coding of the body is not supported.",
        ("Accept", "Accept-Encoding", "Connection"),
    ),
    "KeyUsed": (422, "The `Idempotency-Key` was used with another body.", ("Connection",)),
    "TooMany": (
        429,
        "A limit is exceeded, which `limit` names; try again after `Retry-After` seconds.",
        ("Retry-After", "Connection"),
    ),
    "HeadTooLarge": (431, "The request line and headers are too large. The connection is closed.", ("Connection",)),
    "Mistake": (500, "An internal error, which the operator finds in the log.", ()),
    "Unavailable": (
        503,
        "Temporarily unavailable; try again after `Retry-After` seconds.",
        ("Retry-After", "Connection"),
    ),
}
"""The problems that operations share, by the name of the component."""

EVERYWHERE = ("BadRequest", "HeadTooLarge", "Mistake")
"""Those that any request may meet: one with too many parameters is refused wherever it goes."""


def headers(names: Iterable[str]) -> Json:
    """References to headers of the table."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*ALWAYS, *names)}


def answer(description: str, content: Mapping[str, Json] | None = None, names: Iterable[str] = ()) -> Json:
    """A response; `content` maps media types to media type objects."""
    document: Json = {"description": description, "headers": headers(names)}
    return document if content is None else {**document, "content": dict(content)}


def json_of(schema: Json, example: object = None) -> dict[str, Json]:
    """The content of an answer in JSON."""
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def component(name: str) -> Json:
    """A reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(properties: Mapping[str, Json], optional: Iterable[str] = (), **more: Any) -> Json:
    """The schema of an object that has these members."""
    required = [name for name in properties if name not in set(optional)]
    return {"type": "object", "properties": dict(properties), "required": required, **more}


def problems(*names: str) -> Json:
    """Responses by status: these problems, and those that any request may meet."""
    return {
        str(PROBLEMS[name][0]): {"$ref": f"#/components/responses/{name}"}
        for name in sorted((*names, *EVERYWHERE), key=lambda name: PROBLEMS[name][0])
    }


def parameter(name: str, place: str, description: str, schema: Json, **more: Any) -> Json:
    """A parameter; one of the path is always required."""
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, **required, "description": description, "schema": schema, **more}


def shared() -> Json:
    """The components that operations refer to, but for schemas of events."""
    return {
        "headers": {
            name: {"description": description, "schema": schema} for name, (description, schema) in HEADERS.items()
        },
        "responses": {
            name: answer(
                description, {"application/problem+json": {"schema": component("Problem")}}, ("Cache-Control", *extra)
            )
            for name, (_, description, extra) in PROBLEMS.items()
        },
        "schemas": {"Problem": PROBLEM, "Refused": REFUSED, "Stream": STREAM, "SchemaVersions": SCHEMA_VERSIONS},
    }


PROBLEM = record(
    {
        "type": {
            **TEXT,
            "description": "A URI that identifies the type of problem; `about:blank` if the status says it all.",
        },
        "title": {**TEXT, "description": "A short summary."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**TEXT, "description": "The mistake in this request, and what is accepted instead."},
        "parameter": {**TEXT, "description": "The invalid parameter or header, as it was sent."},
        "limit": {**TEXT, "description": "The limit that the request exceeds."},
        "deleted": {**TIME, "description": "When the key was deleted."},
        "earliest": {**TIME, "description": "The earliest time of which the state is known."},
    },
    ("parameter", "limit", "deleted", "earliest"),
    description="A problem document (RFC 9457).",
)
REFUSED = record(
    {
        "index": {**COUNT, "description": "The index of the event in the request, from 0."},
        "event": {"description": "The event, or the beginning of its text if it is long or not JSON."},
        "detail": {**TEXT, "description": "Why the event is not stored."},
    },
    description="An event that was not stored.",
)
STREAM = record(
    {
        "name": TEXT,
        "aliases": {"type": "array", "items": TEXT, "description": "Other names of the stream."},
        "title": TEXT,
        "description": TEXT,
        "schema": {"type": ["string", "null"], "format": "uri", "description": "The URL of the newest schema."},
        "topics": {"type": "array", "items": TEXT, "description": "The topics that the stream consists of."},
        "derived_from": {
            "type": "array",
            "items": TEXT,
            "description": "The streams that this stream is made of; empty for an original stream.",
        },
        "derived_into": {
            "type": "array",
            "items": TEXT,
            "description": "The streams that are made of this stream.",
        },
        "derivation": {
            "type": ["object", "null"],
            "description": "How a derived stream is made; null for an original stream, and where a source is hidden "
            "from the client.",
            "properties": {
                "operator": {"enum": ["select", "window", "latest", "lookup", "dedup"]},
                "version": {"type": "integer", "minimum": 1},
                "lag": {
                    "type": ["integer", "null"],
                    "minimum": 0,
                    "description": "Seconds behind its sources, as after a start or with a new version; null if this "
                    "server does not know.",
                },
            },
            "required": ["operator", "version", "lag"],
        },
        "oldest": {**TIME, "description": "The time of the oldest event, the earliest that `since` reaches."},
        "newest": {**TIME, "description": "The time of the newest event."},
        "rate": {"type": "number", "minimum": 0, "description": "Events per second in the last minute."},
        "absent": {
            "type": "array",
            "items": TEXT,
            "description": "The topics that are not in the log; only where there are such.",
        },
        "example": {
            "type": ["object", "null"],
            "description": "A recent event; only in the answer for a single stream.",
        },
    },
    ("absent", "example"),
    description="A stream of the catalogue.",
)
SCHEMA_VERSIONS = record(
    {
        "title": TEXT,
        "description": TEXT,
        "versions": {"type": "array", "items": TEXT, "description": "All versions, the newest last."},
        "latest": {**TEXT, "format": "uri"},
    },
    description="A schema with its versions.",
)

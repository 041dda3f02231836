"""Parts that several operations share: headers, problems, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
TIME: Json = {"type": ["string", "null"], "format": "date-time"}

HEADERS: dict[str, tuple[str, Json]] = {
    "Access-Control-Allow-Origin": ("Every origin may read the answer.", {"const": "*"}),
    "Access-Control-Expose-Headers": ("A page may read every header.", {"const": "*"}),
    "Accept": ("The media types that would have been taken.", TEXT),
    "Accept-Encoding": ("The codings that would have been understood.", TEXT),
    "Cache-Control": ("Who may keep the answer, and for how long.", TEXT),
    "Connection": ("`close` where the connection ends with the answer.", TEXT),
    "Content-Encoding": ("`gzip` where the request accepts it.", TEXT),
    "Content-Security-Policy": ("What a page may load and run.", TEXT),
    "Cross-Origin-Opener-Policy": ("Keeps the page apart from those that open it.", TEXT),
    "ETag": ("Names this content; send it back as `If-None-Match`.", TEXT),
    "Event-Gateway": ("The query parameters that this server honours.", TEXT),
    "Event-Gateway-Heartbeat": (
        "Seconds of silence after which the stream sends a heartbeat.",
        {"type": "string", "pattern": r"^[0-9.]+$"},
    ),
    "Event-Gateway-Log": ("Tells the log from that of other servers; absent while it is not known.", TEXT),
    "Permissions-Policy": ("What a page may use of the device.", TEXT),
    "Referrer-Policy": ("What a page tells others of its address.", TEXT),
    "Retry-After": ("Seconds after which it is worth trying again.", {"type": "string", "pattern": "^[0-9]+$"}),
    "Vary": ("The request headers that the answer depends on.", TEXT),
    "WWW-Authenticate": ("How to show a token (RFC 6750).", TEXT),
    "X-Accel-Buffering": ("`no`: a proxy passes the stream on as it comes.", TEXT),
    "X-Content-Type-Options": ("The answer is nothing else than its type says.", {"const": "nosniff"}),
    "X-Frame-Options": ("`DENY`", TEXT),
    "X-Request-Id": ("What the request is called in the log: the name that it came with, or a new one.", TEXT),
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
    "BadRequest": (400, "A parameter, a header or the body is wrong; the problem names it.", ("WWW-Authenticate",)),
    "Unauthorized": (401, "A token is needed, or the one shown is not accepted.", ("WWW-Authenticate", "Connection")),
    "NotFound": (404, "There is no such thing; the problem names what is close to it.", ()),
    "NotAcceptable": (406, "Nothing that `Accept` names can be had.", ()),
    "RequestTimeout": (408, "The body has not come in time.", ("Connection",)),
    "TooLarge": (413, "The body is too large, or holds too many events.", ("Connection",)),
    "UnsupportedType": (
        415,
        "The media type or coding of the body is none that is taken.",
        ("Accept", "Accept-Encoding", "Connection"),
    ),
    "KeyUsed": (422, "The `Idempotency-Key` came with another body before.", ("Connection",)),
    "TooMany": (
        429,
        "Over a limit, which `limit` names; try again after `Retry-After` seconds.",
        ("Retry-After", "Connection"),
    ),
    "HeadTooLarge": (431, "The request line and headers are too large; the connection ends.", ("Connection",)),
    "Mistake": (500, "A mistake of the gateway, which its operator finds in the log.", ()),
    "Unavailable": (503, "Not now; try again after `Retry-After` seconds.", ("Retry-After", "Connection")),
}
"""The problems that operations share, by the name of the component."""

EVERYWHERE = ("HeadTooLarge", "Mistake")
"""Those that any request may meet."""


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
        "type": {**TEXT, "description": "A URI that names the kind of problem; `about:blank` for that of the status."},
        "title": {**TEXT, "description": "What it is, in short."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**TEXT, "description": "What is wrong here, and what would be right."},
        "parameter": {**TEXT, "description": "The parameter or header at fault, as it was sent."},
        "limit": {**TEXT, "description": "The limit that refuses the request."},
    },
    ("parameter", "limit"),
    description="What went wrong (RFC 9457).",
)
REFUSED = record(
    {
        "index": {**COUNT, "description": "Its place in the request, from 0."},
        "event": {"description": "The event; the beginning of its text where it is long or not JSON."},
        "detail": {**TEXT, "description": "Why it is not stored."},
    },
    description="An event that was not stored.",
)
STREAM = record(
    {
        "name": TEXT,
        "aliases": {"type": "array", "items": TEXT, "description": "Other names for it."},
        "title": TEXT,
        "description": TEXT,
        "schema": {"type": ["string", "null"], "format": "uri", "description": "Where its newest schema is."},
        "topics": {"type": "array", "items": TEXT, "description": "The topics of the log that it is read from."},
        "oldest": {**TIME, "description": "The time of the oldest event, the earliest that `since` reaches."},
        "newest": {**TIME, "description": "The time of the newest event."},
        "rate": {"type": "number", "minimum": 0, "description": "Events a second, over the last minute."},
        "example": {"type": ["object", "null"], "description": "A recent event; of one stream alone."},
    },
    ("example",),
    description="A stream of the catalogue.",
)
SCHEMA_VERSIONS = record(
    {
        "title": TEXT,
        "description": TEXT,
        "versions": {"type": "array", "items": TEXT, "description": "The newest last."},
        "latest": {**TEXT, "format": "uri"},
    },
    description="A schema, and its versions.",
)

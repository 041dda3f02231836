"""`/openapi.json`: OpenAPI 3.1."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.access.credential import PARAMETER
from gateway.description.counts import COUNTS_PATH, counts
from gateway.description.events import components
from gateway.description.facts import Facts
from gateway.description.intake import intake
from gateway.description.parts import Json, shared
from gateway.description.reading import catalogue, service
from gateway.description.streams import stream
from gateway.description.trial import trial
from gateway.description.views import views

STREAM_PATH = "/v2/stream/{streams}"
INTAKE_PATH = "/v1/events"
TRIAL_PATH = "/explorer/trial"

_TAGS = {
    "streams": "List streams, and subscribe to them.",
    "intake": "Send events over HTTP.",
    "views": "The state of streams by key, now and at any time.",
    "schemas": "The schemas of events.",
    "service": "Liveness and readiness.",
    "documents": "This description in three formats.",
    "page": "The explorer and its files.",
}
_ABOUT = (
    "Live event streams over HTTP: subscribe, filter, replay the past, and resume without loss.\n\n"
    "Every error before a stream starts is a problem document (RFC 9457), which says what is wrong and what is "
    "accepted. `HEAD` is supported wherever `GET` is. Other methods get 405 with `Allow`, unknown paths 404. "
    "Every origin may read every response, and preflight requests are answered."
)


def openapi(facts: Facts, base: str = "/") -> Json:
    """The document; `base` is the address that the gateway was asked under. Only its path is told: the document is the
    same under every name."""
    operation = stream(facts) | _security(facts, "query")
    paths: Json = {STREAM_PATH: {"get": operation}}
    for path, item in catalogue(facts).items():
        if path.startswith("/v2/streams"):
            item["get"] |= _security(facts)
        paths[path] = item
    paths[COUNTS_PATH] = {"get": counts(facts) | _security(facts)}
    paths |= {path: {"get": item["get"] | _security(facts, "query")} for path, item in views(facts).items()}
    if facts.intake:
        paths[INTAKE_PATH] = {"post": intake(facts) | _security(facts, needed=facts.intake_token)}
    paths |= service()
    if facts.trials:
        paths[TRIAL_PATH] = {"post": trial(facts) | _security(facts)}
    parts = shared()
    parts["schemas"] |= components(facts)
    if facts.tokens:
        parts["securitySchemes"] = _schemes(facts)
    used = {item["tags"][0] for operations in paths.values() for item in operations.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Event gateway",
            "version": facts.version,
            "summary": "Live event streams over HTTP.",
            "description": _ABOUT,
        },
        "servers": [{"url": urlsplit(base).path.rstrip("/") or "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items() if name in used],
        "paths": paths,
        "components": parts,
    }


def _schemes(facts: Facts) -> Json:
    schemes: Json = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer …` (RFC 6750)."},
        "query": {
            "type": "apiKey",
            "in": "query",
            "name": PARAMETER,
            "description": "A short-lived token, for EventSource, which cannot set headers.",
        },
    }
    if facts.cookie is not None:
        schemes["cookie"] = {
            "type": "apiKey",
            "in": "cookie",
            "name": facts.cookie,
            "description": "A token in a cookie, for reading.",
        }
    return schemes


def _security(facts: Facts, *more: str, needed: bool = False) -> Json:
    """Which tokens count for an operation; without one there are the public streams."""
    if not facts.tokens:
        return {}
    names = ["bearer", *more, *(["cookie"] * bool(more and facts.cookie))]
    return {"security": [*([] if needed else [{}]), *({name: []} for name in names)]}

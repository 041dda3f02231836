"""The operations that only read: catalogue, schemas, the state of the server, the page and the documents themselves."""

from __future__ import annotations

from typing import Any

from gateway.description.facts import Facts
from gateway.description.parts import (
    COUNT,
    PAGE_HEADERS,
    TEXT,
    Json,
    answer,
    component,
    json_of,
    parameter,
    problems,
    record,
)

_KEPT = ("Cache-Control", "ETag", "Vary")
_IF_NONE_MATCH = parameter("If-None-Match", "header", "An `ETag` that came before.", TEXT, example='"a"')
_NOT_MODIFIED = {"304": answer("It is what `If-None-Match` names.", None, (*_KEPT, *PAGE_HEADERS))}


def catalogue(facts: Facts) -> Json:
    """Paths of streams and schemas."""
    stream, schema = facts.example_stream(), next(iter(facts.schemas.titles()), None)
    title = parameter("title", "path", "The title, its slashes as `%2F`.", {**TEXT, "minLength": 1}, **_example(schema))
    version = parameter(
        "version",
        "path",
        "A version or `latest`; with `.yaml` or `.json` behind it, in that form.",
        {**TEXT, "minLength": 1},
        example="latest",
    )
    name = parameter("name", "path", "The name, or an alias.", {**TEXT, "minLength": 1})
    name |= _example(None if stream is None else stream.name)
    versions, headers = component("SchemaVersions"), ("Cache-Control", "ETag")
    tokens = ["Unauthorized", "Unavailable", "BadRequest"] * facts.tokens
    private = ("Cache-Control", "Vary")
    return {
        "/v2/streams": _get(
            ("listStreams", "streams", "List the streams", "Every stream that there is for who asks."),
            {"200": answer("The streams.", json_of({"type": "array", "items": component("Stream")}), private)},
            *tokens,
        ),
        "/v2/streams/{name}": _get(
            ("getStream", "streams", "One stream", "What the list says of it, and a recent event."),
            {"200": answer("The stream.", json_of(component("Stream")), private)},
            "NotFound",
            *tokens,
            parameters=[name],
        ),
        "/v2/schemas": _get(
            ("listSchemas", "schemas", "List the schemas", "Titles and versions."),
            {"200": answer("The titles.", json_of({"type": "array", "items": versions}), headers), **_NOT_MODIFIED},
            parameters=[_IF_NONE_MATCH],
        ),
        "/v2/schemas/{title}": _get(
            ("listVersions", "schemas", "The versions of a schema", "Of one title."),
            {"200": answer("The versions.", json_of(versions), headers), **_NOT_MODIFIED},
            "NotFound",
            parameters=[title, _IF_NONE_MATCH],
        ),
        "/v2/schemas/{title}/{version}": _get(
            (
                "getSchema",
                "schemas",
                "A schema",
                "The JSONSchema, without references. A released version never changes, and may be kept for ever.",
            ),
            {
                "200": answer(
                    "The schema.",
                    {
                        "application/schema+json": {"schema": {"type": "object"}},
                        "application/yaml": {"schema": {"type": "string"}},
                    },
                    headers,
                ),
                **_NOT_MODIFIED,
            },
            "NotFound",
            parameters=[title, version, _IF_NONE_MATCH],
        ),
    }


def service() -> Json:
    """Paths of health, the documents and the page."""
    names = {"type": "array", "items": TEXT}
    told: dict[str, Json] = {
        "stuck": names,
        "restarting": names,
        "ailing": names,
        "appends": {"type": "object", "additionalProperties": TEXT},
    }
    ready = record({"status": {"const": "ready"}, **told}, tuple(told))
    missing = record({"status": {"const": "not ready"}, "missing": {"type": "array", "items": TEXT}})
    no_store = ("Cache-Control",)
    return {
        "/healthz": _get(
            ("health", "service", "Whether the process lives", "For what restarts it."),
            {"200": answer("It does.", json_of(record({"status": {"const": "ok"}})), no_store)},
        ),
        "/readyz": _get(
            ("readiness", "service", "Whether the process can serve", "For what sends it requests."),
            {
                "200": answer(
                    "It can. `stuck` names partitions that no process could read, `restarting` workers to be started "
                    "again, `ailing` parts that were, and `appends` topics whose events are not stored, and why.",
                    json_of(ready),
                    no_store,
                ),
                "503": answer("It cannot now; `missing` says why.", json_of(missing), no_store),
            },
        ),
        "/openapi.json": _document("openapi", "This document", "OpenAPI 3.1.", "application/json", {"type": "object"}),
        "/asyncapi.json": _document(
            "asyncapi", "The streams as channels", "AsyncAPI 3.0.", "application/json", {"type": "object"}
        ),
        "/docs": _document("docs", "This document for people", "A page.", "text/html", TEXT, PAGE_HEADERS),
        "/": _get(
            ("explorer", "page", "The explorer", "A page for people; an index of the API for programs."),
            {
                "200": answer(
                    "The page, or the index.",
                    {
                        "text/html": {"schema": TEXT},
                        "application/json": {"schema": {"type": "object", "additionalProperties": TEXT}},
                    },
                    (*_KEPT, "Content-Encoding", *PAGE_HEADERS),
                ),
                **_NOT_MODIFIED,
            },
            parameters=[_IF_NONE_MATCH],
        ),
        "/explorer/rates": _get(
            ("rates", "page", "Events of each second", "What the page draws: counts of the last minute."),
            {"200": answer("The counts.", json_of(_RATES), no_store)},
        ),
        "/explorer/{version}/{name}": _get(
            ("explorerFile", "page", "A file of the explorer", "Its address names its content."),
            {
                "200": answer(
                    "The file.",
                    {kind: {"schema": TEXT} for kind in ("text/css", "text/javascript", "image/svg+xml")},
                    (*_KEPT, "Content-Encoding", *PAGE_HEADERS),
                ),
                **_NOT_MODIFIED,
            },
            "NotFound",
            parameters=[
                parameter("version", "path", "What the page names.", {**TEXT, "minLength": 1}, example="newest"),
                parameter("name", "path", "The name of the file.", {**TEXT, "minLength": 1}, example="base.css"),
                _IF_NONE_MATCH,
            ],
        ),
    }


_RATES = record(
    {
        "end": {**COUNT, "description": "Milliseconds since 1970 at the end of the last second."},
        "streams": {
            "type": "object",
            "additionalProperties": record(
                {
                    "newest": {"type": ["integer", "null"]},
                    "counts": {"type": "array", "items": COUNT},
                }
            ),
        },
    }
)


def _example(value: str | None) -> Json:
    return {} if value is None else {"example": value}


def _get(
    words: tuple[str, str, str, str], responses: Json, *names: str, parameters: list[Json] | None = None
) -> dict[str, Json]:
    """A path that can only be read; `words` are its id, tag, summary and description."""
    operation: dict[str, Any] = dict(zip(("operationId", "tags", "summary", "description"), words, strict=True))
    operation["tags"] = [operation["tags"]]
    if parameters:
        operation["parameters"] = parameters
    return {"get": {**operation, "responses": {**problems(*names), **responses}}}


def _document(
    identity: str, summary: str, description: str, kind: str, schema: Json, names: tuple[str, ...] = ()
) -> dict[str, Json]:
    return _get(
        (identity, "documents", summary, f"{description} Made of the streams, schemas and bounds in force."),
        {
            "200": answer(
                "The document.",
                {kind: {"schema": schema}},
                (*_KEPT, "Content-Encoding", *names),
            ),
            **_NOT_MODIFIED,
        },
        parameters=[_IF_NONE_MATCH],
    )

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
_IF_NONE_MATCH = parameter("If-None-Match", "header", "The `ETag` of an earlier response.", TEXT, example='"a"')
_NOT_MODIFIED = {"304": answer("The content still has the `ETag` in `If-None-Match`.", None, (*_KEPT, *PAGE_HEADERS))}


def catalogue(facts: Facts) -> Json:
    """Paths of streams and schemas."""
    stream, schema = facts.example_stream(), next(iter(facts.schemas.titles()), None)
    title = parameter(
        "title", "path", "The title, with slashes as `%2F`.", {**TEXT, "minLength": 1}, **_example(schema)
    )
    version = parameter(
        "version",
        "path",
        "A version, or `latest`. The endings `.yaml` and `.json` select the format.",
        {**TEXT, "minLength": 1},
        example="latest",
    )
    name = parameter("name", "path", "The name or an alias of the stream.", {**TEXT, "minLength": 1})
    name |= _example(None if stream is None else stream.name)
    versions, headers = component("SchemaVersions"), ("Cache-Control", "ETag")
    tokens = ["Unauthorized", "Unavailable"] * facts.tokens
    private = ("Cache-Control", "Vary")
    return {
        "/v2/streams": _get(
            (
                "listStreams",
                "streams",
                "List the streams",
                "Lists the public streams, and the private ones that the token covers.",
            ),
            {"200": answer("The streams.", json_of({"type": "array", "items": component("Stream")}), private)},
            *tokens,
        ),
        "/v2/streams/{name}": _get(
            ("getStream", "streams", "Get a stream", "Describes a stream, with a recent event as an example."),
            {"200": answer("The stream.", json_of(component("Stream")), private)},
            "NotFound",
            *tokens,
            parameters=[name],
        ),
        "/v2/schemas": _get(
            ("listSchemas", "schemas", "List the schemas", "Lists the titles and versions of all schemas."),
            {"200": answer("The titles.", json_of({"type": "array", "items": versions}), headers), **_NOT_MODIFIED},
            parameters=[_IF_NONE_MATCH],
        ),
        "/v2/schemas/{title}": _get(
            ("listVersions", "schemas", "List the versions of a schema", "Lists the versions of one title."),
            {"200": answer("The versions.", json_of(versions), headers), **_NOT_MODIFIED},
            "NotFound",
            parameters=[title, _IF_NONE_MATCH],
        ),
        "/v2/schemas/{title}/{version}": _get(
            (
                "getSchema",
                "schemas",
                "Get a schema",
                "Returns the JSON Schema with all references resolved. A released version never changes.",
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
            ("health", "service", "Liveness", "Liveness probe: whether the process should keep running."),
            {"200": answer("The process is alive.", json_of(record({"status": {"const": "ok"}})), no_store)},
            counted=False,
        ),
        "/readyz": _get(
            ("readiness", "service", "Readiness", "Readiness probe: whether the process can serve requests."),
            {
                "200": answer(
                    "The process is ready. `stuck` lists partitions that no process can read, `restarting` workers "
                    "that are restarting, and `ailing` tasks that failed and were restarted. `appends` lists "
                    "topics whose events are not stored, with the reason.",
                    json_of(ready),
                    no_store,
                ),
                "503": answer("The process is not ready; `missing` lists the reasons.", json_of(missing), no_store),
            },
            counted=False,
        ),
        "/openapi.json": _document(
            "openapi", "The API as OpenAPI", "OpenAPI 3.1.", "application/json", {"type": "object"}
        ),
        "/asyncapi.json": _document(
            "asyncapi", "The streams as AsyncAPI", "AsyncAPI 3.0.", "application/json", {"type": "object"}
        ),
        "/docs": _document("docs", "The API as a page", "HTML.", "text/html", TEXT, PAGE_HEADERS),
        "/": _get(
            (
                "explorer",
                "page",
                "Open the explorer",
                "Returns the explorer to browsers, and an index of the API to programs.",
            ),
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
            (
                "rates",
                "page",
                "Event rates",
                "Returns the number of events in each second of the last minute, as the explorer shows them. Clients "
                "that prefer `text/event-stream` get the counts again every two seconds, for up to ten minutes.",
            ),
            {
                "200": answer(
                    "The counts.",
                    {**json_of(_RATES), "text/event-stream": {"schema": TEXT}},
                    ("Cache-Control", "X-Accel-Buffering"),
                )
            },
        ),
        "/explorer/{version}/{name}": _get(
            ("explorerFile", "page", "Get a file of the explorer", "The URL changes with the content of the explorer."),
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
                parameter(
                    "version",
                    "path",
                    "The version that the page refers to.",
                    {**TEXT, "minLength": 1},
                    example="newest",
                ),
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
                    "seconds": {**COUNT, "description": "The seconds that are counted, up to `end`."},
                    "counts": {
                        "type": "array",
                        "items": COUNT,
                        "description": "The events of each, the newest last. The zeros before the first event are "
                        "left out.",
                    },
                }
            ),
        },
    }
)


def _example(value: str | None) -> Json:
    return {} if value is None else {"example": value}


def _get(
    words: tuple[str, str, str, str],
    responses: Json,
    *names: str,
    parameters: list[Json] | None = None,
    counted: bool = True,
) -> dict[str, Json]:
    """A path that can only be read; `words` are its id, tag, summary and description. `counted`: a limit may refuse a
    request for it."""
    operation: dict[str, Any] = dict(zip(("operationId", "tags", "summary", "description"), words, strict=True))
    operation["tags"] = [operation["tags"]]
    if parameters:
        operation["parameters"] = parameters
    return {"get": {**operation, "responses": {**problems(*names, *["TooMany"] * counted), **responses}}}


def _document(
    identity: str, summary: str, description: str, kind: str, schema: Json, names: tuple[str, ...] = ()
) -> dict[str, Json]:
    return _get(
        (identity, "documents", summary, f"{description} Generated from the streams, schemas and limits in effect."),
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

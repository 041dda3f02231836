"""The operations of views: each view has paths of its own, since the members of its key are parts of them."""

from __future__ import annotations

from gateway.catalog.view import View
from gateway.description.facts import Facts
from gateway.description.parts import COUNT, TEXT, TIME, Json, answer, json_of, parameter, problems, record
from gateway.description.streams import PARAMETERS, SAME_AS_HEADER

VIEWS_PATH = "/v2/views"
_AT = parameter(
    "at",
    "query",
    "The state as of this time (the forms of `since`), or as of an id, whose record is included.",
    TEXT,
)
_CHOICE = {"type": "string", "enum": ["true", "false"], "default": "false"}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": 1000}
_KEPT = ("Cache-Control", "ETag", "Gateway-Position", "Vary")
_IF_NONE_MATCH = parameter("If-None-Match", "header", "The `ETag` of an earlier response.", TEXT, example='"a"')
_NOT_MODIFIED = {"304": answer("The content still has the `ETag` in `If-None-Match`.", None, _KEPT)}
_VALUE: Json = {"description": "The value of the key: an event, or what events were merged into."}
_KEY: Json = {"type": "object", "description": "The members of the key by their paths."}
_VIEW = record(
    {
        "name": TEXT,
        "stream": {**TEXT, "description": "The stream whose state it is."},
        "key": {"type": "array", "items": TEXT, "description": "Paths of the members of a key."},
        "reduce": {"type": "string", "enum": ["latest", "merge"]},
        "keys": {**COUNT, "description": "Keys that have a value."},
        "position": {"type": ["string", "null"], "description": "How far the stream has been read, as an id."},
        "earliest": {**TIME, "description": "The earliest time that `at` may name."},
        "building": {"type": "boolean", "description": "Whether its first state is still being made."},
        "halted": {"type": ["string", "null"], "description": "Why it has stopped; null while it continues."},
    },
    description="A view: the state of a stream by key.",
)
_PAGE = record(
    {
        "rows": {"type": "array", "items": record({"key": _KEY, "value": _VALUE})},
        "next": {"type": ["string", "null"], "description": "`after` of the next page; null for the last."},
        "id": {**TEXT, "description": "The position that all pages are of; a `Last-Event-ID` to follow from."},
    }
)
_HISTORY = record(
    {
        "versions": {
            "type": "array",
            "items": record(
                {"timestamp": TIME, "id": TEXT, "value": _VALUE, "deleted": {"const": True}}, ("value", "deleted")
            ),
        },
        "next": {"type": ["string", "null"], "description": "`before` of the next page; null for the last."},
    }
)


def views(facts: Facts) -> Json:
    """Paths by the views that there are."""
    tokens = ["Unauthorized"] * facts.tokens
    paths: Json = {
        VIEWS_PATH: {
            "get": {
                "operationId": "listViews",
                "tags": ["views"],
                "summary": "List the views",
                "description": "Lists the views of the public streams, and of the private ones that the token covers.",
                "responses": {
                    **problems("TooMany", *tokens, *["Unavailable"] * facts.tokens),
                    "200": answer("The views.", json_of({"type": "array", "items": _VIEW}), ("Cache-Control", "Vary")),
                },
            }
        }
    }
    for view in facts.views:
        paths |= _paths(view, tokens)
    return paths


def _paths(view: View, tokens: list[str]) -> Json:
    members = [
        parameter(name.replace(".", "_"), "path", f"`{name}` of the event, percent-encoded.", TEXT) for name in view.key
    ]
    own = f"{VIEWS_PATH}/{view.name}"
    key = f"{own}/" + "/".join("{" + one["name"] + "}" for one in members)
    names = ("NotFound", "TooMany", "Unavailable", *tokens)
    return {
        own: {"get": _state(view, tokens)},
        key: {
            "get": {
                "operationId": f"getFrom_{view.name}",
                "tags": ["views"],
                "summary": f"Get a value of {view.name}",
                "description": "Returns the value of a key, now or at a time. A key that was deleted is a 404 that "
                "says when (`deleted`). `Gateway-Position` tells what it is as of.",
                "parameters": [*members, _AT, _IF_NONE_MATCH],
                "responses": {
                    **problems(*names, "Gone"),
                    "200": answer("The value.", json_of(_VALUE), _KEPT),
                    **_NOT_MODIFIED,
                },
            }
        },
        f"{key}/history": {
            "get": {
                "operationId": f"historyOf_{view.name}",
                "tags": ["views"],
                "summary": f"Get the history of a key of {view.name}",
                "description": "Returns the versions of a key, the newest first.",
                "parameters": [
                    *members,
                    parameter("limit", "query", "Versions of one page (100).", _LIMIT),
                    parameter("before", "query", "`next` of the page before.", TEXT),
                    _IF_NONE_MATCH,
                ],
                "responses": {
                    **problems(*names, "Gone"),
                    "200": answer("The versions.", json_of(_HISTORY), _KEPT),
                    **_NOT_MODIFIED,
                },
            }
        },
    }


def _state(view: View, tokens: list[str]) -> Json:
    frames = {
        "type": "string",
        "description": "`snapshot`, a `row` for each key, `ready`, then `change` and `delete` for ever; `reset` where "
        "an id leads nowhere. After each event, the client's map is the state at its `id`.",
    }
    return {
        "operationId": f"follow_{view.name}",
        "tags": ["views"],
        "summary": f"Page through {view.name}, or follow it",
        "description": (
            "As JSON, a page of keys and values; all pages are as of one position. As `text/event-stream` or "
            "`application/x-ndjson`, all rows and then each change. An id of the view or of its stream resumes."
        ),
        "parameters": [
            parameter("prefix", "query", f"Only keys whose `{view.key[0]}` begins so.", TEXT),
            parameter("limit", "query", "Rows of one page (100).", _LIMIT),
            parameter("after", "query", "`next` of the page before.", TEXT),
            _AT,
            parameter("key", "query", "One key, as a JSON array: for keys that paths cannot carry.", TEXT),
            parameter("history", "query", "Whether a page has the versions of `key`, instead of its value.", _CHOICE),
            parameter("before", "query", "`next` of the page of versions before.", TEXT),
            parameter("ids", "query", PARAMETERS["ids"][0], PARAMETERS["ids"][1]),
            parameter(
                "Last-Event-ID",
                "header",
                "Follow on after this id. Clients that cannot set the header can send one of the query parameters "
                f"`{'` and `'.join(SAME_AS_HEADER)}`; the header takes precedence.",
                TEXT,
            ),
            _IF_NONE_MATCH,
        ],
        "responses": {
            **problems("NotFound", "NotAcceptable", "Gone", "TooMany", "Unavailable", *tokens),
            "200": answer(
                "The page, or the frames.",
                {**json_of(_PAGE), "text/event-stream": {"schema": frames}, "application/*": {"schema": frames}},
                (*_KEPT, "Content-Encoding", "Event-Gateway-Heartbeat", "X-Accel-Buffering"),
            ),
            **_NOT_MODIFIED,
        },
    }

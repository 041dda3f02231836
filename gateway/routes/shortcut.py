"""The way of the two requests there are most of: events that come in, and streams that are asked for."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.routes.events import EVENTS_PATH, EventsEndpoint
from gateway.routes.streams import STREAM_PREFIX, StreamEndpoint


class Shortcut:
    """Plain ASGI: leads them to their endpoints past layers that have nothing to do for a request without a query.
    These take tokens out of the query, bound its parameters, count other requests, answer preflights and find the
    route."""

    def __init__(self, app: ASGIApp, streams: StreamEndpoint, events: EventsEndpoint | None) -> None:
        self._app = app
        self._streams = streams
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self._app
        if scope["type"] == "http" and not scope["query_string"]:
            method, path = scope["method"], scope["path"]
            if method == "POST" and path == EVENTS_PATH and self._events is not None:
                application = self._events
            elif method == "GET" and path.startswith(STREAM_PREFIX):
                scope["path_params"] = {"streams": path[len(STREAM_PREFIX) :]}
                application = self._streams
        await application(scope, receive, send)

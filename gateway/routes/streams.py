"""`GET /v2/stream/{streams}`: a plain ASGI application, one for all clients."""

from __future__ import annotations

from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from gateway.catalog.catalog import Catalog
from gateway.errors import Problem
from gateway.routes.outlet import HttpOutlet
from gateway.routes.parameters import PARAMETERS, Bounds, check_partitions, position_text, read_request
from gateway.routes.problems import answer
from gateway.subscription.session import Services, Session
from gateway.subscription.subscription import Request

METHODS = ("GET", "HEAD")
HONOURED_HEADER = b"event-gateway"
"""Lists the parameters that are honoured, so that a client knows what it may leave to the server."""


class StreamEndpoint:
    """Reads the request, answers what is wrong with it, and hands the rest to a session."""

    def __init__(self, services: Services, catalog: Catalog, bounds: Bounds) -> None:
        self._services = services
        self._catalog = catalog
        self._bounds = bounds
        self.sessions: set[Session] = set()
        """Those that run now."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = self._read(scope)
        except Problem as problem:
            await answer(problem)(scope, receive, send)
            return
        session = Session(self._services, request)
        outlet = HttpOutlet(scope, receive, send)
        self.sessions.add(session)
        try:
            if not await session.prepare():
                await outlet.start(204, [(b"cache-control", b"no-store")])
            else:
                await outlet.start(200, _headers(request))
                if scope["method"] != "HEAD":
                    await session.run(outlet)
            await outlet.finish()
        finally:
            self.sessions.discard(session)
            session.close()
            await outlet.close()

    def _read(self, scope: Scope) -> Request:
        if scope["method"] not in METHODS:
            allowed = ", ".join(METHODS)
            detail = f"{scope['method'][:20]} is not possible here; possible: {allowed}"
            raise Problem(405, "Method not allowed", detail, headers={"allow": allowed})
        now = self._services.clock.now()
        query = QueryParams(scope["query_string"]).multi_items()
        headers = Headers(scope=scope)
        merged = {name: ", ".join(headers.getlist(name)) for name in headers}
        request = read_request(scope["path_params"]["streams"], query, merged, self._catalog, self._bounds, now)
        known = self._services.hub.discovery
        counts = {topic: known.known[topic].partitions for topic in request.selection.topics & known.existing}
        check_partitions(request, counts, position_text(dict(query), merged)[0])
        return request


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", request.format.content_type.encode()),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        (b"vary", b"accept, accept-encoding"),
        (HONOURED_HEADER, ", ".join(PARAMETERS).encode()),
    ]
    if request.gzip:
        headers.append((b"content-encoding", b"gzip"))
    return headers

"""The operators' page of the admin port: the state of the gateway, its streams, and who reads them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from importlib import resources

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.errors import Problem
from gateway.routes.answers import json_answer
from gateway.routes.negotiate import prefers_events, prefers_json
from gateway.routes.updates import Updates
from gateway.subscription.connections import MOST_ROWS, ORDERS, ConnectionRow
from gateway.subscription.session import Visitor

AGENT_CHARACTERS = 100
"""Of a `User-Agent` that are kept for the table."""
USUAL_ROWS = 100

_SECURITY = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
}
_UNSAFE = re.compile(r"[^\x20-\x7e]")
_LINKS = {
    "/explorer": "the explorer, over private streams too",
    "/metrics": "metrics of all workers, for Prometheus",
    "/-/overview": "the state of the gateway and of its streams",
    "/-/connections": "the open streams of all workers",
    "/v2/streams": "the streams, including private ones",
    "/healthz": "liveness",
    "/readyz": "readiness",
}
_ACTIONS = {
    "/-/reload": "reload the configuration",
    "/-/drain": "shut down gracefully, as on SIGTERM",
}

Rows = Callable[[str, int], Awaitable[tuple[list[ConnectionRow], int]]]
"""The first rows in an order, at most `limit` of them, and the number of all rows."""
State = Callable[[], Awaitable[dict[str, object]]]
"""The state of the gateway and of its streams, as JSON has it."""


def visitor(scope: Scope, address: str | None = None) -> Visitor:
    """The client: its address, or that of the connection if none is given, and its user agent, bounded and
    printable."""
    if address is None:
        peer = scope.get("client")
        address = "" if peer is None else peer[0]
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    shown = _UNSAFE.sub("?", agent[:AGENT_CHARACTERS].decode("latin-1"))
    return Visitor(address, shown)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _page() -> Response:
    """The page, in one answer: its style and its script are named in its policy by their content."""
    routes, explorer = resources.files("gateway") / "routes", resources.files("gateway") / "explorer"
    style = (explorer / "base.css").read_text() + (routes / "operators.css").read_text()
    script = (routes / "operators.js").read_text()
    text = (routes / "operators.html").read_text().replace("{style}", style).replace("{script}", script)
    policy = (
        f"default-src 'none'; connect-src 'self'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    headers = {**_SECURITY, "content-security-policy": policy, "vary": "accept"}
    return Response(text, 200, headers, "text/html; charset=utf-8")


class Overview:
    """`GET /`, `/-/overview` and `/-/connections`. Addresses are personal data, and are shown nowhere else."""

    def __init__(self, rows: Rows, updates: Updates, state: State) -> None:
        self._rows = rows
        self._updates = updates
        self._state = state

    async def page(self, request: Request) -> Response:
        """The page, and to programs an index of what there is."""
        if prefers_json(request.headers.get("accept")):
            return json_answer({**_LINKS, **{f"POST {path}": words for path, words in _ACTIONS.items()}})
        return _page()

    async def overview(self, request: Request) -> Response:
        """All that the page shows: JSON, or updates of it. Raises Problem: 400, 429."""
        order, limit = _wanted(request)

        async def document() -> bytes:
            state = await self._state()
            return orjson.dumps({**state, **await self._connections(order, limit)})

        if prefers_events(request.headers.get("accept")):
            return self._updates.open(request.scope, document)
        return Response(await document() + b"\n", 200, {"cache-control": "no-store"}, "application/json")

    async def connections(self, request: Request) -> Response:
        """JSON, updates of it, or the page, as the client prefers. Raises Problem: 400, 429."""
        order, limit = _wanted(request)

        async def document() -> bytes:
            return orjson.dumps(await self._connections(order, limit))

        accept = request.headers.get("accept")
        if prefers_events(accept):
            return self._updates.open(request.scope, document)
        if prefers_json(accept) or "text/html" not in (accept or ""):
            return Response(await document() + b"\n", 200, {"cache-control": "no-store"}, "application/json")
        return _page()

    async def _connections(self, order: str, limit: int) -> dict[str, object]:
        rows, total = await self._rows(order, limit)
        return {"total": total, "connections": [row.document() for row in rows]}


def _wanted(request: Request) -> tuple[str, int]:
    order = request.query_params.get("sort", "since")
    if order not in ORDERS:
        raise Problem(400, "Bad request", f"`sort` takes {', '.join(ORDERS)}, not {order[:100]!r}", "sort")
    limit = request.query_params.get("limit", str(USUAL_ROWS))
    if not (limit.isascii() and limit.isdigit() and 0 < int(limit[:10]) <= MOST_ROWS):
        raise Problem(400, "Bad request", f"`limit` takes 1 to {MOST_ROWS}, not {limit[:100]!r}", "limit")
    for name in request.query_params:
        if name not in ("sort", "limit"):
            raise Problem(400, "Bad request", "the parameters are `sort` and `limit`", name[:100])
    return order, int(limit)


class DrainRoute:
    """`drain` lets all processes of the server end in order."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain

    async def drain(self, _: Request) -> Response:
        """`POST /-/drain`"""
        self._drain()
        return json_answer({"status": "draining"}, 202)

"""The pages of the admin port for people: an index, and the table of the open streams."""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.errors import Problem
from gateway.routes.answers import json_answer
from gateway.routes.negotiate import prefers_json
from gateway.subscription.connections import MOST_ROWS, ORDERS, ConnectionRow
from gateway.subscription.session import Visitor
from gateway.text import counted
from gateway.times import iso_time

AGENT_CHARACTERS = 100
"""Of a `User-Agent` that are kept for the table."""
USUAL_ROWS = 100

_SECURITY = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
}
_UNSAFE = re.compile(r"[^\x20-\x7e]")
_LINKS = {
    "/metrics": "metrics of all workers, for Prometheus",
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


def visitor(scope: Scope, address: str | None = None) -> Visitor:
    """The client: its address, or that of the connection if none is given, and its user agent, bounded and
    printable."""
    if address is None:
        peer = scope.get("client")
        address = "" if peer is None else peer[0]
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    shown = _UNSAFE.sub("?", agent[:AGENT_CHARACTERS].decode("latin-1"))
    return Visitor(address, shown)


async def front_page(request: Request) -> Response:
    """`GET /` of the admin port."""
    if prefers_json(request.headers.get("accept")):
        return json_answer({**_LINKS, **{f"POST {path}": words for path, words in _ACTIONS.items()}})
    items = [f'<li><a href="{path}">{path}</a>: {words}</li>' for path, words in _LINKS.items()]
    items += [f"<li><code>POST {path}</code>: {words}</li>" for path, words in _ACTIONS.items()]
    return _page("Gateway: admin", f"<ul>{''.join(items)}</ul>")


class Overview:
    """`GET /-/connections`. Addresses are personal data, and are shown nowhere else."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def connections(self, request: Request) -> Response:
        """JSON, or a page for clients that prefer it. Raises Problem(400)."""
        order, limit = _wanted(request)
        rows, total = await self._rows(order, limit)
        accept = request.headers.get("accept")
        if prefers_json(accept) or "text/html" not in (accept or ""):
            return json_answer({"total": total, "connections": [row.document() for row in rows]})
        return _page(counted(total, "open stream"), _table(rows))


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


def _table(rows: list[ConnectionRow]) -> str:
    heads = ("id", "address", "streams", "filter", "position", "lag", "bytes", "since", "format", "user agent")
    lines = ["<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for row in rows:
        sent = "" if row.bytes is None else row.bytes
        lag = "live" if row.live else row.lag
        cells = (row.id, row.address, ", ".join(row.streams), row.filter or "", row.position, lag, sent,
                 iso_time(row.since), row.format, row.user_agent)  # fmt: skip
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    orders = ", ".join(f'<a href="?sort={order}">{order}</a>' for order in ORDERS)
    return f"<p>Sort by {orders}</p><table border>{''.join(lines)}</table>"


def _page(title: str, body: str) -> Response:
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{body}</html>\n'
    return Response(page, 200, _SECURITY, "text/html; charset=utf-8")


class DrainRoute:
    """`drain` lets all processes of the server end in order."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain

    async def drain(self, _: Request) -> Response:
        """`POST /-/drain`"""
        self._drain()
        return json_answer({"status": "draining"}, 202)

"""Problem documents (RFC 9457) for failures before a stream starts."""

from __future__ import annotations

import uuid

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import MISTAKE, Problem
from gateway.routes.cors import ALWAYS
from gateway.routes.request_ids import HEADER

_TITLES = {404: "Not found", 405: "Method not allowed"}


def answer(problem: Problem) -> Response:
    """The response that carries a problem."""
    return Response(
        orjson.dumps(problem.document()) + b"\n",
        problem.status,
        {"cache-control": "no-store", **problem.headers},
        "application/problem+json",
    )


def written(problem: Problem) -> bytes:
    """The same as it stands on a connection that is then closed, for a request that no application sees. It gets a new
    name: what was read of its head may not be whole."""
    response = answer(problem)
    lines = [b"HTTP/1.1 %d %b" % (problem.status, problem.title.encode())]
    more = ((HEADER, str(uuid.uuid4()).encode()), (b"connection", b"close"))
    lines += [name + b": " + value for name, value in (*response.raw_headers, *ALWAYS, *more)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)


async def on_problem(_: Request, error: Exception) -> Response:
    """For what the gateway refuses."""
    assert isinstance(error, Problem)
    return answer(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """For what the router refuses: an unknown path, a method that a path does not know."""
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    title = _TITLES.get(error.status_code, "Error")
    if error.status_code == 404:
        detail = f"there is no resource at {request.url.path[:200]!r}; start at /v2/streams"
    elif error.status_code == 405:
        detail = f"{request.method[:20]} is not allowed here; allowed: {headers.get('allow', 'GET')}"
    else:
        detail = str(error.detail)
    return answer(Problem(error.status_code, title, detail, headers=headers))


async def on_error(_: Request, error: Exception) -> Response:
    """For our own mistakes; what they are goes to the log, not to the client."""
    return answer(Problem(500, "Internal error", MISTAKE))

"""`/openapi.json`, `/asyncapi.json` and `/docs`: what the gateway says of itself, of the definitions in force."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.definitions import Definitions
from gateway.description.asyncapi import asyncapi
from gateway.description.facts import Facts
from gateway.description.openapi import openapi
from gateway.description.page import page, style
from gateway.routes.explorer import SECURITY
from gateway.routes.negotiate import accepts_gzip

CACHE_CONTROL = "no-cache"
"""It may be kept, and is asked for anew: a reload may change it."""
REMEMBERED = 32
"""Documents that are kept: each form is made for every name that the gateway is asked under."""


@dataclass(frozen=True, slots=True)
class _Body:
    data: bytes
    packed: bytes
    tag: str


class DocumentRoutes:
    """Documents are made at the first request for them, and kept as long as the definitions are in force."""

    def __init__(self, definitions: Callable[[], Definitions], facts: Callable[[], Facts]) -> None:
        self._current = definitions
        self._facts = facts
        self._bodies_of: Definitions | None = None
        self._bodies: dict[tuple[str, str], _Body] = {}
        self._security = SECURITY | {"content-security-policy": _policy(style())}

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`"""
        body = self._body("openapi", "", lambda facts: orjson.dumps(openapi(facts)) + b"\n")
        return _answer(request, body, "application/json", {})

    async def asyncapi(self, request: Request) -> Response:
        """`GET /asyncapi.json`"""
        base = str(request.base_url)
        body = self._body("asyncapi", base, lambda facts: orjson.dumps(asyncapi(facts, base)) + b"\n")
        return _answer(request, body, "application/json", {})

    async def docs(self, request: Request) -> Response:
        """`GET /docs`"""
        base = str(request.base_url)
        body = self._body("docs", base, lambda facts: page(openapi(facts), base).encode())
        return _answer(request, body, "text/html; charset=utf-8", self._security)

    def _body(self, form: str, base: str, make: Callable[[Facts], bytes]) -> _Body:
        definitions = self._current()
        if definitions is not self._bodies_of or len(self._bodies) >= REMEMBERED:
            self._bodies_of, self._bodies = definitions, {}
        body = self._bodies.get((form, base))
        if body is None:
            data = make(self._facts())
            tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
            body = self._bodies[form, base] = _Body(data, gzip.compress(data, 9, mtime=0), tag)
        return body


def _policy(styles: str) -> str:
    """A page without scripts, whose one style is named by its content."""
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _answer(request: Request, body: _Body, media_type: str, security: dict[str, str]) -> Response:
    headers = {"etag": body.tag, "cache-control": CACHE_CONTROL, "vary": "accept-encoding", **security}
    known = request.headers.get("if-none-match", "")
    if body.tag in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    packed = accepts_gzip(request.headers.get("accept-encoding"))
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(body.packed if packed else body.data, 200, headers, media_type)

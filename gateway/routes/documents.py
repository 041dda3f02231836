"""`/openapi.json`, `/asyncapi.json` and `/docs`: what the gateway says of itself, of the definitions in force."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.definitions import Definitions
from gateway.description.asyncapi import asyncapi, server_address
from gateway.description.facts import Facts
from gateway.description.openapi import openapi
from gateway.description.page import page, style
from gateway.routes.content import Content
from gateway.routes.explorer import SECURITY

CACHE_CONTROL = "no-cache"
"""It may be kept, and is asked for anew: a reload may change it."""
BASE = f"http://{uuid.uuid4().hex}.invalid/"
"""Stands in a document for the address that the gateway is asked under."""
REMEMBERED = 32
"""Documents that are kept: each form is made for every name that the gateway is asked under."""


class DocumentRoutes:
    """Documents are made at the first request for them, and kept as long as the definitions are in force."""

    def __init__(self, definitions: Callable[[], Definitions], facts: Callable[[], Facts]) -> None:
        self._current = definitions
        self._facts = facts
        self._made_of: Definitions | None = None
        self._made: dict[tuple[str, str], Content] = {}
        self._first: dict[str, Content] = {}
        self._security = SECURITY | {"content-security-policy": _policy(style())}

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`"""
        return self._content(
            "openapi", "", lambda facts: Content(orjson.dumps(openapi(facts)) + b"\n", "application/json", {})
        ).answer(request, CACHE_CONTROL)

    async def asyncapi(self, request: Request) -> Response:
        """`GET /asyncapi.json`"""
        base = str(request.base_url)
        return self._content(
            "asyncapi", base, lambda facts: Content(orjson.dumps(asyncapi(facts, BASE)) + b"\n", "application/json", {})
        ).answer(request, CACHE_CONTROL)

    async def docs(self, request: Request) -> Response:
        """`GET /docs`"""
        base = str(request.base_url)
        return self._content(
            "docs",
            base,
            lambda facts: Content(page(openapi(facts), BASE).encode(), "text/html; charset=utf-8", self._security),
        ).answer(request, CACHE_CONTROL)

    def _content(self, form: str, base: str, make: Callable[[Facts], Content]) -> Content:
        definitions = self._current()
        if definitions is not self._made_of:
            self._made_of, self._made, self._first = definitions, {}, {}
        content = self._made.get((form, base))
        if content is not None:
            return content
        first = self._first.get(form)
        if first is None:
            first = self._first[form] = make(self._facts())
        if not base:
            self._made[form, base] = first
            return first
        # Whoever asks under another name each time gets it made of what there is, and not compressed.
        data = first.data.replace(BASE.encode(), base.encode()).replace(_server(BASE), _server(base))
        content = Content(data, first.media_type, first.headers, packs=len(self._made) < REMEMBERED)
        if content.packs:
            self._made[form, base] = content
        return content


def _server(base: str) -> bytes:
    """What AsyncAPI's description of the server has of an address."""
    return orjson.dumps(server_address(base))[1:-1]


def _policy(styles: str) -> str:
    """A page without scripts, whose one style is named by its content."""
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

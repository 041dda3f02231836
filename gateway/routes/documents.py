"""`/openapi.json`, `/asyncapi.json` and `/docs`: the documents of the API, of the definitions in force."""

from __future__ import annotations

import asyncio
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
"""It may be cached but must be revalidated: a reload may change it."""
BASE = f"http://{uuid.uuid4().hex}.invalid/"
"""Stands in a document for the address that the gateway is asked under."""
REMEMBERED = 32
"""Documents that are kept: each form is made for every name that the gateway is asked under."""


class DocumentRoutes:
    """Documents are made at the first request for them, and kept as long as the definitions are in force. With a
    hundred streams one takes a tenth of a second: they are made beside the event loop, one at a time."""

    def __init__(self, definitions: Callable[[], Definitions], facts: Callable[[], Facts]) -> None:
        self._current = definitions
        self._facts = facts
        self._made_of: Definitions | None = None
        self._made: dict[tuple[str, str], Content] = {}
        self._first: dict[str, Content] = {}
        self._making = asyncio.Lock()
        self._security = SECURITY | {"content-security-policy": _policy(style())}

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`"""
        # The path is that of `public_url`, and so the same for all.
        root = request.base_url.path
        return await self._answer(
            request,
            "openapi",
            "",
            lambda facts: Content(orjson.dumps(openapi(facts, root)) + b"\n", "application/json", {}),
        )

    async def asyncapi(self, request: Request) -> Response:
        """`GET /asyncapi.json`"""
        return await self._answer(
            request,
            "asyncapi",
            str(request.base_url),
            lambda facts: Content(orjson.dumps(asyncapi(facts, BASE)) + b"\n", "application/json", {}),
        )

    async def docs(self, request: Request) -> Response:
        """`GET /docs`"""
        return await self._answer(
            request,
            "docs",
            str(request.base_url),
            lambda facts: Content(page(openapi(facts), BASE).encode(), "text/html; charset=utf-8", self._security),
        )

    async def _answer(self, request: Request, form: str, base: str, make: Callable[[Facts], Content]) -> Response:
        content = self._made.get((form, base)) if self._current() is self._made_of else None
        if content is None:
            async with self._making:
                if (definitions := self._current()) is not self._made_of:
                    self._made_of, self._made, self._first = definitions, {}, {}
                content = await asyncio.to_thread(self._content, form, base, make, self._facts())
        return content.answer(request, CACHE_CONTROL)

    def _content(self, form: str, base: str, make: Callable[[Facts], Content], facts: Facts) -> Content:
        """In a thread of its own, one at a time: what there is, or what is made of it. All that takes long is done
        here."""
        content = self._made.get((form, base))
        if content is not None:
            return content
        first = self._first.get(form)
        if first is None:
            first = self._first[form] = make(facts)
        content = first
        if base:
            # Whoever asks under another name each time gets it made of what there is, and not compressed.
            data = first.data.replace(BASE.encode(), base.encode()).replace(_server(BASE), _server(base))
            content = Content(data, first.media_type, first.headers, packs=len(self._made) < REMEMBERED)
        content.prepare()
        if content.packs:
            self._made[form, base] = content
        return content


def _server(base: str) -> bytes:
    """The parts of an address in AsyncAPI's description of the server."""
    return orjson.dumps(server_address(base))[1:-1]


def _policy(styles: str) -> str:
    """A page without scripts, whose one style is named by its content."""
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

"""Finds who asks, and which streams exist for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.credential import take_out
from gateway.access.gate import Gate
from gateway.access.grant import NOBODY, Grant
from gateway.catalog.catalog import Catalog
from gateway.definitions import Current

_IN_QUERY = "gateway.tokens"
"""The key of a request's scope under which the tokens stand that its query held."""


class Viewers(Protocol):
    """The clients of a port."""

    async def reader(self, scope: Scope, brief: bool = False) -> Grant:
        """The streams that this request may read; `brief`: a short-lived token in the query or a cookie counts.
        Raises Problem."""
        ...

    async def writer(self, scope: Scope) -> Grant:
        """The streams that it may write. Raises Problem."""
        ...

    def readable(self, grant: Grant) -> Catalog:
        """The streams that exist for who may read this."""
        ...


class Everyone:
    """All clients may do the same, whatever they show."""

    def __init__(self, catalog: Callable[[], Catalog], grant: Grant = NOBODY) -> None:
        self._catalog = catalog
        self._grant = grant

    async def reader(self, scope: Scope, brief: bool = False) -> Grant:
        """See Viewers."""
        return self._grant

    async def writer(self, scope: Scope) -> Grant:
        """See Viewers."""
        return self._grant

    def readable(self, grant: Grant) -> Catalog:
        """See Viewers."""
        return self._catalog()


class Bearers:
    """Clients that may show a token."""

    def __init__(self, gate: Gate, current: Current) -> None:
        self._gate = gate
        self._current = current

    async def reader(self, scope: Scope, brief: bool = False) -> Grant:
        """See Viewers."""
        return await self._gate.reader(scope["headers"], scope.get(_IN_QUERY, ()), brief)

    async def writer(self, scope: Scope) -> Grant:
        """See Viewers."""
        return await self._gate.writer(scope["headers"])

    def readable(self, grant: Grant) -> Catalog:
        """See Viewers."""
        return self._current.readable(grant)


class TokensApart:
    """Plain ASGI: takes tokens out of the query before routes, messages and the access log of the server see it;
    they share one scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if query := scope.get("query_string"):
            query, tokens = take_out(query)
            if tokens:
                scope["query_string"] = query
                scope[_IN_QUERY] = tokens
        await self._app(scope, receive, send)

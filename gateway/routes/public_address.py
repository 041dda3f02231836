"""The address by which clients know the gateway. Documents, links and examples in answers begin with it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.limits.networks import Networks
from gateway.routes.peer import public_address


class PublicAddresses:
    """Plain ASGI: puts scheme and host of the request as the client wrote it where the application looks for them.
    `public_url` wins; else a proxy that is trusted may tell them in `header`; else they are those of the request."""

    def __init__(self, app: ASGIApp, public_url: str, trusted: Networks, header: bytes) -> None:
        self._app = app
        self._trusted = trusted
        self._header = header
        url = urlsplit(public_url)
        self._scheme, self._host, self._root = url.scheme, url.netloc.encode(), url.path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scheme: str | None = self._scheme
            host: bytes | None = self._host
            if not host:
                scheme, host = public_address(scope, self._trusted, self._header)
            if scheme:
                scope["scheme"] = scheme
            if host:
                headers = [header for header in scope["headers"] if header[0] != b"host"]
                scope["headers"] = [*headers, (b"host", host)]
            if self._root:
                # What Starlette begins addresses with. Paths of requests do not have it: the proxy has taken it off.
                scope["app_root_path"] = self._root
        await self._app(scope, receive, send)

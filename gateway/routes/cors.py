"""Cross-origin requests (WHATWG Fetch, "CORS protocol"): every origin may read every public answer.

No answer may pass for another type: text from clients is no script or page of this origin ("nosniff").
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

ALWAYS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
    (b"x-content-type-options", b"nosniff"),
]
"""The headers of every answer of the public port."""

# By name what pages send beside credentials, for which the asterisk is none (WHATWG Fetch, "CORS-preflight fetch"), and
# what their observers add.
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Last-Event-ID, Content-Type, Content-Encoding, Idempotency-Key, Accept, Cache-Control, X-Request-Id, "
        b"Authorization, Traceparent, Tracestate, Baggage, Sentry-Trace, *",
    ),
    (b"access-control-max-age", b"86400"),
]
_ALLOWED = [(b"allow", b"GET, HEAD, OPTIONS")]


class Preflights:
    """Plain ASGI: answers OPTIONS requests that ask what is allowed. A browser asks whether a page of another origin
    may send a request. A proxy may ask whether the server as a whole is up (`OPTIONS /`, RFC 9110 section 9.3.7;
    HAProxy's default check). Elsewhere OPTIONS is an ordinary method."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = None
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            if any(name == b"access-control-request-method" for name, _ in scope["headers"]):
                headers = _PREFLIGHT
            elif scope["path"] == "/":
                headers = _ALLOWED
        if headers is None:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

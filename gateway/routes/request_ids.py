"""`X-Request-Id`: the name that a client or a proxy gave a request, or a new one, for the log and the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.observability import request_id
from gateway.text import random_uuid

HEADER = b"x-request-id"
TOLD = "gateway.told"
"""The key of a request's scope under which the headers stand that its answer has to have."""
CHARACTERS = 256
_PRINTABLE = re.compile(rb"[\x20-\x7e]+")


def given_id(header: bytes | None) -> str | None:
    """The id that a request came with, where it can stand in an event, a line and a header."""
    if header is None or len(header) > CHARACTERS or _PRINTABLE.fullmatch(header) is None:
        return None
    return header.decode()


class RequestIds:
    """Plain ASGI: names each request, and says the name in the answer, beside the headers that `every` answer has."""

    def __init__(self, app: ASGIApp, every: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._app = app
        self._every = every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = next((value for name, value in scope["headers"] if name == HEADER), None)
        name = given_id(header) or random_uuid()
        request_id.current.set(name)
        told = scope[TOLD] = [*self._every, (HEADER, name.encode())]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await self._app(scope, receive, send_with_headers)

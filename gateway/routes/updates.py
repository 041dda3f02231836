"""Updates: a document of the gateway's own pages, sent again while somebody looks at it, as server-sent events.

They are no streams: they have no positions, and share nothing with the feeds. A page that gets none asks for the
document again and again instead.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import uvicorn
from sse_starlette.sse import AppStatus, EventSourceResponse, SendTimeoutError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.cooperative import give_way
from gateway.errors import Problem
from gateway.observability import telemetry
from gateway.routes.sink import CONNECTION

EVERY_SECONDS = 2.0
LONGEST_SECONDS = 600.0
"""Seconds after which updates end in any case; a page asks for others."""
SEND_SECONDS = 10.0
"""Seconds in which a client must take what waits for it; after that its connection is cut."""
LIMIT = "updates"
"""The name of the limit, in problems and metrics."""
RETRY_MILLISECONDS = (2000, 4000)
"""Between these an `EventSource` comes back, so that not all come at once."""

# At its import the library replaces how every uvicorn server of the process answers signals. `gateway.process` does
# that here.
if AppStatus.original_handler is not None:
    uvicorn.Server.handle_exit = AppStatus.original_handler  # type: ignore[method-assign]


class _UpdateResponse(EventSourceResponse):
    """A response with a place among the open ones, which it leaves at its end, however it ends."""

    def __init__(self, frames: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        # The documents come more often than a ping would.
        super().__init__(frames, ping=0, send_timeout=SEND_SECONDS)
        # HTTP/1.1 has no use for it, and the server decides whether it keeps the connection.
        del self.headers["connection"]
        self._leave = leave

    @staticmethod
    async def _listen_for_exit_signal() -> None:
        """Of the library, which looks twice a second for the end of uvicorn, and would break the response off. Ours
        ends in order, by `Updates.end`."""
        await asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            connection = scope.get("extensions", {}).get(CONNECTION)
            if connection is None:
                raise
            connection.abort()
            # The server complains of a response that is cut before it knows that its client is gone.
            while (await receive())["type"] != "http.disconnect":
                await give_way()
        finally:
            self._leave()


class Updates:
    """The open updates of a port. `most` may be open, `most_per_address` of one client, whose address is that of
    `address`."""

    def __init__(self, most: int, most_per_address: int, address: Callable[[Scope], str]) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._address = address
        self._open: Counter[str] = Counter()
        self._ended = asyncio.Event()

    @property
    def count(self) -> int:
        """How many are open."""
        return self._open.total()

    def open(self, scope: Scope, document: Callable[[], Awaitable[bytes]]) -> Response:
        """A response that sends the document, which is one line, every two seconds. Raises Problem(429) where too many
        are open."""
        address = self._address(scope)
        if self.count >= self._most or self._open[address] >= self._most_per_address:
            telemetry.limit_refused(LIMIT)
            detail = f"at most {self._most_per_address} updates are open for an address, and {self._most} for all"
            raise Problem(429, "Too many requests", detail, headers={"retry-after": "60"}, members={"limit": LIMIT})
        self._open[address] += 1
        return _UpdateResponse(self._frames(document), lambda: self._leave(address))

    def end(self) -> None:
        """End all of them soon, in order. Those that begin later end after their first document."""
        self._ended.set()

    def _leave(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    async def _frames(self, document: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST_SECONDS
        yield b"retry: %d\n\n" % random.randint(*RETRY_MILLISECONDS)
        while True:
            yield b"data: %b\n\n" % await document()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._ended.wait()
            if self._ended.is_set() or loop.time() >= until:
                return

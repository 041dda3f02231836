"""A server of events as Python teams write it, with Starlette and sse-starlette.

Its lines end with CRLF, its pings are comments, its ids are whatever the team likes, and a response ends at any time.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/v2/stream/t"
PING_SECONDS = 0.02
EACH = 3
"""Events of one response, which then ends."""


class _Server(uvicorn.Server):
    """Leaves the signals of the tests alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def opaque(number: int) -> str:
    """An id that means something to its server alone."""
    return f"no. {number}: ä"


def position(number: int) -> str:
    """An id as Wikimedia has it."""
    return json.dumps([{"topic": "t", "partition": 0, "offset": number, "timestamp": 1000 + number}])


class ForeignServer:
    """Serves these events, which are numbered from 0; `identify` makes their ids. What comes after the last is 204.
    Clients are asked to come back after `retry` milliseconds."""

    def __init__(self, events: Sequence[dict[str, Any]], identify: Callable[[int], str], retry: int) -> None:
        self._events = events
        self._numbers = {identify(number): number for number in range(len(events))}
        self._identify = identify
        self._retry = retry
        self._pinged = asyncio.Event()
        self.pings = 0
        self.asked: list[str | None] = []
        """The last ids of the requests."""
        self.port = 0

    @property
    def address(self) -> str:
        """The URL of the stream."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def stream(self, request: Request) -> Response:
        """The next events after the last id."""
        given = request.headers.get("last-event-id")
        last = None if given is None else given.encode("latin-1").decode()
        self.asked.append(last)
        first = 0 if last is None else self._numbers[last] + 1
        if first == len(self._events):
            return Response(status_code=204)
        return EventSourceResponse(self._frames(first), ping=PING_SECONDS, ping_message_factory=self._ping)

    def _ping(self) -> ServerSentEvent:
        self.pings += 1
        self._pinged.set()
        return ServerSentEvent(comment=f"ping\n{self.pings}")

    async def _frames(self, first: int) -> AsyncIterator[dict[str, Any]]:
        for number, event in list(enumerate(self._events))[first : first + EACH]:
            # Between two events there is a ping.
            self._pinged.clear()
            await self._pinged.wait()
            # Over several lines, each of which is a line of data.
            yield {"id": self._identify(number), "data": json.dumps(event, indent=1), "retry": self._retry}


@asynccontextmanager
async def foreign_server(
    events: Sequence[dict[str, Any]], identify: Callable[[int], str] = opaque, retry: int = 10
) -> AsyncIterator[ForeignServer]:
    """Serves them on 127.0.0.1."""
    foreign = ForeignServer(events, identify, retry)
    app = Starlette(routes=[Route(PATH, foreign.stream)])
    server = _Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        foreign.port = listener.getsockname()[1]
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield foreign
        finally:
            server.should_exit = True
            await serving

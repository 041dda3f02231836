"""The plain client: it follows a live stream, and means no harm."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

from tests.attacks.clock import Clock, Moment
from tests.end_to_end.follower import Response, request

STREAM = "plain"
"""The stream that it follows."""
NUMBER = re.compile(rb'\ndata: \{"plain":(\d+)\}\n')
"""What stands beside the numbered events, whatever it is, is not parsed."""


def event(number: int) -> bytes:
    """What the plain client waits for."""
    return b'{"plain":%d}' % number


class PlainClient:
    """One response, on a connection of its own. It never asks again: whoever ends its stream is the fault."""

    def __init__(self, port: int, clock: Clock, expression: str | None = None) -> None:
        self.name = f"with the filter {expression}" if expression else "without a filter"
        self.came: dict[int, Moment] = {}
        self.disorder: list[int] = []
        """Numbers that came again, or after a later one."""
        self.over = False
        self.last_id: str | None = None
        self.opened = asyncio.Event()
        """Set at the first bytes of the stream."""
        self._next = 0
        self._rest = b"\n"
        self._clock = clock
        self._target = f"/v2/stream/{STREAM}" + (f"?filter={quote(expression)}" if expression else "")
        self._port = port
        self._response: Response | None = None

    async def open(self) -> None:
        """Ask; `opened` tells when the stream has begun."""
        asked = request(self._port, self._target, None)
        loop = asyncio.get_running_loop()
        _, self._response = await loop.create_connection(lambda: Response(asked, self), "127.0.0.1", self._port)

    def close(self) -> None:
        """Leave. Raises what was answered instead of a stream."""
        response = self._response
        if response is not None:
            if response.transport is not None:
                response.transport.abort()
            if response.over.done():
                response.over.result()

    def feed(self, data: bytes) -> None:
        """See Taker."""
        self.opened.set()
        data = self._rest + data
        end = data.rfind(b"\n\n") + 1
        if end < 1:
            self._rest = data
            return
        # Of the line that ends a frame, the next one begins with.
        self._rest = data[end:]
        moment = self._clock.now()
        for match in NUMBER.finditer(data, 0, end):
            number = int(match[1])
            if number < self._next:
                self.disorder.append(number)
            self._next = max(self._next, number + 1)
            self.came.setdefault(number, moment)

    def cut(self) -> None:
        """See Taker."""
        self.over = True

"""A source that a test writes to, and a mirror of it in a log in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx

from gateway.catalog.stream import Stream
from gateway.client import Query, State, Subscription
from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import demand
from gateway.mirror.meter import Meter
from gateway.mirror.mirror import Mirror
from gateway.model.record import Record, TopicPartition
from tests.client.server import ALL, STREAM, Server, answer
from tests.eventlog.kit import batches_of

NAME = "name"
TARGET = Stream("target", ("target",))
URL = "http://feed.test/v2/stream/t"
WAIT = 60.0
"""Seconds until something that is sure to come counts as missing."""


class Live(httpx.AsyncByteStream):
    """A body that goes on as the test says."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.taken = 0

    def send(self, *pieces: bytes) -> None:
        """Let these come, each by itself."""
        for piece in pieces:
            self._pieces.put_nowait(piece)

    def end(self) -> None:
        """End the response."""
        self._pieces.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            self.taken += 1
            yield piece

    @property
    def response(self) -> httpx.Response:
        """The answer with this body."""
        return httpx.Response(200, headers={"content-type": STREAM} | ALL, stream=self)


class Bench:
    """Mirrors of one source into one log, one after another or at once."""

    def __init__(self, log: MemoryLog, *answers: httpx.Response | Exception, stream: Stream = TARGET) -> None:
        self.log = log
        self.server = Server(*answers, answer(204))
        self.said: list[str] = []
        self.slept: list[float] = []
        self._stream = stream

    def mirror(self, **options: Any) -> tuple[Mirror, Meter]:
        """A new one."""
        clock = SystemClock()
        meter = Meter(clock)
        options = {"sleep": self.sleep} | options
        return Mirror(self._stream, self.log, NAME, self.subscribe, clock, meter, self.said.append, **options), meter

    async def run(self) -> Meter:
        """A mirror from its start to the end of the source."""
        mirror, meter = self.mirror()
        async with asyncio.timeout(WAIT):
            await mirror.run(asyncio.Event())
        return meter

    async def sleep(self, seconds: float) -> None:
        """Waits for nothing."""
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def subscribe(self, position: str, on_state: Callable[[State], None]) -> Subscription:
        """As a mirror subscribes."""
        return Subscription(
            URL,
            Query(canary=True),
            last_event_id=position,
            on_state=on_state,
            transport=self.server,
            sleep=self.sleep,
        )

    async def records(self, count: int | None = None) -> list[Record]:
        """What is in the log; so many, where a number is given, once they are there."""
        partition = TopicPartition(TARGET.name, 0)
        found: list[Record] = []
        reader = await self.log.reader({partition: 0})
        wanted = demand(await self.log.bounds([partition]))[partition].end if count is None else count
        while len(found) < wanted:
            batches = batches_of(await reader.fetch(WAIT))
            assert batches, f"{len(found)} of {wanted} records came"
            found += [record for batch in batches_of(batches) for record in batch.records]
        return found

    async def values(self, count: int | None = None) -> list[bytes | None]:
        """Their values."""
        return [record.value for record in await self.records(count)]


def frame(data: bytes, identifier: str | None, event: str = "message") -> bytes:
    """A frame on the wire."""
    shown = b"" if identifier is None else b"id: %b\n" % identifier.encode()
    lines = b"".join(b"data: %b\n" % line for line in data.split(b"\n"))
    return b"event: %b\n%b%b\n" % (event.encode(), shown, lines)


def heartbeat(identifier: str) -> bytes:
    """A frame that moves the position alone."""
    return b": heartbeat\nid: %b\n\n" % identifier.encode()


def numbers(records: Sequence[bytes | None]) -> list[int]:
    """The numbers of stored events."""
    return [json.loads(value or b"")["n"] for value in records]

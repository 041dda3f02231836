"""What the tests of `subscribe` share: both twins as one, a response that stays open, and stores of positions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx

from gateway.client import BlockingEventStream, Event, EventStream, MemoryPositions, PositionStoreError
from tests.client.server import Pieces, Server

END = b'event: end\ndata: {"reason":"until"}\n\n'
GAP = b'event: gap\nid: %b\ndata: {"topic":"t","partition":0,"requested":1,"resumed":5,"reason":"expired"}\n\n'

Make = Callable[[], EventStream]
Take = Callable[[Event], None]
Read = Callable[[Make, Take], None]


def read_in_loop(make: Make, take: Take) -> None:
    async def run() -> None:
        async with make() as source:
            async for event in source:
                take(event)

    asyncio.run(run())


def read_blocking(make: Make, take: Take) -> None:
    with BlockingEventStream(make) as source:
        for event in source:
            take(event)


def numbers(read: Read, make: Make) -> list[int]:
    taken: list[int] = []
    read(make, lambda event: taken.append(event.json["n"]))
    return taken


class Stop(Exception):
    """Ends a loop."""


def stop_at(number: int) -> Take:
    def take(event: Event) -> None:
        if event.json["n"] == number:
            raise Stop

    return take


class Endless(Pieces):
    """A response that stays open after its pieces; `closed` is set when it is not read any more."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(pieces)
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.more: asyncio.Queue[bytes] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.opened.set()
        async for piece in super().__aiter__():
            yield piece
        while True:
            yield await self.more.get()

    async def aclose(self) -> None:
        self.closed.set()

    def server(self) -> Server:
        kind = {"content-type": "text/event-stream", "event-gateway": "since, until, limit, filter, fields, canary"}
        return Server(httpx.Response(200, headers=kind, stream=self))


class Noticed(MemoryPositions):
    """Can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.saved = asyncio.Event()

    def save(self, position: str) -> None:
        super().save(position)
        self.saved.set()

    async def reached(self, position: str) -> None:
        async with asyncio.timeout(60):
            while self.position != position:
                self.saved.clear()
                await self.saved.wait()


class Failing(MemoryPositions):
    """Takes no position as long as it fails."""

    fails = True

    def save(self, position: str) -> None:
        if self.fails:
            raise PositionStoreError("the disk is full")
        super().save(position)

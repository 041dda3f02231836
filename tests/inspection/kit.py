"""A log in brokers, in memory; and servers that speak as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from gateway.eventlog.inspection import Listed, Reached
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import Trouble
from gateway.model.record import NewRecord
from tests.kit.loopback import serving

ALL = frozenset({"describe", "read", "write"})


class Listing(MemoryLog):
    """A log in brokers."""

    def __init__(self, *topics: str) -> None:
        super().__init__()
        self.told: dict[str, Listed | Trouble] = {}
        self.failure = ""
        for topic in topics:
            self.create_topic(topic, 2)
            self.told[topic] = Listed(2, topic.startswith("__"), ALL)

    async def reach(self) -> list[Reached]:
        return [Reached("k:9092", self.failure)]

    async def listed(self, topics: Collection[str] | None = None) -> dict[str, Listed | Trouble]:
        return {name: told for name, told in self.told.items() if topics is None or name in topics}

    def put(self, topic: str, *values: bytes | None) -> None:
        self.append_now(topic, [NewRecord(value, timestamp=1_000 * n, partition=0) for n, value in enumerate(values)])


Answer = Callable[[bytes], bytes | None]
"""What is sent back to what came in; None: nothing, b"": the connection is closed."""


@asynccontextmanager
async def speaking(answer: Answer) -> AsyncIterator[int]:
    """The port of a server on loopback that speaks as it is told. It is none of the services it stands for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (received := await reader.read(65_536)) and (said := answer(received)) != b"":
            writer.write(said or b"")
            await writer.drain()

    async with serving(serve) as port:
        yield port


def http(status: int, body: bytes) -> Answer:
    """A server of HTTP/1.1 that answers each request so."""
    return lambda _: b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nlocation: /x\r\n\r\n%b" % (status, len(body), body)


def redis(line: bytes) -> Answer:
    """Answers each command of Redis's protocol with this line."""
    return lambda received: (line + b"\r\n") * received.count(b"*")

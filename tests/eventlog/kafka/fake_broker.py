"""A broker on loopback that speaks as much of the protocol as metadata and offsets need, and misbehaves when told."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka.protocol.offset import OffsetResponse_v2

from gateway.eventlog.kafka.protocol import MetadataResponse_v12

TOPIC = "t"
IDENTITY = b"\1" * 16
VERSIONS = {2: 2, 3: 12, 18: 0, 22: 0}
"""The one version that it knows of each request."""


class FakeBroker:
    """`says` is what becomes of each answer: None is well, `nothing` none, `garbage` bytes, `huge` the announcement of
    2 GB, `drip` a byte every tenth of a second, `refused` the end of the connection, `slow` an answer after 0.6 s."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.port = 0
        self.says: str | None = None
        self.deaf_to: set[int] = set()
        """Requests that are never answered."""
        self.leader: tuple[int, int] = (node, 0)
        """Who leads the only partition, and in which epoch."""
        self.identity: bytes | None = IDENTITY
        self.brokers: Mapping[int, int] = {}
        self.throttle = 0
        self.offset_error = 0
        self.asked: list[int] = []
        self.connected = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        self._open.add(writer)
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                kind, _, correlation = struct.unpack_from(">hhi", request)
                self.asked.append(kind)
                if self.says == "refused":
                    return
                if kind not in self.deaf_to:
                    await self._answer(writer, kind, struct.pack(">i", correlation))
        except (OSError, EOFError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    def hang_up(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _answer(self, writer: asyncio.StreamWriter, kind: int, head: bytes) -> None:
        body = head + self._body(kind)
        frame = struct.pack(">i", len(body)) + body
        if self.says == "garbage":
            frame = struct.pack(">i", 40) + head + b"\xff" * 36
        elif self.says == "huge":
            frame = struct.pack(">i", 2**31 - 1) + head
        elif self.says == "slow":
            await asyncio.sleep(0.6)
        if self.says == "drip":
            for at in range(len(frame)):
                writer.write(frame[at : at + 1])
                await asyncio.sleep(0.1)
        elif self.says != "nothing":
            writer.write(frame)

    def _body(self, kind: int) -> bytes:
        if kind == 18:
            ranges = b"".join(struct.pack(">hhh", key, version, version) for key, version in VERSIONS.items())
            return struct.pack(">hi", 0, len(VERSIONS)) + ranges
        if kind == 2:
            offsets = [(TOPIC, [(0, self.offset_error, -1, 7)])]
            return bytes(OffsetResponse_v2(self.throttle, offsets).encode())
        if kind == 22:
            return struct.pack(">ihqh", self.throttle, 0, self.node, 0)
        brokers: list[Any] = [(node, "127.0.0.1", port, None, {}) for node, port in self.brokers.items()]
        leader, epoch = self.leader
        partitions: list[Any] = [(0, 0, leader, epoch, [leader], [leader], [], {})]
        topic: tuple[Any, ...] = (3, TOPIC, bytes(16), False, [], 0, {})
        if self.identity is not None:
            topic = (0, TOPIC, self.identity, False, partitions, 0, {})
        response = MetadataResponse_v12(self.throttle, brokers, None, self.node, [topic], {})
        return b"\0" + bytes(response.encode())


@asynccontextmanager
async def fake_brokers(count: int) -> AsyncIterator[list[FakeBroker]]:
    """So many, which know each other."""
    brokers = [FakeBroker(node) for node in range(1, count + 1)]
    servers = [await asyncio.start_server(broker.serve, "127.0.0.1", 0) for broker in brokers]
    for broker, server in zip(brokers, servers, strict=True):
        broker.port = server.sockets[0].getsockname()[1]
    for broker in brokers:
        broker.brokers = {each.node: each.port for each in brokers}
        broker.leader = (1, 1)
    try:
        yield brokers
    finally:
        for broker, server in zip(brokers, servers, strict=True):
            server.close()
            broker.hang_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # tasks of connections, which nobody holds
                    await asyncio.sleep(0.01)

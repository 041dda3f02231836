"""A network between the gateway and a broker, which fails at a byte that a test chooses."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

CHUNK = 65536


class Cut(Enum):
    """How a connection ends in the middle of what it carries."""

    HALF = "half-delivered"
    """What came before the place arrives, then the end of the connection."""
    RESET = "reset"
    """RST: what has not been read yet is lost, too."""
    SILENCE = "silent"
    """Everything is swallowed, in both directions, on all connections, until the gateway gives up waiting."""


class Network:
    """Passes connections on to a port. Unlike `Relay` it counts the bytes of the responses on all connections together,
    and cuts where the count comes to a number."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.target = 0
        self._left: int | None = None
        self._how = Cut.HALF
        self._silent: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._happened = asyncio.Event()
        self._given_up = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen for the time of a test, whose event loop is its own."""
        self._left = None
        self._silent, self._writers = set(), set()
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.add(asyncio.create_task(self._serve(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*connections)
            await server.wait_closed()

    async def cut(self, place: int, how: Cut) -> None:
        """Cut when so many more bytes have come from the broker; returns when that is over: of a silence, when the
        gateway has given up on a connection."""
        self._happened, self._given_up = asyncio.Event(), asyncio.Event()
        self._how, self._left = how, place
        await self._happened.wait()
        if how is Cut.SILENCE:
            await self._given_up.wait()
            self._silent.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            beyond, further = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, further}
        self._writers |= both
        downwards = asyncio.create_task(self._downwards(beyond, writer))
        await self._upwards(reader, further, writer)
        further.transport.abort()
        await downwards
        writer.transport.abort()
        self._writers -= both

    async def _upwards(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if client not in self._silent:
                    writer.write(data)
        if client in self._silent:
            self._given_up.set()

    async def _downwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if writer in self._silent:
                    continue
                if self._left is not None and self._left <= len(data):
                    self._end(writer, data[: self._left])
                    if self._how is not Cut.SILENCE:
                        return
                    continue
                if self._left is not None:
                    self._left -= len(data)
                writer.write(data)
                await writer.drain()

    def _end(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        self._left = None
        self._happened.set()
        writer.write(data)
        if self._how is Cut.HALF:
            writer.close()
        elif self._how is Cut.RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            self._silent.add(writer)
            self._silent |= self._writers

"""A network that fails when a test wants it to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

PACKET = 1460
"""Bytes that Ethernet carries at once."""


class Relay:
    """Passes connections on to a port, and breaks them in the middle of what they carry."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._kept: float | None = None
        self._broken = asyncio.Event()
        self.port = 0

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self, kept: float) -> None:
        """Break a connection at the next bytes that come from the port, of which this fraction still passes.

        Returns when it is broken. The first bytes of a connection pass whole: they are one packet.
        """
        self._kept = kept
        self._broken.clear()
        await self._broken.wait()

    async def close(self) -> None:
        """Listen no longer."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            beyond, further = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, further}
        self._writers |= both
        await asyncio.gather(self._upwards(reader, further), self._downwards(beyond, writer))
        for each in both:
            each.transport.abort()
        self._writers -= both

    async def _upwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def _downwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            passed = 0
            while data := await reader.read(65536):
                if passed > PACKET and self._kept is not None:
                    writer.write(data[: int(len(data) * self._kept)])
                    self._kept = None
                    self._broken.set()
                    break
                passed += len(data)
                writer.write(data)
                await writer.drain()
        # What was written still arrives.
        writer.close()

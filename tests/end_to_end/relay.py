"""A network that fails when a test wants it to."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Relay:
    """Passes connections on to a port, and breaks them in the middle of what they carry."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._kept: float | None = None
        self.port = 0

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, kept: float) -> None:
        """Break a connection at the next bytes that come from the port: this fraction of them still passes.

        The first bytes of a connection pass whole: the head of a response is one packet, and arrives or does not.
        """
        self._kept = kept

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
            writer.write(await reader.read(65536))
            while data := await reader.read(65536):
                kept, self._kept = self._kept, None
                if kept is not None:
                    writer.write(data[: int(len(data) * kept)])
                    break
                writer.write(data)
                await writer.drain()
        # What was written still arrives.
        writer.close()

"""A server on a real socket that says what a test says, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Gives its answers one a connection, the last for all that follow; `heads` are the requests as they came."""

    def __init__(self, *answers: bytes | Say) -> None:
        self._answers = list(answers)
        self.heads: list[bytes] = []
        self.port = 0

    @property
    def address(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    def header(self, number: int, name: str) -> str | None:
        """One of a request."""
        for line in self.heads[number].decode().split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            given = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if callable(given):
                await given(reader, writer)
            else:
                writer.write(given)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serve(*answers: bytes | Say) -> AsyncIterator[RawServer]:
    """Serves them on 127.0.0.1."""
    raw = RawServer(*answers)
    listening = await asyncio.start_server(raw._answer, "127.0.0.1", 0)
    raw.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield raw


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode()


STREAM = "content-type: text/event-stream"
"""The header of an event stream."""

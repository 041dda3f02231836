"""Many clients in a process of its own that do not behave, on plain sockets, so that they cost little.

    python -m tests.end_to_end.strangers PORT KIND CONNECTIONS SECONDS

It says as JSON what it counted, once all connections are closed. What it does follows from a seed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from loadtests.machine import allow_files
from tests.end_to_end.process import ROOT

TARGET = "/v2/stream/numbers"
REQUEST = f"GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
REPLAY = f"GET {TARGET}?since=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
LIMITED = f"GET {TARGET}?since=1&limit=100 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
SPARE_FILES = 200
OPENING = 50
"""Connections that are opened at the same moment: a listening socket holds some hundred that wait."""
BUFFER = 4096


class Strangers:
    """Connections until a time, and what came of them."""

    def __init__(self, port: int, connections: int, seconds: float) -> None:
        self._port = port
        self._connections = connections
        self._until = asyncio.get_running_loop().time() + seconds
        self._seconds = seconds
        self._random = Random(11)
        self._opening = asyncio.Semaphore(OPENING)
        self._now = 0
        self.counted = {"opened": 0, "streams": 0, "errors": 0, "most": 0}

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._until - asyncio.get_running_loop().time()

    async def run(self, behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        """Each place is taken by one connection after the other, and by one at least, however late."""

        async def take() -> None:
            # They do not all come in the same moment.
            await asyncio.sleep(self._random.random() * min(5.0, self._seconds / 2))
            while True:
                await self._connect(behave)
                if self.left <= 0:
                    break

        await asyncio.gather(*(take() for _ in range(self._connections)))

    async def _connect(self, behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        try:
            async with self._opening:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=BUFFER)
        except OSError:
            self.counted["errors"] += 1
            await asyncio.sleep(0.1)
            return
        self._now += 1
        self.counted["opened"] += 1
        self.counted["most"] = max(self.counted["most"], self._now)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await behave(reader, writer)
        finally:
            self._now -= 1
            writer.transport.abort()

    async def churn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Come, perhaps ask, perhaps read, and go at any moment, without a word."""
        random = self._random
        kind = random.random()
        if kind < 0.1:
            await self._rest(random.random())
            return
        # No more of the past for those who come late, so that each round asks for as much as the one before it.
        request = random.choice((REQUEST, LIMITED))
        if kind < 0.2:
            writer.write(request[: random.randrange(1, len(request))])
            await self._rest(random.random())
            return
        writer.write(request)
        if kind < 0.3:
            return
        await self._answer(await reader.read(BUFFER))
        # Half read on until they go, the others leave it in the socket.
        end = min(self.left, random.expovariate(1 / 3))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, end)):
                while kind < 0.65 and await reader.read(BUFFER):
                    pass
                await asyncio.sleep(end)

    async def silent(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask for everything, and read nothing."""
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(REPLAY)
        await self._rest(self._seconds)

    async def trickle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Half write a byte of the request a second, half read a byte of the answer a second."""
        slow = self._random.random() < 0.5
        if slow:
            for byte in REQUEST:
                if self.left <= 0:
                    return
                writer.write(bytes([byte]))
                await self._rest(1)
        else:
            writer.write(REPLAY)
        while self.left > 0 and await reader.read(1):
            await self._rest(1)

    async def garbage(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send what is no request, or something behind one."""
        random = self._random
        noise = random.randbytes(random.randrange(1, 3000))
        sent = random.choice(
            (
                noise,
                b"\x16\x03\x01\x02\x00" + noise,
                REQUEST[:-2] + b"X: " + noise + b"\r\n\r\n",
                b"GET /v2/stream/" + noise.hex().encode() + b" HTTP/1.1\r\nHost: h\r\n\r\n",
                REQUEST.replace(b"HTTP/1.1", b"HTTP/9.9"),
                REQUEST[:-2] + b"Last-Event-ID: [" + noise.hex().encode() + b"\r\n\r\n",
                b"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n" + noise,
                b"POST /v1/events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + noise,
                REQUEST + noise,
            )
        )
        writer.write(sent)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(1.0, self.left))):
                await self._answer(await reader.read(BUFFER))
        await self._rest(0.05)

    async def _answer(self, data: bytes) -> None:
        self.counted["streams"] += data.startswith(b"HTTP/1.1 200 ")
        self.counted["errors"] += data.startswith(b"HTTP/1.1 5") or b"Traceback" in data

    async def _rest(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, min(seconds, self.left)))


async def disturb(port: int, kind: str, connections: int, seconds: int) -> dict[str, int]:
    """Clients in a process of their own, and what they counted."""
    arguments = [str(port), kind, str(connections), str(seconds)]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, *arguments, stdout=PIPE, cwd=ROOT)
    said, _ = await process.communicate()
    assert process.returncode == 0
    counted: dict[str, int] = json.loads(said)
    return counted


async def main(port: int, kind: str, connections: int, seconds: float) -> None:
    """Disturb, and tell."""
    allow_files(connections + SPARE_FILES)
    strangers = Strangers(port, connections, seconds)
    await strangers.run(getattr(strangers, kind))
    print(json.dumps(strangers.counted), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))

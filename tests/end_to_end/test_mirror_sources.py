"""Sources that are none: what `gateway mirror` says, and that it stays small."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.commands.mirror import GAPS_TOLD
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import demand
from gateway.model.record import TopicPartition
from tests.end_to_end.process import ROOT, WAIT, configuration, environment, eventually
from tests.eventlog.kit import batches_of
from tests.services.kafka import free_port

pytestmark = pytest.mark.end_to_end

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
HTML = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<!doctype html><title>Welcome</title>"
PROBLEM = (
    b'HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\n\r\n{"detail":"There is no such stream."}'
)
NUMBERS = TopicPartition("numbers", 0)
MEMORY = 250_000_000
"""Bytes that a mirror may need at the most; a frame is larger."""


class Source:
    """A server whose every connection is written to by a function of the test."""

    def __init__(self, write: Callable[[int], AsyncIterator[bytes]]) -> None:
        self._write = write
        self._server: asyncio.Server | None = None
        self.requests: list[bytes] = []
        self.port = 0

    async def __aenter__(self) -> Source:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            async for piece in self._write(len(self.requests)):
                writer.write(piece)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Run:
    """A `gateway mirror` of a source, and what it says."""

    def __init__(self, directory: Path, port: int) -> None:
        self._log = directory / "log.db"
        config = configuration(directory, {"numbers": {"topics": ["numbers"]}})
        self._command = [sys.executable, "-m", "gateway", "mirror", f"http://127.0.0.1:{port}/v2/stream/t", "numbers"]
        self._command += ["--config", str(config), "--log", f"sqlite:///{self._log}"]
        self._errors = directory / "stderr"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it."""
        with self._errors.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stderr=errors, cwd=ROOT, env=environment()
            )

    @property
    def said(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text()

    async def says(self, text: str) -> None:
        """Wait until it says this."""

        async def check() -> bool:
            return text in self.said

        await eventually(check, f"it says {text!r}")

    async def ended(self) -> int:
        """Wait for its end; the exit status."""
        assert self.process is not None
        async with asyncio.timeout(WAIT):
            return await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.terminate()
        return await self.ended()

    @property
    def memory(self) -> int:
        """Bytes that it has had at the most; 0 once it has ended."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status")
        _, _, peak = (status.read_text() if status.exists() else "").partition("VmHWM:")
        return int(peak.split()[0]) * 1024 if peak else 0

    async def values(self, count: int) -> list[bytes | None]:
        """The first so many that are in the log, once they are there: a process takes long to start, and a source that
        goes on may have given more by then."""
        log = SqliteLog(self._log)
        await log.create("numbers")
        reader = await log.reader({NUMBERS: 0})
        found: list[bytes | None] = []
        try:
            while len(found) < count:
                batches = batches_of(await reader.fetch(WAIT))
                assert batches, f"{len(found)} of {count} values came"
                found += [record.value for batch in batches for record in batch.records]
            return found[:count]
        finally:
            await log.close()

    async def count(self) -> int:
        """How many are in the log now."""
        log = SqliteLog(self._log)
        try:
            return demand(await log.bounds([NUMBERS]))[NUMBERS].end
        finally:
            await log.close()


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Callable[[int], Awaitable[Run]]]:
    """Start mirrors of a port, which end with the test."""
    started: list[Run] = []

    async def start(port: int) -> Run:
        started.append(Run(tmp_path, port))
        await started[-1].start()
        return started[-1]

    yield start
    for each in started:
        assert each.process is not None
        if each.process.returncode is None:
            each.process.kill()
            await each.process.wait()
        assert "Traceback" not in each.said


Start = Callable[[int], Awaitable[Run]]


def pieces(*given: bytes) -> Callable[[int], AsyncIterator[bytes]]:
    """The same for every connection."""

    async def write(_: int) -> AsyncIterator[bytes]:
        for piece in given:
            yield piece

    return write


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (HTML, "is not an event stream (text/event-stream) but text/html, which begins '<!doctype html>"),
        (PROBLEM, "answered 404: There is no such stream."),
        (HEAD + b'event: error\ndata: {"title":"broken for good"}\n\n', "broken for good"),
    ],
)
async def test_a_source_that_will_not_heal(run: Start, given: bytes, said: str) -> None:
    async with Source(pieces(given)) as source:
        mirror = await run(source.port)
        assert await mirror.ended() == 1
        assert said in mirror.said
        assert f"127.0.0.1:{source.port}" in mirror.said
        assert "0 events stored" in mirror.said
        assert len(source.requests) == 1


async def test_a_frame_of_a_hundred_megabytes(run: Start) -> None:
    memory = 0

    async def write(connection: int) -> AsyncIterator[bytes]:
        nonlocal memory
        if connection > 1:
            yield HEAD
            return
        yield HEAD + b"id: 5\ndata: first\n\ndata: "
        for _ in range(100):
            yield b"x" * 1_000_000
            memory = max(memory, mirror.memory)
        yield b"\nid: 6\n\nid: 7\ndata: last\n\n"

    mirror: Run
    async with Source(write) as source:
        mirror = await run(source.port)
        assert await mirror.values(2) == [b"first", b"last"]
        assert await mirror.stop() == GAPS_TOLD
        assert "too_large" in mirror.said
        assert 0 < memory < MEMORY


async def test_half_a_frame_and_ids_that_are_no_positions(run: Start) -> None:
    async def write(connection: int) -> AsyncIterator[bytes]:
        yield HEAD + b"retry: 50\n\n"
        for number in range(10 * connection - 9, 10 * connection + 1):
            yield b"id: %d\ndata: %d\n\n" % (number, number)
        yield b"id: 1000\ndata: half"

    async with Source(write) as source:
        mirror = await run(source.port)
        assert await mirror.values(30) == [b"%d" % number for number in range(1, 31)]
        assert await mirror.stop() == 0
        assert b"last-event-id: 10\r\n" in source.requests[1]
        assert b"last-event-id: 20\r\n" in source.requests[2]
        # Its end may have come between a request and what that would have given.
        position = b"last-event-id: %d\r\n" % await mirror.count()
        kept = len(source.requests)
        again = await run(source.port)
        await again.says("resuming after")

        async def asked() -> bool:
            return any(position in request for request in source.requests[kept:])

        await eventually(asked, f"a request with {position!r}")
        assert await again.stop() == 0


async def test_nobody_listens(run: Start) -> None:
    mirror = await run(free_port())
    await mirror.says("trying again")
    assert "Connection refused" in mirror.said
    assert await mirror.stop() == 0

"""Strangers that mean no good, at a real process: its memory and files stay bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.demo.wiki import WikiSample
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import WAIT, GatewayProcess, eventually
from tests.end_to_end.stream import Client, EventStream

pytestmark = pytest.mark.end_to_end

HEAD_TIMEOUT = 1.0
"""Of the test that waits for its end. In the others a test that is held up itself is not to meet it."""
WAITING = 100
MEGABYTE = 1 << 20
REQUEST = b"GET /v2/stream/numbers HTTP/1.1\r\nhost: x\r\n\r\n"
BOUNDS = {"head_timeout": 30, "keep_alive": 0.5, "waiting_connections": WAITING, "process_connections": 300,
          "write_timeout": 12, "schema_repositories": ["config/schemas"], "heartbeat": 0.3}  # fmt: skip
STREAMS = {"numbers": {"schema_title": "wiki/change"}}


class Victim:
    """The gateway that is attacked, and a reader and a writer who mean well."""

    def __init__(self, gateway: GatewayProcess, reader: EventStream) -> None:
        self.gateway = gateway
        self._reader = reader

    @property
    def files(self) -> int:
        """Its open files."""
        return len(list(Path(f"/proc/{self.gateway.pid}/fd").iterdir()))

    @property
    def memory(self) -> int:
        """Its resident bytes."""
        pages = int(Path(f"/proc/{self.gateway.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def serves(self) -> None:
        """A stranger who asks is answered, and whoever reads goes on to."""
        seen = len(self._reader.frames)

        async def answered() -> bool:
            begun = time.monotonic()
            try:
                status = (await self.gateway.get("/healthz")).status_code
            except httpx.TransportError:
                status = 0
            # Whoever is held up for as long as a head may take is let go.
            assert status == 200 or time.monotonic() - begun > HEAD_TIMEOUT, status
            return status == 200

        await eventually(answered, "an answer")
        await self._reader.until(lambda: len(self._reader.frames) > seen, "another heartbeat")

    async def has_let_go(self, files: int) -> None:
        """The connections of the attack are gone. A few files more are those of the log, which it opens by and by."""

        async def gone() -> bool:
            return self.files <= files + 5

        await eventually(gone, f"no more than {files} open files")


@pytest.fixture
async def victim(request: pytest.FixtureRequest, serve: Serve, client: Client, tmp_path: Path) -> AsyncIterator[Victim]:
    """A test may give it other bounds."""
    bounds = BOUNDS | getattr(request, "param", {})
    gateway = await serve(STREAMS, f"sqlite:///{tmp_path / 'events.db'}", **bounds)
    victim = Victim(gateway, await client.stream(gateway.port, "numbers"))
    # What it opens when it is first asked is open before its files are counted.
    await victim.serves()
    yield victim
    assert await gateway.stop() == 0


async def opened(port: int, count: int, first: bytes = b"") -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """So many connections, each with these bytes sent."""
    connections = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        connections.append((reader, writer))
    return connections


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes."""
    received = b""
    async with asyncio.timeout(WAIT):
        try:
            while part := await reader.read(65536):
                received += part
        except ConnectionError:
            pass
    return received


@pytest.mark.parametrize("victim", [{"head_timeout": HEAD_TIMEOUT}], indirect=True, ids=["soon"])
async def test_requests_that_do_not_come_to_an_end(victim: Victim) -> None:
    """Slowloris, and connections on which nothing is said: each costs a place among those that wait, for a while."""
    before, port = victim.files, victim.gateway.port
    silent = await opened(port, 40)
    slow = await opened(port, 40, b"GET /v2/stream/numbers HTTP/1.1\r\nhost: x\r\n")

    async def trickle(writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.sleep(HEAD_TIMEOUT / 5)
        except ConnectionError:
            pass

    # They read from the start: whoever writes on after the end loses what has come and was not read.
    reading = [asyncio.create_task(rest(reader)) for reader, _ in slow]
    trickling = [asyncio.create_task(trickle(writer)) for _, writer in slow]
    await victim.serves()
    for reader, _ in silent:
        assert await rest(reader) == b""
    answers = await asyncio.gather(*reading)
    assert any(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert all(not answer or answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    for task in trickling:
        task.cancel()
    for _, writer in (*silent, *slow):
        writer.close()
    await victim.has_let_go(before)
    await victim.serves()


async def test_more_connections_than_there_is_room_for(victim: Victim) -> None:
    before, port = victim.files, victim.gateway.port
    crowd = await opened(port, 2 * WAITING)
    # Those that have waited for longest make room for whoever comes.
    await victim.serves()
    assert victim.files <= before + WAITING + 10
    for _, writer in crowd:
        writer.transport.abort()
    await victim.has_let_go(before)
    streams = []
    for _ in range(299):
        # One after another: of those that come together, some would have to make room for others.
        streams.append(await opened(port, 1, REQUEST))
        [(reader, _)] = streams[-1]
        async with asyncio.timeout(WAIT):
            assert (await reader.read(100)).startswith(b"HTTP/1.1 200 ")
    refused = 0
    for _ in range(50):
        try:
            refused += await answer(port, REQUEST) == b""
        except ConnectionError:
            refused += 1
    assert refused == 50, "without an answer, so that a browser tries again"
    assert victim.files <= before + 320
    text = (await asyncio.to_thread(_metrics, victim.gateway)).decode()
    counted = re.search(r"^gateway_connections_refused_total (\S+)$", text, re.MULTILINE)
    assert counted is not None
    assert float(counted[1]) >= 50
    for _, writer in (one for [one] in streams):
        writer.transport.abort()
    await victim.has_let_go(before)
    await victim.serves()


def _metrics(gateway: GatewayProcess) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.admin_port), WAIT) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


POST = b"POST /v1/events HTTP/1.1\r\nhost: x\r\n"
BAD_REQUESTS = {
    "ten thousand headers": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n", b"431"),
    "a first line of megabytes": (b"GET /" + b"a" * (8 * MEGABYTE) + b" HTTP/1.1\r\n\r\n", b"414"),
    "a header of megabytes": (b"GET / HTTP/1.1\r\nx: " + b"a" * (8 * MEGABYTE) + b"\r\n\r\n", b"431"),
    "any bytes": (bytes(range(256)) * 1000, b"400"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 100, b"400"),
    "a length and chunks": (POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    "chunks and a length": (POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", b"400"),
    "two lengths": (POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456", b"400"),
    "a length below nothing": (POST + b"content-length: -1\r\n\r\n", b"400"),
    "another coding": (POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", b"400"),
    "a space before the colon": (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", b"400"),
    "a lone CR": (b"GET / HTTP/1.1\r\nhost: x\r\nx: a\rb\r\n\r\n", b"400"),
    # Those that may wait are answered, and the one too many after them.
    "thousands in one packet": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 20_000, b"200"),
}
"""What is sent, and the status of the answer; what is sent while the answer comes may cost a client the answer."""


async def test_requests_that_are_none(victim: Victim) -> None:
    files, memory = victim.files, victim.memory
    for what, (attack, status) in BAD_REQUESTS.items():
        answers = await asyncio.gather(*(answer(victim.gateway.port, attack) for _ in range(10)))
        assert all(not one or one.startswith(b"HTTP/1.1 " + status) for one in answers), (what, answers)
        assert any(answers) or len(attack) > MEGABYTE, what
    assert victim.memory - memory < 40 * MEGABYTE
    await victim.has_let_go(files)
    await victim.serves()
    assert "Invalid HTTP" not in victim.gateway.errors, "strangers do not fill the log"


async def answer(port: int, request: bytes) -> bytes:
    """What comes back until the connection ends."""
    [(reader, writer)] = await opened(port, 1, request)
    received = await rest(reader)
    writer.close()
    return received


async def test_connections_that_are_half_closed(victim: Victim) -> None:
    """One side has said all: an answer still comes; where nothing was asked, the connection ends."""
    files = victim.files
    [(reader, writer), (silent, quiet)] = await opened(victim.gateway.port, 2)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    for one in (writer, quiet):
        one.write_eof()
    assert await rest(silent) == b""
    await rest(reader)
    for one in (writer, quiet):
        one.close()
    await victim.has_let_go(files)
    await victim.serves()


async def test_readers_that_read_nothing(victim: Victim) -> None:
    """They are cut off once their connection takes nothing for `write_timeout`; one that reads little goes on."""
    files, gateway = victim.files, victim.gateway
    idle = [_reader(gateway.port, 4096) for _ in range(10)]
    slow = _reader(gateway.port, 65536)
    sample = WikiSample(7, 1_700_000_000_000)
    had = 0

    async def read_on() -> None:
        nonlocal had
        while True:
            had += len(await asyncio.get_running_loop().sock_recv(slow, 4096))
            await asyncio.sleep(0.05)

    reading = asyncio.create_task(read_on())
    memory = victim.memory
    for _ in range(6):
        events = [sample.next(1_700_000_000_000)[0] | {"comment": "x" * 400} for _ in range(900)]
        for event in events:
            event["meta"]["stream"] = "numbers"
        body = json.dumps(events).encode()
        stored = await asyncio.to_thread(_post, gateway.port, body)
        assert stored.startswith(b"HTTP/1.1 201 "), stored[-3000:]
    await victim.has_let_go(files + 1)
    assert victim.memory - memory < 100 * MEGABYTE
    before = had
    await victim.serves()

    async def more() -> bool:
        return had > before

    await eventually(more, "who reads slowly still gets something")
    assert not reading.done()
    reading.cancel()
    for connection in (*idle, slow):
        connection.close()
    await victim.has_let_go(files)


def _reader(port: int, size: int) -> socket.socket:
    """A client of a stream that reads nothing by itself, with little room."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    connection.connect(("127.0.0.1", port))
    connection.sendall(REQUEST)
    connection.setblocking(False)
    return connection


def _post(port: int, body: bytes) -> bytes:
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), WAIT) as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received

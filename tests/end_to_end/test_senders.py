"""The programs of the guide that send events: a page in a real browser, and one in Python."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import absent
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ROOT, WAIT, environment, eventually
from tests.end_to_end.stream import Client

pytestmark = pytest.mark.end_to_end

PROGRAMS = ROOT / "tests" / "clients"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
SCHEMA = """
title: site/click
$id: /site/click/1.0.0
type: object
properties:
  $schema: {type: string}
  meta: {type: object}
  target: {type: string}
  x: {type: number}
  y: {type: number}
  n: {type: integer}
"""
STREAMS = {"site.click": {"schema_title": "site/click"}}

VISITOR = """
<button id="{name}">{name}</button>
<script type="module">
  const button = document.querySelector("button");
  for (let i = 0; i < 3; i++) button.click();
  {leave}
</script>
"""
"""A visitor of the page: clicks, and leaves at once or stays."""


@pytest.fixture
def schemas(tmp_path: Path) -> list[str]:
    directory = tmp_path / "schemas" / "site" / "click"
    directory.mkdir(parents=True)
    (directory / "1.0.0.yaml").write_text(SCHEMA)
    return [str(tmp_path / "schemas")]


@asynccontextmanager
async def site(visitor: str) -> AsyncIterator[str]:
    """A web site of another origin than the gateway's, with the guide's page; gives its address."""
    page = (PROGRAMS / "browser" / "send.html").read_bytes() + visitor.encode()

    connections: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            body = page if b" /?" in request else b"gone"
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(body)}\r\n"
            writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # a browser opens connections in store, and leaves those that it does not use
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(answer(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def browser(directory: Path, address: str) -> AsyncIterator[None]:
    """Chromium at an address."""
    chromium = shutil.which("chromium") or absent("there is no chromium")
    process = await asyncio.create_subprocess_exec(
        chromium, *FLAGS.split(), f"--user-data-dir={directory}", address,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            async with asyncio.timeout(WAIT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("leave", ["", 'location.href = "/left";'], ids=["stays", "leaves"])
async def test_a_page_sends_what_its_visitor_does(
    serve: Serve, client: Client, tmp_path: Path, schemas: list[str], leave: str
) -> None:
    log = f"sqlite:///{tmp_path / 'events.db'}"
    gateway = await serve(STREAMS, log, schema_repositories=schemas)
    stream = await client.stream(gateway.port, "site.click")
    visitor = VISITOR.replace("{name}", "buy").replace("{leave}", leave)
    async with site(visitor) as origin, browser(tmp_path / "browser", f"{origin}/?url={gateway.address}"):

        async def came() -> bool:
            return len(stream.messages) >= 3

        await eventually(came, "three clicks come")
    events = [message.document for message in stream.messages]
    assert [event["target"] for event in events] == ["buy"] * 3
    assert len({event["meta"]["id"] for event in events}) == 3


async def test_a_program_sends_lines(serve: Serve, client: Client, tmp_path: Path, schemas: list[str]) -> None:
    log = f"sqlite:///{tmp_path / 'events.db'}"
    gateway = await serve(STREAMS, log, schema_repositories=schemas)
    stream = await client.stream(gateway.port, "site.click")
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAMS / "python" / "send_producer.py", gateway.address,
        stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
        env={**environment(), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    def line(number: Any) -> bytes:
        return orjson.dumps({"$schema": "/site/click/1.0.0", "meta": {"stream": "site.click"}, "n": number}) + b"\n"

    _, errors = await process.communicate(b"".join(map(line, [*range(600), "many"])))
    assert process.returncode == 0, errors.decode()
    assert errors.decode().count("the event is not valid: /n") == 1
    await stream.number(599)
    assert stream.numbers == list(range(600))

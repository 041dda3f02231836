"""Gateways behind nginx, HAProxy and Caddy with TLS, as docs/TLS.md sets them up on one host."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.effort import lasting
from tests.end_to_end.conftest import Launch
from tests.end_to_end.numbers import STREAM, Sender, numbered
from tests.end_to_end.process import WAIT, GatewayProcess, configuration, eventually
from tests.end_to_end.stream import Transcript
from tests.services.certificates import Certificates, make_certificates
from tests.services.sites import SITES, Site

pytestmark = pytest.mark.end_to_end

SILENCE = lasting(2, 75)
"""Seconds without an event. In the soak, longer than the 60 s after which web servers cut a silent connection."""
Start = Callable[[list[int]], Site]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, openssl: str) -> Certificates:
    return make_certificates(openssl, tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=SITES)
def start_site(request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates) -> Iterator[Start]:
    """(ports): each kind of web server before gateways at these."""
    started: list[Site] = []

    def start(ports: list[int]) -> Site:
        started.append(Site(request.param, tmp_path / "site", ports, certificates.server))
        started[-1].start()
        return started[-1]

    yield start
    for site in started:
        site.stop()


@asynccontextmanager
async def browser(certificates: Certificates) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts the authority."""
    context = ssl.create_default_context(cafile=str(certificates.authority))
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=WAIT) as http:
        yield http


@asynccontextmanager
async def follow(http: httpx.AsyncClient, address: str) -> AsyncIterator[Transcript]:
    """What comes of a stream."""
    transcript = Transcript()

    async def read() -> None:
        async with http.stream("GET", f"{address}/v2/stream/{STREAM}", params={"since": 1}) as response:
            assert response.status_code == 200, await response.aread()
            async for data in response.aiter_bytes():
                transcript.feed(data)
        transcript.finish()

    task = asyncio.create_task(read())
    yield transcript
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def start_gateways(gateways: Launch, tmp_path: Path, count: int, **settings: Any) -> list[GatewayProcess]:
    path = configuration(tmp_path, trusted_proxies=["127.0.0.0/8"], **settings, **numbered(tmp_path))
    log = f"sqlite:///{tmp_path / 'events.db'}"
    return [gateways("--config", str(path), "--log", log) for _ in range(count)]


async def test_streams_come_through_and_on_at_the_other_gateway(
    start_site: Start, gateways: Launch, certificates: Certificates, tmp_path: Path
) -> None:
    """Each event comes before the next is sent, and silence ends nothing. A gateway that stops ends its streams in
    order, and its clients are at the other at once."""
    pair = start_gateways(gateways, tmp_path, 2, heartbeat=15 if SILENCE > 60 else 0.5, drain_time=0.2)
    await asyncio.gather(*(gateway.start() for gateway in pair))
    site = start_site([gateway.port for gateway in pair])
    async with browser(certificates) as http, Sender(pair[1]) as sender:
        await sender.until(1)
        async with follow(http, site.address) as first, follow(http, site.address) as second:
            for number in range(1, 4):
                await sender.until(number + 1)
                for stream in (first, second):
                    await stream.until(lambda: number in stream.numbers, f"the event {number}")  # noqa: B023
            last = await sender.end() - 1
            for stream in (first, second):
                await stream.until(lambda: last in stream.numbers)  # noqa: B023
            frames = len(first.frames)
            await asyncio.sleep(SILENCE)
            await first.until(lambda: len(first.frames) > frames, "a heartbeat")
            assert not first.over
            assert not second.over
            assert await pair[0].stop() == 0
            # One of the two was there (both, where the server chose so); its stream ended as a response ends.
            await first.until(lambda: first.over or second.over)
            over = first if first.over else second
        address = f"{site.address}/v2/stream/{STREAM}"
        answers = [await http.get(address, params={"since": 1, "limit": 1}) for _ in range(6)]
        assert {answer.status_code for answer in answers} == {200}
        assert over.last_id is not None
        async with Sender(pair[1]) as more:
            again = await http.get(address, params={"limit": 1}, headers={"last-event-id": over.last_id})
            await more.until(1)
        assert again.text.count('"n":0') == 1
        assert "https://127.0.0.1" in (await http.get(f"{site.address}/v2/streams")).text


async def test_one_gateway_and_the_way_to_the_plain_port(
    start_site: Start, gateways: Launch, certificates: Certificates, tmp_path: Path
) -> None:
    (gateway,) = start_gateways(gateways, tmp_path, 1)
    await gateway.start()
    site = start_site([gateway.port])
    async with browser(certificates) as http, Sender(gateway) as sender:
        await sender.until(1)
        for accept in ("text/event-stream", "application/x-ndjson"):
            address, query = f"{site.address}/v2/stream/{STREAM}", {"since": 1, "limit": 1}
            for coding in ("identity", "gzip"):
                answer = await http.get(address, params=query, headers={"accept": accept, "accept-encoding": coding})
                assert answer.headers["content-type"].startswith(accept)
                # Compressed by the gateway, where that was asked for, and by nobody else.
                assert answer.headers.get("content-encoding", "identity") == coding
                assert '"n":0' in answer.text.replace(" ", "")
        event = {"$schema": "/number/1.0.0", "meta": {"stream": STREAM}, "n": 7}
        assert (await http.post(f"{site.address}/v1/events", json=event)).status_code == 201
        if "caddy" in site.said:
            return  # Its way to the secure port is its own.
        plain = f"http://127.0.0.1:{site.ports.plain}/v2/streams"
        answer = await http.get(plain, headers={"host": "stream.example.org"})
        assert (answer.status_code, answer.headers["location"]) == (308, "https://stream.example.org/v2/streams")


async def test_what_a_gateway_is_told_of_the_client(start_site: Start, certificates: Certificates) -> None:
    """The address that a client claims is replaced by its own."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if "/healthz" not in head:
            heads.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        site = start_site([server.sockets[0].getsockname()[1]])
        claims = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example"}
        async with browser(certificates) as http:

            async def reached() -> bool:
                return (await http.get(f"{site.address}/v2/streams", headers=claims)).status_code == 200

            await eventually(reached, "the site has found it")
    lines = heads[-1].split("\r\n")
    assert "x-forwarded-for: 127.0.0.1" in lines
    assert "x-forwarded-proto: https" in lines
    assert f"x-forwarded-host: 127.0.0.1:{site.ports.secure}" in lines
    assert "203.0.113.7" not in heads[-1]
    assert "evil" not in heads[-1]
    assert json.dumps(heads).count("x-forwarded-for") == len(heads)


async def test_http_2(
    start_site: Start, gateways: Launch, certificates: Certificates, curl: str, tmp_path: Path
) -> None:
    """As browsers have it: by ALPN."""
    (gateway,) = start_gateways(gateways, tmp_path, 1)
    await gateway.start()
    site = start_site([gateway.port])
    async with Sender(gateway) as sender:
        await sender.until(3)
    options = ["--http2", "--silent", "--show-error", "--no-buffer", "--max-time", f"{WAIT:g}", "--noproxy", "*"]
    written = ["--cacert", str(certificates.authority), "--write-out", "\n%{http_version} %{http_code}\n"]
    url = f"{site.address}/v2/stream/{STREAM}?since=1&limit=3"
    process = await asyncio.create_subprocess_exec(
        curl, *options, *written, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    assert output.decode().endswith("\n2 200\n")

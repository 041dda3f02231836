"""What a stream is on its connection: compressed, shared with other requests, left and cut off."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from tests.kit.waiting import becomes
from tests.routes.kit import EARLY, PATIENCE, Site, frames, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip;q=0.5", True),
        ("br, gzip;q=0.1", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0, *", False),
        ("", False),
    ],
)
async def test_gzip_is_negotiated(site: Site, name: str, accept_encoding: str, compressed: bool) -> None:
    response = await site.client.head(f"/v2/stream/{name}", headers={"accept-encoding": accept_encoding})
    assert response.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert "accept-encoding" in response.headers["vary"]


async def test_each_flush_of_a_compressed_stream_can_be_decoded(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}", headers={"accept-encoding": "gzip"}) as reading:
        await reading.frame()
        for number in range(40):
            site.put(name, stored(number))
            assert await reading.numbers(1) == [number]


async def test_a_finished_compressed_response_is_one_gzip_member(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(100)))
    request = f"GET /v2/stream/{name}?{EARLY}&limit=100 HTTP/1.0\r\naccept-encoding: gzip\r\n\r\n"
    body = (await site.raw(request.encode())).partition(b"\r\n\r\n")[2]
    member = zlib.decompressobj(31)
    text = member.decompress(body)
    assert member.eof
    assert member.unused_data == b""
    assert text == gzip.decompress(body)
    assert len([one for one in frames(text) if one.event == "message"]) == 100


async def test_an_old_client_gets_no_chunks(site: Site, name: str) -> None:
    site.put(name, stored(0))
    received = await site.raw(f"GET /v2/stream/{name}?{EARLY}&limit=1 HTTP/1.0\r\n\r\n".encode())
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body.startswith(b": welcome\n")
    assert [one.event for one in frames(body)][-2:] == ["message", "end"]


async def test_an_old_client_gets_live_events(site: Site, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    async with asyncio.timeout(PATIENCE):
        writer.write(f"GET /v2/stream/{name} HTTP/1.0\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readuntil(b"\n\n")).startswith(b": welcome\n")
        site.put(name, stored(0))
        while b"data: " not in (frame := await reader.readuntil(b"\n\n")):
            assert frame.startswith(b"id: ")
        assert frame.startswith(b"event: message\n")
        assert (await reader.readuntil(b"\n\n")).startswith(b"id: ")
    writer.close()


async def test_an_absolute_request_target(site: Site, name: str) -> None:
    site.put(name, stored(0))
    target = f"http://gateway.example:8080/v2/stream/{name}?{EARLY}&limit=1"
    received = await site.raw(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"event: end" in received


async def test_a_second_request_on_the_same_connection(site: Site, name: str) -> None:
    site.put(name, stored(0))
    first = f"GET /v2/stream/{name}?{EARLY}&limit=1 HTTP/1.1\r\nhost: x\r\n\r\n"
    second = first.replace("host: x", "host: x\r\naccept: application/x-ndjson\r\nconnection: close")
    received = await site.raw((first + second).encode())
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"event: end") < received.index(b"content-type: application/x-ndjson")
    assert received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_a_request_for_a_protocol_that_is_not_spoken_is_served_as_it_is(
    site: Site, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = f"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
    received = await site.raw(upgrade.encode(), until=b'{"status":"ok"}')
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("version", "more"),
    [("1.0", b""), ("1.1", b""), ("1.1", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"), ("1.1", b"garbage\r\n\r\n")],
)
async def test_a_client_that_leaves_is_forgotten(
    site: Site, name: str, version: str, more: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = site.gateway.streams.sessions
    # Streams of other tests may still be ending.
    await becomes(lambda: not sessions)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /v2/stream/{name} HTTP/{version}\r\nhost: x\r\n\r\n".encode())
    await reader.readuntil(b"\n\n")
    assert len(sessions) == 1
    writer.write(more)
    writer.close()
    await becomes(lambda: not sessions)
    await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_nothing_but_frames_is_written_into_a_stream(site: Site, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /v2/stream/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await reader.readuntil(b"\n\n")
    writer.write(b"garbage\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    site.put(name, stored(0))
    async with asyncio.timeout(PATIENCE):
        assert b"HTTP/1.1" not in await reader.readuntil(b"data: {")
    writer.close()


async def test_a_client_that_never_stops_sending_is_cut_off(site: Site, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /v2/stream/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await reader.readuntil(b"\n\n")

    async def send_on() -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    with pytest.raises(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            await send_on()
    writer.close()


async def test_a_stop_ends_the_streams_in_good_order() -> None:
    async with running() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /v2/stream/page.create HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\n\n")
        port = site.port
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)

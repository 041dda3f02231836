"""HTTP/1.1 as other people's software speaks it (RFC 9110, RFC 9112), over plain sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket

import pytest

from tests.kit.waiting import becomes
from tests.routes.intake import change, intake, text
from tests.routes.kit import EARLY, PATIENCE, Site, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOPIC = "later"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
LAST_HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"


def post(body: bytes, *headers: bytes, host: bytes = b"host: x\r\n") -> bytes:
    """A request to take events in, with its length."""
    length = b"content-length: %d\r\n" % len(body)
    return (
        b"POST /v1/events HTTP/1.1\r\n"
        + host
        + b"content-type: application/json\r\n"
        + length
        + b"".join(headers)
        + b"\r\n"
        + body
    )


def chunked(body: bytes, trailers: bytes = b"", *headers: bytes) -> bytes:
    """The same in two chunks, with trailers."""
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
    parts = (body[:10], body[10:])
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return head + b"".join(headers) + b"\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


async def in_pieces(port: int, *pieces: bytes, half_close: bool = False) -> bytes:
    """What comes back for bytes that come in packets of their own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    async with asyncio.timeout(PATIENCE):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        if half_close:
            writer.write_eof()
        received = await reader.read(-1)
    writer.close()
    return received


@pytest.mark.parametrize("cut", [None, 60, -400, -20])
@pytest.mark.parametrize("coded", [False, True])
async def test_an_upgrade_that_is_ignored_keeps_the_body_and_what_is_behind_it(cut: int | None, coded: bool) -> None:
    async with intake() as site:
        body = text(change())
        request = chunked(body, b"", UPGRADE) if coded else post(body, UPGRADE)
        pieces = [request] if cut is None else [request[:cut], request[cut:]]
        received = await in_pieces(site.site.port, *pieces, HEALTH + LAST_HEALTH)
        assert statuses(received) == [201, 200, 200]
        assert site.log.values(TOPIC) == [body]


async def test_an_upgrade_behind_another_request() -> None:
    async with intake() as site:
        received = await in_pieces(site.site.port, HEALTH + post(text(change()), UPGRADE) + LAST_HEALTH)
        assert statuses(received) == [200, 201, 200]


async def test_a_stream_that_asks_for_another_protocol(site: Site, name: str) -> None:
    site.put(name, stored(0))
    request = f"GET /v2/stream/{name}?{EARLY}&limit=1 HTTP/1.1\r\nhost: x\r\n".encode()
    received = await in_pieces(site.port, request + UPGRADE + b"\r\n", LAST_HEALTH)
    assert statuses(received) == [200, 200]
    assert b"event: end" in received


@pytest.mark.parametrize("half", [False, True])
async def test_whoever_has_sent_all_is_answered(half: bool) -> None:
    async with intake() as site:
        body = text(change())
        request = post(body)
        pieces = [request[:100], request[100:]] if half else [HEALTH + request]
        received = await in_pieces(site.site.port, *pieces, half_close=True)
        assert statuses(received) == ([201] if half else [200, 201])
        assert site.log.values(TOPIC) == [body]


@pytest.mark.long
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("query", ["", "?limit=1"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("coding", [b"identity", b"gzip"])
async def test_a_stream_of_whoever_has_sent_all(
    site: Site, name: str, version: bytes, query: str, late: bool, coding: bytes
) -> None:
    request = f"GET /v2/stream/{name}{query} HTTP/".encode() + version + b"\r\nhost: x\r\naccept-encoding: " + coding
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    async with asyncio.timeout(PATIENCE):
        writer.write(request + b"\r\n\r\n")
        if late:
            await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        if not late:
            await reader.readuntil(b"\r\n\r\n")
        # Longer than the first tries whether it still reads.
        await asyncio.sleep(0.3)
        site.put(name, stored(0))
        received = b""
        while not (b"data: {" in received or (coding == b"gzip" and len(received) > 300)):
            part = await reader.read(65536)
            assert part, received
            received += part
    writer.close()


@pytest.mark.parametrize(
    "part",
    [
        b"GET /healthz HT",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n{}",
    ],
)
async def test_whoever_leaves_before_the_request_is_whole_is_told(site: Site, part: bytes) -> None:
    received = await in_pieces(site.port, part, half_close=True)
    assert statuses(received) == [400]
    assert b"before the request was complete" in received


async def test_whoever_is_gone_is_noticed_soon(site: Site, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever was waited for as one that may still read would be here for longer than this test waits.
    monkeypatch.setattr("gateway.server.stream.LINGER_SECONDS", 3600.0)
    sessions = site.gateway.streams.sessions
    await becomes(lambda: not sessions)
    for query in ("", "?limit=1"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(f"GET /v2/stream/{name}{query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        await reader.readuntil(b"id: ")
        await reader.readuntil(b"\n\n")
        assert len(sessions) == 1
        writer.close()
        await becomes(lambda: not sessions)


async def test_whoever_waits_long_for_an_answer_is_tried_meanwhile() -> None:
    async with intake() as site:
        site.log.gate.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", site.site.port)
        writer.write(post(text(change())))
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            interim = await reader.readuntil(b"\r\n\r\n")
            site.log.gate.set()
            received = await reader.read(-1)
        writer.close()
        assert interim == b"HTTP/1.1 102 Processing\r\n\r\n"
        assert statuses(received)[-1] == 201
        # One that is gone takes no place while it would wait.
        site.log.gate.clear()
        server = site.site.gateway.server
        assert server is not None
        before = server._known.count
        gone = [await asyncio.open_connection("127.0.0.1", site.site.port) for _ in range(5)]
        for _, other in gone:
            other.write(post(text(change())))
        await becomes(lambda: server._known.count >= before + 5)
        for _, other in gone:
            other.close()
        await becomes(lambda: server._known.count <= before)
        site.log.gate.set()


@pytest.mark.parametrize(
    "trailer",
    [
        b"Content-Encoding: gzip",
        b"Content-Type: text/csv",
        b"Idempotency-Key: a",
        b"X-Request-Id: from-a-trailer",
        b"Host: y",
        b"Upgrade: h2c\r\nConnection: upgrade",
    ],
)
async def test_a_trailer_is_no_header(trailer: bytes) -> None:
    async with intake() as site:
        event = change()
        del event["meta"]["request_id"]
        received = await in_pieces(site.site.port, chunked(text(event), trailer + b"\r\n"), LAST_HEALTH)
        assert statuses(received) == [201, 200]
        assert b"from-a-trailer" not in received + site.log.values(TOPIC)[0]


@pytest.mark.parametrize("trailer", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close"])
async def test_a_trailer_that_speaks_of_the_connection_ends_it(trailer: bytes) -> None:
    async with intake() as site:
        received = await in_pieces(site.site.port, chunked(text(change()), trailer + b"\r\n"), HEALTH)
        assert statuses(received) == ([201] if b"close" in trailer else [400])
        assert len(site.log.values(TOPIC)) == (b"close" in trailer)


@pytest.mark.long
@pytest.mark.parametrize("endless", [b"0\r\na: " + b"b" * 700_000, b"5;" + b"c" * 700_000])
async def test_trailers_and_extensions_are_bounded(site: Site, endless: bytes) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"
    received = await site.raw(head + endless)
    assert set(statuses(received)) <= {400, 413, 415, 431}


@pytest.mark.parametrize(
    "host", [b"", b"host: a\r\nhost: a\r\n", b"host: a b\r\n", b"host: a@b\r\n", b"host: a\r\nHost: b\r\n"]
)
async def test_a_request_has_one_host(host: bytes) -> None:
    async with intake() as site:
        received = await in_pieces(site.site.port, post(text(change()), host=host))
        assert statuses(received) == [400]
        assert "Host" in json.loads(received.partition(b"\r\n\r\n")[2])["detail"]
        assert not site.log.values(TOPIC)


async def test_the_host_of_an_absolute_target_wins(site: Site) -> None:
    request = b"GET http://stream.example:81/v2/streams/page.edit HTTP/1.1\r\nhost: y\r\nconnection: close\r\n\r\n"
    received = await site.raw(request)
    assert b"http://stream.example:81/" in received
    assert b"http://y/" not in received


@pytest.mark.parametrize("size", [65_000, 65_536, 70_000, 200_000])
async def test_urls_of_any_length_that_is_promised(site: Site, size: int) -> None:
    received = await site.raw(
        b"GET /v2/stream/page.edit?limit=0&filter=" + b"a" * size + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert statuses(received) == [400]
    assert b'"parameter"' in received


async def test_what_cannot_be_read_is_answered_after_those_before_it() -> None:
    async with intake() as site:
        received = await in_pieces(site.site.port, post(text(change())) + HEALTH + b"garbage\r\n\r\n")
        assert statuses(received) == [201, 200, 400]
        broken = post(text(change())) + chunked(b"0123456789ab").replace(b"\r\n2\r\n", b"\r\nx\r\n")
        received = await in_pieces(site.site.port, broken)
        assert statuses(received) == [201, 400]
        assert len(site.log.values(TOPIC)) == 2


async def test_a_question_to_the_server_as_a_whole(site: Site) -> None:
    assert statuses(await site.raw(b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")) == [204]
    assert statuses(await site.raw(b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n")) == [400]


async def test_the_check_of_haproxy_is_told_that_the_gateway_is_there(site: Site) -> None:
    """`option httpchk` without more takes 2xx and 3xx for up. RFC 9110 section 8.6: 204 has no length."""
    received = await site.raw(b"OPTIONS / HTTP/1.0\r\n\r\n")
    assert statuses(received) == [204]
    head = received.lower()
    assert b"\r\nallow: get, head, options\r\n" in head
    assert b"content-length" not in head
    assert b"transfer-encoding" not in head
    assert head.endswith(b"\r\n\r\n")


async def test_bodies_of_several_members() -> None:
    async with intake() as site:
        events = [change(1), change(2)]
        lines = text(events)  # type: ignore[arg-type]
        body = gzip.compress(lines[:50]) + gzip.compress(b"") + gzip.compress(lines[50:])
        answer = await site.post(body, content_encoding="gzip")
        assert answer.status_code == 201
        assert len(site.log.values(TOPIC)) == 2

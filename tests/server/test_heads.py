"""The bound of a head, which is about the head alone: not the body behind it, and not the requests beside it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import pytest

from gateway.server.connections import ConnectionBounds, Connections
from gateway.server.server import GatewayServer, listen
from tests.kit.waiting import becomes
from tests.routes.kit import PATIENCE

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

LONGEST = 4096
BODY = b"b" * 20_000
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def counts(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"(%d)" % size
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    """Of a server with a small bound."""
    bounds = ConnectionBounds(request_line_max=2048, request_head_max=LONGEST)
    server = GatewayServer(counts, access_log=False, known=Connections(bounds, 100))
    with listen("127.0.0.1", 0, shared=False) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        await becomes(lambda: bool(server.server_state.default_headers))
        yield listener.getsockname()
        server.end()
        async with asyncio.timeout(PATIENCE):
            await serving


async def answers(address: tuple[str, int], parts: Sequence[bytes]) -> bytes:
    """All that comes back for these parts, each of which the server reads by itself."""
    reader, writer = await asyncio.open_connection(*address)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.1 if len(parts) > 1 else 0)
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


def head(size: int) -> bytes:
    """A head of so many bytes."""
    beginning, end = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: ", b"\r\n\r\n"
    return beginning + b"a" * (size - len(beginning) - len(end)) + end


async def test_a_body_that_comes_with_its_head_is_not_counted(address: tuple[str, int]) -> None:
    whole = POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
    received = await answers(address, [whole])
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"(20000)")


async def test_requests_that_come_together_are_not_counted_together(address: tuple[str, int]) -> None:
    one = head(3000).replace(b"connection: close\r\n", b"")
    received = await answers(address, [one * 4 + LAST])
    assert received.count(b"HTTP/1.1 200 ") == 5


async def test_a_chunk_that_comes_behind_its_size_is_not_counted(address: tuple[str, int]) -> None:
    beginning = POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(BODY)
    received = await answers(address, [beginning, BODY + b"\r\n0\r\n\r\n"])
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"(20000)")


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(("size", "status"), [(LONGEST, b"200"), (LONGEST + 1, b"431"), (5000, b"431")])
async def test_a_head_is_counted_to_the_byte(address: tuple[str, int], parts: int, size: int, status: bytes) -> None:
    whole = head(size)
    step = -(-size // parts)
    received = await answers(address, [whole[place : place + step] for place in range(0, size, step)])
    assert received.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_head_behind_another_request_is_counted_too(address: tuple[str, int], parts: int) -> None:
    """Also where a part of it has come with the request before."""
    whole = LAST.replace(b"connection: close\r\n", b"") + head(5000)
    sent = [whole] if parts == 1 else [whole[:2500], whole[2500:]]
    received = await answers(address, sent)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 431 ") == 1
    assert b"more than 4096 bytes (`request_head_max`)" in received


async def test_trailers_without_end_are_refused(address: tuple[str, int]) -> None:
    beginning = POST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    received = await answers(address, [beginning, b"x: " + b"a" * 5000])
    assert b"HTTP/1.1 431 " in received
    assert b"(`request_head_max`) after a chunk" in received

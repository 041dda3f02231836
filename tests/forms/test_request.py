"""The registry's REST API, spoken by a small server with the answers of its documentation. It is no registry."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.forms.options import RegistryOptions
from gateway.forms.registry import NotRegistered, RegistryAway
from gateway.forms.request import RegistryRequests

UNKNOWN = b'{"error_code":40403,"message":"Schema not found"}'


@asynccontextmanager
async def answering(status: int, body: bytes, seen: list[bytes], more: bytes = b"x: y") -> AsyncIterator[str]:
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if status:
            head = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nlocation: /x\r\n%b\r\n\r\n" % (status, len(body), more)
            writer.write(head + body)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()


Options = Callable[[str], RegistryOptions]


@pytest.mark.parametrize(
    ("options", "header"),
    [
        (lambda url: RegistryOptions(url, "u", "p"), b"authorization: basic dtpw"),
        (lambda url: RegistryOptions(url, token="secret"), b"authorization: bearer secret"),
    ],
)
async def test_a_schema_is_asked_for_by_its_id_with_the_credentials(options: Options, header: bytes) -> None:
    seen: list[bytes] = []
    async with answering(200, b'{"schema":"\\"int\\""}', seen) as url:
        assert await RegistryRequests(options(url))("/schemas/ids/1") == {"schema": '"int"'}
    assert seen[0].startswith(b"GET /schemas/ids/1 HTTP/1.1")
    assert header in seen[0].lower()


async def test_only_a_registry_can_say_that_there_is_no_schema() -> None:
    async with answering(404, UNKNOWN, []) as url:
        with pytest.raises(NotRegistered):
            await RegistryRequests(RegistryOptions(url))("/schemas/ids/1")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, b"<html>", "not as a registry does"),
        (401, b"", "credentials"),
        (500, b"{}", "answers 500"),
        (302, b"", "answers 302"),
        (200, b"<html>", "no schema registry"),
        (200, b" " * (5 * 1024 * 1024), "more than"),
        (0, b"", "does not answer within 0.2 s"),
    ],
)
async def test_any_other_answer_counts_as_away(status: int, body: bytes, reason: str) -> None:
    async with answering(status, body, []) as url:
        with pytest.raises(RegistryAway, match=reason):
            await RegistryRequests(RegistryOptions(url, timeout=0.2 if not status else 60.0))("/schemas/ids/1")


@pytest.mark.parametrize("codings", [b"gzip", b"GZIP, gzip", b"br"])
async def test_a_compressed_answer_is_not_expanded(codings: bytes) -> None:
    seen: list[bytes] = []
    bomb = gzip.compress(gzip.compress(b'{"schema":"' + b" " * 1_000_000 + b'"}'))
    async with answering(200, bomb, seen, b"content-encoding: " + codings) as url:
        with pytest.raises(RegistryAway, match="compresse"):
            await RegistryRequests(RegistryOptions(url))("/schemas/ids/1")
    assert b"\r\naccept-encoding: identity\r\n" in seen[0].lower()


async def test_a_registry_that_is_not_there_is_away() -> None:
    with pytest.raises(RegistryAway, match="cannot be reached"):
        await RegistryRequests(RegistryOptions("http://127.0.0.1:1"))("/schemas/ids/1")


async def test_an_answer_that_never_ends_is_left() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(b"1\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.transport.abort()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        with pytest.raises(RegistryAway, match=r"does not answer within 0\.2 s"):
            await RegistryRequests(RegistryOptions(url, timeout=0.2))("/schemas/ids/1")
    finally:
        server.close()
        await ended.wait()

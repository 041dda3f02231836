"""Fetching a key set: bounded in time and size, and from the address that is configured alone."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.access import fetch
from gateway.access.fetch import Fetcher
from gateway.access.keys import MAXIMUM_DOCUMENT
from gateway.errors import KeysUnavailable

BOMB = gzip.compress(gzip.compress(bytes(1_000_000)))
Answer = Callable[[asyncio.StreamWriter], None]


@asynccontextmanager
async def server(*answers: bytes, hold: bool = False) -> AsyncIterator[str]:
    """Answers with these bytes, one after another, and closes the connection unless it is to `hold` it."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in answers:
            writer.write(part)
        if hold:
            await over.wait()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/keys"
        over.set()


async def test_the_document_comes_as_it_is() -> None:
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkeys") as url:
        assert await Fetcher()(url) == b"keys"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "answers 404"),
        (b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n", "answers 302"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAXIMUM_DOCUMENT + 1), "more than 262,144 bytes"),
        (b"garbage\r\n\r\n", "cannot be fetched"),
        (b"", "cannot be fetched"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nkeys", "cannot be fetched"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nkeys", "compresses its answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, gzip\r\n\r\n" + BOMB, "compresses its answer"),
    ],
)
async def test_anything_else_is_a_failure(answer: bytes, why: str) -> None:
    async with server(answer) as url:
        with pytest.raises(KeysUnavailable, match=why):
            await Fetcher()(url)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nkeys"])
async def test_it_does_not_wait_for_ever(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "FETCH_SECONDS", 0.3)
    async with server(answer, hold=True) as url:
        with pytest.raises(KeysUnavailable):
            await Fetcher()(url)


async def test_nobody_there_is_a_failure() -> None:
    async with server() as url:
        pass
    with pytest.raises(KeysUnavailable, match="cannot be fetched"):
        await Fetcher()(url)

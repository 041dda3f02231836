"""What a response's bytes are before they were compressed, as they come."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

from gateway.client.errors import ClientError
from gateway.printable import printable

PIECE = 1024 * 1024
"""Bytes that are expanded at a time, however few they were before."""
_GZIP = frozenset({"gzip", "x-gzip"})
"""One and the same (RFC 9110, section 8.4.1.3)."""


class GzipMembers:
    """Of a gzip stream, which is one member or several (RFC 1952, section 2.2), the bytes that can be told so far."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What these bytes expand to, in pieces. Raises zlib.error."""
        piece = b""
        while chunk or len(piece) == PIECE:
            if self._member.eof:
                # What fills a block up at the end of an archive is no member.
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            piece = self._member.decompress(chunk, PIECE)
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece


def check_coding(shown: str, response: httpx.Response, known: str) -> None:
    """Raises ClientError where the server has compressed with what was not asked for and cannot be read. `known`: what
    httpx reads, as in Accept-Encoding."""
    readable = {"", "identity", *_GZIP, *(name.strip() for name in known.split(","))}
    if unknown := [name for name in _codings(response) if name not in readable]:
        raise ClientError(f"{shown} compresses with {printable(unknown[0])[:50]!r}, which was not asked for")


async def expanded(response: httpx.Response) -> AsyncIterator[bytes]:
    """The bytes of an answer as they come. Raises httpx.RequestError."""
    if len(codings := _codings(response)) != 1 or codings[0] not in _GZIP:
        async for chunk in response.aiter_bytes():
            yield chunk
        return
    members = GzipMembers()
    async for chunk in response.aiter_raw():
        try:
            for piece in members.feed(chunk):
                yield piece
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error


def _codings(response: httpx.Response) -> list[str]:
    named = response.headers.get("content-encoding", "").split(",")
    return [name.strip().lower() for name in named if name.strip()]

"""Expands the bytes of a compressed response as they arrive."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import httpx

from gateway.client.errors import ClientError
from gateway.text import printable
from gateway.wire.members import Gzip, Members

_GZIP = frozenset({"gzip", "x-gzip"})
"""One and the same (RFC 9110, section 8.4.1.3)."""


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
    members = Members(Gzip)
    async for chunk in response.aiter_raw():
        try:
            for piece in members.feed(chunk):
                yield piece
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error


def _codings(response: httpx.Response) -> list[str]:
    named = response.headers.get("content-encoding", "").split(",")
    return [name.strip().lower() for name in named if name.strip()]

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
    readable = {*_GZIP, *(name.strip() for name in known.split(","))}
    codings = _codings(response)
    if unknown := [name for name in codings if name not in readable]:
        raise ClientError(f"{shown} compresses with {printable(unknown[0])[:50]!r}, which was not asked for")
    if len(codings) > 1:
        raise ClientError(f"{shown} compresses more than once, which was not asked for")


async def expanded(response: httpx.Response) -> AsyncIterator[bytes]:
    """The bytes of an answer as they come. Raises httpx.RequestError, also where it is compressed more than once: each
    coding may make a thousand bytes of one."""
    codings = _codings(response)
    if len(codings) > 1:
        raise httpx.DecodingError("it is compressed more than once")
    if not codings or codings[0] not in _GZIP:
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
    """The names of those that change the bytes."""
    named = [name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")]
    return [name for name in named if name not in ("", "identity")]

"""Reads the body of an answer as it comes, up to a bound."""

from __future__ import annotations

import httpx

PLAIN = {"accept-encoding": "identity"}
"""Asks for a body that is not compressed: a few bytes could become more than memory holds before they are counted."""


class BodyRefused(Exception):
    """Why a body is not read, to stand behind the name of who answers."""


async def read_body(response: httpx.Response, most: int) -> bytes:
    """The bytes of an answer that was asked for as `PLAIN`. Raises BodyRefused, and httpx.HTTPError."""
    if response.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise BodyRefused("compresses its answer, which was not asked for")
    body = b""
    async for part in response.aiter_raw(65_536):
        body += part
        if len(body) > most:
            raise BodyRefused(f"answers with more than {most:,} bytes")
    return body

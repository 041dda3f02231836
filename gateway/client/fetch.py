"""Fetches a small document from a server, if the server has it."""

from __future__ import annotations

import asyncio

import httpx

from gateway.errors import InvalidEnvironment
from gateway.outbound.requests import Outbound


async def fetch(address: str, maximum_bytes: int, seconds: float) -> bytes | None:
    """The body of a 200, or None: no answer in time, another status, more bytes than that."""
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(transport=Outbound()) as client,
            client.stream("GET", address) as response,
        ):
            if response.status_code != httpx.codes.OK:
                return None
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > maximum_bytes:
                    return None
            return body
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, InvalidEnvironment):
        return None

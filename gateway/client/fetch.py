"""Fetches a small document from a server, if the server has it."""

from __future__ import annotations

import asyncio

import httpx

from gateway.client.answer import bare, detail, reason
from gateway.client.coding import expanded
from gateway.client.errors import ClientError, Refused
from gateway.errors import InvalidEnvironment
from gateway.outbound.requests import Outbound

ONE_CODING = {"accept-encoding": "gzip"}
"""The only one whose bytes are expanded in parts of a bounded size."""


async def fetch(address: str, maximum_bytes: int, seconds: float) -> bytes | None:
    """The body of a 200, or None: no answer in time, another status, more bytes than that."""
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(transport=Outbound()) as client,
            client.stream("GET", address, headers=ONE_CODING) as response,
        ):
            if response.status_code != httpx.codes.OK:
                return None
            body = b""
            async for chunk in expanded(response):
                body += chunk
                if len(body) > maximum_bytes:
                    return None
            return body
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, InvalidEnvironment):
        return None


async def load(address: str, maximum_bytes: int, seconds: float, token: str | None = None) -> bytes:
    """The body of a 200. Raises ClientError, which says why there is none."""
    shown = bare(address)
    headers = ONE_CODING if token is None else ONE_CODING | {"authorization": f"Bearer {token}"}
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(transport=Outbound()) as client,
            client.stream("GET", address, headers=headers) as response,
        ):
            body = b""
            async for chunk in expanded(response):
                body += chunk
                if len(body) > maximum_bytes:
                    raise ClientError(f"{shown} gives more than {maximum_bytes:,} bytes")
            if response.status_code != httpx.codes.OK:
                raise Refused(shown, response.status_code, detail(body, response))
            return body
    except TimeoutError:
        raise ClientError(f"{shown}: no answer within {seconds:g} s") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise ClientError(f"{shown!r} is not an address; write it like http://127.0.0.1:8080") from None
    except httpx.ConnectError as error:
        raise ClientError(f"{shown}: {reason(error, seconds)}; is it running?") from None
    except (httpx.LocalProtocolError, UnicodeEncodeError):
        raise ClientError(f"{shown}: the token cannot be sent") from None
    except httpx.RequestError as error:
        raise ClientError(f"{shown}: {reason(error, seconds)}") from None
    except InvalidEnvironment as error:
        raise ClientError(f"{shown}: {error}") from None

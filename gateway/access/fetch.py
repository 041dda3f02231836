"""Fetches a key set. No other module of this room knows HTTP."""

from __future__ import annotations

import asyncio

import httpx

from gateway.access.keys import MAXIMUM_DOCUMENT
from gateway.errors import InvalidEnvironment, KeysUnavailable
from gateway.outbound.body import PLAIN, BodyRefused, read_body
from gateway.outbound.failures import why_failed
from gateway.outbound.lookups import look_up_apart
from gateway.outbound.requests import Authorities, Outbound

FETCH_SECONDS = 5.0
"""All of a fetch, however slowly the answer comes."""
_ACCEPT = {"accept": "application/jwk-set+json, application/json"} | PLAIN


class Fetcher:
    """Follows no redirect: the configuration says whom to trust, not who answers there."""

    def __init__(self) -> None:
        self._authorities = Authorities()

    async def __call__(self, url: str) -> bytes:
        """The document at an address. Raises KeysUnavailable."""
        look_up_apart()
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                httpx.AsyncClient(transport=Outbound(self._authorities), timeout=FETCH_SECONDS) as client,
                client.stream("GET", url, headers=_ACCEPT) as response,
            ):
                if response.status_code != 200:
                    raise KeysUnavailable(f"the URL of the keys (jwks) answers {response.status_code}")
                return await read_body(response, MAXIMUM_DOCUMENT)
        except BodyRefused as error:
            raise KeysUnavailable(f"the URL of the keys (jwks) {error}") from None
        except TimeoutError:
            raise KeysUnavailable(f"the keys (jwks) did not arrive within {FETCH_SECONDS:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, InvalidEnvironment, OSError) as error:
            why = why_failed(error) or error or type(error).__name__
            raise KeysUnavailable(f"the keys (jwks) cannot be fetched: {why}") from error

"""Requests to a schema registry's REST API. No other module of this room knows HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson

from gateway.errors import InvalidEnvironment
from gateway.forms.bounds import SCHEMA_BYTES
from gateway.forms.options import RegistryOptions
from gateway.forms.registry import NotRegistered, RegistryAway
from gateway.outbound.body import PLAIN, BodyRefused, read_body
from gateway.outbound.failures import why_failed
from gateway.outbound.lookups import look_up_apart
from gateway.outbound.requests import Authorities, Outbound

ANSWER_BYTES = 4 * SCHEMA_BYTES
"""The longest answer: in JSON each character of a schema may be an escape."""
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"


class RegistryRequests:
    """Follows no redirect, which could send the password elsewhere."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._authorities = Authorities()
        self._headers = {"accept": _ACCEPT} | PLAIN
        self._auth: httpx.Auth | None = None
        if options.token is not None:
            self._headers["authorization"] = f"Bearer {options.token}"
        elif options.username is not None:
            self._auth = httpx.BasicAuth(options.username, options.password or "")

    async def __call__(self, path: str) -> Any:
        """The JSON under a path, within the time-out. Raises RegistryAway and NotRegistered."""
        look_up_apart()
        seconds = self._options.timeout
        try:
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(transport=Outbound(self._authorities), timeout=seconds) as client,
                client.stream(
                    "GET", self._options.url + path, headers=self._headers, auth=self._auth or httpx.USE_CLIENT_DEFAULT
                ) as response,
            ):
                return _answer(response.status_code, await read_body(response, ANSWER_BYTES))
        except BodyRefused as error:
            raise RegistryAway(f"the schema registry {error}") from None
        except TimeoutError:
            raise RegistryAway(f"the schema registry does not answer within {seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, InvalidEnvironment, OSError) as error:
            why = why_failed(error) or error or type(error).__name__
            raise RegistryAway(f"the schema registry cannot be reached: {why}") from error


def _answer(status: int, body: bytes) -> Any:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if status == 404 and isinstance(answer, dict) and "error_code" in answer:
        raise NotRegistered
    if status in (401, 403):
        raise RegistryAway(f"the schema registry answers {status}: it asks for other credentials")
    if status != 200:
        hint = ", and not as a registry does: see the url" if status == 404 else ""
        raise RegistryAway(f"the schema registry answers {status}{hint}")
    if not isinstance(answer, dict | list):
        raise RegistryAway("what stands at the url answers without JSON, and so is no schema registry")
    return answer

"""Requests to other servers, by the way that the environment names (`environment.py`)."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import ssl
import sys

import httpx

from gateway.errors import InvalidEnvironment
from gateway.outbound.environment import Proxies, Proxy, read_proxies, trusted_authorities

if importlib.util.find_spec("sniffio") is None:
    # httpcore imports it several times in each request, and each search for what is not there takes 50 µs.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

_PROXY = "gateway.proxy"
"""The extension of a request that holds the proxy which it went to."""


class Authorities:
    """The certificates that count, read when a server has to be verified for the first time."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """Raises InvalidEnvironment."""
        if self._context is None:
            # Reading them takes longer than streams should wait.
            self._context = await asyncio.to_thread(trusted_authorities, os.environ, _bundled)
        return self._context


class Outbound(httpx.AsyncBaseTransport):
    """Chooses the proxy for each request by its address, as redirects lead elsewhere.

    httpx reads the same variables, all at once when a client is made: one that is wrong, or that it does not know, then
    fails also where nobody needs it. Raises InvalidEnvironment when a request is made.
    """

    def __init__(self, authorities: Authorities | None = None, proxies: Proxies | None = None) -> None:
        self._authorities = authorities or Authorities()
        self._proxies = read_proxies() if proxies is None else proxies
        self._transports: dict[tuple[Proxy | None, bool], httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx calls it."""
        url = request.url
        proxy = self._proxies.choose(url.scheme, url.raw_host.decode(), url.port)
        request.extensions[_PROXY] = proxy
        transport = await self._transport(proxy, secure=url.scheme == "https")
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        while self._transports:
            await self._transports.popitem()[1].aclose()

    async def _transport(self, proxy: Proxy | None, *, secure: bool) -> httpx.AsyncHTTPTransport:
        if (proxy, secure) not in self._transports:
            to_proxy = proxy is not None and proxy.url.lower().startswith("https://")
            # Where nothing is encrypted, nothing is read; a context without authorities trusts nobody.
            needed = secure or to_proxy
            context = await self._authorities.context() if needed else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._transports[proxy, secure] = _transport(proxy, context if to_proxy else None, context)
        return self._transports[proxy, secure]


def _transport(
    proxy: Proxy | None, proxy_context: ssl.SSLContext | None, context: ssl.SSLContext
) -> httpx.AsyncHTTPTransport:
    if proxy is None:
        return httpx.AsyncHTTPTransport(verify=context)
    try:
        return httpx.AsyncHTTPTransport(verify=context, proxy=httpx.Proxy(proxy.url, ssl_context=proxy_context))
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidEnvironment(f"{proxy} has no address that can be used: {error}") from None


def proxy_of(message: httpx.Request | httpx.Response | httpx.RequestError) -> Proxy | None:
    """The proxy that a request went to, an answer came from, or an error was met at; None: the server itself."""
    try:
        request = message if isinstance(message, httpx.Request) else message.request
    except RuntimeError:  # made without a request
        return None
    found = request.extensions.get(_PROXY)
    return found if isinstance(found, Proxy) else None


def _bundled() -> ssl.SSLContext:
    """The authorities that come with httpx."""
    return httpx.create_ssl_context(trust_env=False)

"""Puts into words why there is no stream: an unexpected answer of a server, or a connection that failed."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import httpx

from gateway import json_text
from gateway.client.coding import expanded
from gateway.client.errors import ClientError
from gateway.outbound.certificates import refused_certificate, why_refused
from gateway.outbound.environment import without_secrets
from gateway.outbound.requests import proxy_of
from gateway.text import is_text, printable
from gateway.times import read_http_date

CONNECT_SECONDS = 10.0
"""Seconds that a connection may take to be made."""
PROBLEM_BYTES = 65_536
"""Bytes that are read of an answer which is no stream."""
EXCERPT = 120
"""Characters that are shown of it."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524})
"""Statuses after which another try may succeed (RFC 9110, RFC 8470, RFC 6585; 52x are those of proxies)."""

_PORTS = {"http": 80, "https": 443}
_PROXY_ASKS = "407, it wants a name and a password; write them as in http://name:password@proxy.example:3128"


def bare(url: str) -> str:
    """An address without its query and password, safe to show and keep. A string that is not an address stays as it
    is, except for a part that may be a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return without_secrets(url)
    if not parts.netloc:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_origin(url: httpx.URL, named: httpx.URL) -> bool:
    """Whether an address is of the server that was named: also by TLS, where the named one is not."""
    ports = [one.port or _PORTS.get(one.scheme) for one in (url, named)]
    safer = (named.scheme, url.scheme) == ("http", "https") and ports == [443, 80]
    return url.host == named.host and ((url.scheme, ports[0]) == (named.scheme, ports[1]) or safer)


def authorization(headers: Collection[str] | Collection[bytes]) -> Callable[[httpx.Request], httpx.Request] | None:
    """For httpx: a request as it is, where its headers say already who asks; None: as the address says."""
    given = any(name.lower() in ("authorization", b"authorization") for name in headers)
    return as_it_is if given else None


def as_it_is(request: httpx.Request) -> httpx.Request:
    """For httpx: a request whose own headers alone say who asks."""
    return request


def is_address(url: str) -> bool:
    """Whether it begins as the address of a server does, and is text."""
    return url.lower().startswith(("http://", "https://")) and is_text(url)


async def beginning(response: httpx.Response, maximum: int = PROBLEM_BYTES) -> bytes:
    """The first bytes of an answer; it may be endless."""
    begin = b""
    async for chunk in expanded(response):
        begin += chunk
        if len(begin) >= maximum:
            break
    return begin[:maximum]


def detail(body: bytes, response: httpx.Response) -> str:
    """The content of a problem document (RFC 9457), or the beginning of the body; and the proxy, which may have
    written it."""
    said = _said(body, response)
    proxy = proxy_of(response)
    return said if proxy is None else f"{said} (by way of {proxy})"


def _said(body: bytes, response: httpx.Response) -> str:
    try:
        document = json_text.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("detail"), str):
        return printable(document["detail"])[:1000]
    return excerpt(body) or response.reason_phrase or "nothing more"


def excerpt(body: bytes) -> str:
    """How it begins, on one line."""
    text = printable(" ".join(body[: 4 * EXCERPT].decode(errors="replace").split()))
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"


def retry_after(value: str, now: int) -> float:
    """Seconds of a Retry-After (RFC 9110 section 10.2.3); 0 where there is none that can be read."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    time = read_http_date(value)
    return 0.0 if time is None else max(0.0, (time - now) / 1000)


def refused_by_proxy(shown: str, response: httpx.Response) -> ClientError | None:
    """The message if a proxy requires authentication (407); the request has not reached the server then."""
    if response.status_code != httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        return None
    return ClientError(f"{shown}: {proxy_of(response) or 'a proxy'} refuses: {_PROXY_ASKS}")


def is_settled(error: httpx.RequestError) -> bool:
    """Whether another try would meet the same: a certificate, or what a proxy does not do."""
    if refused_certificate(error):
        return True
    status = _proxy_status(error)
    return status is not None and status not in PASSING


def _proxy_status(error: httpx.RequestError) -> int | None:
    """The answer of a proxy to CONNECT, which httpx has in its words only."""
    begins = str(error)[:3]
    return int(begins) if isinstance(error, httpx.ProxyError) and begins.isascii() and begins.isdigit() else None


def silence(seconds: float) -> str:
    """Why a connection counts as lost of which nothing came."""
    return f"nothing came for {seconds:g} s"


def reason(error: httpx.RequestError, idle_seconds: float) -> str:
    """Why there is no connection any more."""
    proxy = proxy_of(error)
    match error:
        case httpx.ProxyError():
            asks = _proxy_status(error) == httpx.codes.PROXY_AUTHENTICATION_REQUIRED
            return f"{proxy or 'the proxy'} refuses: {_PROXY_ASKS if asks else printable(str(error))[:EXCERPT]}"
        case httpx.ConnectTimeout() if proxy is not None:
            return f"no connection by way of {proxy} within {CONNECT_SECONDS:g} s"
        case httpx.ConnectError() if proxy is not None:
            return f"no connection {'by way of' if _is_of_tls(error) else 'to'} {proxy}: {_cause(error)}"
        case httpx.ReadTimeout():
            return silence(idle_seconds)
        case httpx.ConnectTimeout():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case httpx.ConnectError():
            return f"no connection: {_cause(error)}"
        case httpx.DecodingError():
            return f"what came cannot be decompressed: {error}"
        case _:
            return f"the connection broke: {error or type(error).__name__}"


def _is_of_tls(error: BaseException | None) -> bool:
    """Whether a connection was there, to be encrypted."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _cause(error: BaseException) -> str:
    """The message of the system, if there is one."""
    refused = why_refused(error)
    if refused is not None:
        return refused
    said, found = str(error), error.__cause__ or error.__context__
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            # The numbers of a resolver are below 0, and those of TLS are OpenSSL's.
            number = 0 if isinstance(found, ssl.SSLError) else found.errno or 0
            said = os.strerror(number) if number > 0 else found.strerror
        found = found.__cause__ or found.__context__
    return said

"""Tokens for client credentials, from a token endpoint (RFC 6749, section 4.4)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from gateway.errors import InvalidEnvironment
from gateway.outbound.body import PLAIN, BodyRefused, read_body
from gateway.outbound.certificates import why_refused
from gateway.outbound.requests import Outbound

ANSWER_BYTES = 1 << 20
LONGEST_LIFE = 1e9
"""Seconds of a token's life from which on they are not believed; they may have hundreds of digits."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class NoToken(ConnectionError):
    """No token can be had now, and so no connection; the text says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A client at its endpoint."""

    url: str
    client: str
    secret: str
    scope: str | None = None


def wrong_endpoint(text: str) -> str | None:
    """What is wrong with the address of an endpoint; None if nothing is."""
    try:
        url = urlsplit(text)
        host, secret, _ = url.hostname, url.username or url.password, url.port
    except ValueError:
        return "is no URL; it takes one such as https://issuer.example/oauth2/token"
    if secret:
        return "has a user or a password in it; they belong into sasl_oauth_client_id and sasl_oauth_client_secret"
    if url.scheme not in ("http", "https") or not host or url.fragment:
        return "is no URL; it takes one such as https://issuer.example/oauth2/token"
    if url.scheme == "http" and host not in _LOOPBACK:
        return "sends the secret in the clear; it takes an https:// URL"
    return None


async def ask_for_token(credentials: Credentials, seconds: float) -> tuple[str, float | None]:
    """A token, and the seconds for which it is valid as far as the endpoint tells. Raises NoToken.

    The client shows itself by HTTP's own authentication, with its name and secret encoded as RFC 6749, section 2.3.1
    wants it."""
    form = {"grant_type": "client_credentials"} | ({"scope": credentials.scope} if credentials.scope else {})
    basic = httpx.BasicAuth(quote(credentials.client, safe=""), quote(credentials.secret, safe=""))
    try:
        async with (
            httpx.AsyncClient(transport=Outbound(), timeout=seconds, follow_redirects=False) as client,
            client.stream(
                "POST", credentials.url, data=form, auth=basic, headers={"accept": "application/json"} | PLAIN
            ) as answer,
        ):
            body, status = await read_body(answer, ANSWER_BYTES), answer.status_code
    except BodyRefused as error:
        raise NoToken(f"the token endpoint {error}") from None
    except (httpx.HTTPError, InvalidEnvironment) as error:
        why = why_refused(error) or str(error) or type(error).__name__
        raise NoToken(f"the token endpoint cannot be asked: {why}") from error
    document = _read(body)
    if status != 200:
        code = document.get("error")
        told = f": {code[:100]}" if isinstance(code, str) and code.isprintable() else ""
        raise NoToken(f"the token endpoint answers {status}{told}")
    token, expires = document.get("access_token"), document.get("expires_in")
    if not isinstance(token, str) or not token:
        raise NoToken("the token endpoint answers without an access_token")
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not expires < LONGEST_LIFE:
        return token, None
    return token, float(expires)


def _read(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}

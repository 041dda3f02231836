"""Finds the token of a request (RFC 6750 section 2). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple
from urllib.parse import unquote_plus

from gateway.errors import Problem

PARAMETER = "access_token"
"""The query parameter that may hold one."""

_SCHEME = b"bearer"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 section 2.1."""
_OWN_SITES = (b"same-origin", b"none")
"""The values of `Sec-Fetch-Site` for requests that no other site has caused."""


class Credential(NamedTuple):
    """A token, and where it stands."""

    token: str
    place: Literal["header", "query", "cookie"]


def invalid_token(detail: str) -> Problem:
    """The answer to a token that is not accepted (RFC 6750 section 3.1). `detail` never repeats any of it."""
    headers = {"www-authenticate": 'Bearer error="invalid_token"'}
    return Problem(401, "Unauthorized", f"the token is not accepted: {detail}", headers=headers)


def missing_token() -> Problem:
    """The answer where a token is needed and none was shown: RFC 6750 section 3.1 wants no error code then."""
    detail = "a token is required; send `Authorization: Bearer …`"
    return Problem(401, "Unauthorized", detail, headers={"www-authenticate": "Bearer"})


def ambiguous(detail: str) -> Problem:
    """The answer to a request with more than one token (RFC 6750 section 3.1)."""
    return Problem(400, "Bad request", detail, headers={"www-authenticate": 'Bearer error="invalid_request"'})


def take_out(query: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A query without the tokens in it, and these; the rest keeps its bytes."""
    kept, tokens = [], []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        # However it is written, it has no more than three characters for one.
        if len(name) <= 3 * len(PARAMETER) and unquote_plus(name.decode("latin-1")) == PARAMETER:
            tokens.append(unquote_plus(value.decode("latin-1")))
        else:
            kept.append(part)
    return (b"&".join(kept), tuple(tokens)) if tokens else (query, ())


def find(
    headers: Iterable[tuple[bytes, bytes]], in_query: Sequence[str], cookie: str | None, longest: int
) -> Credential | None:
    """The token of a request, or None. `in_query` are those of its query, `cookie` the name of the cookie that may hold
    one, `longest` in characters. A header of another scheme, as a proxy's, is nobody's business here.

    A cookie comes after what a page sends on purpose, and only where no other site can have caused the request. Raises
    Problem: 400 for more than one token, 401 for what cannot be one.
    """
    authorizations, cookies, site = [], [], b"none"
    for name, value in headers:
        if name == b"authorization":
            authorizations.append(value)
        elif name == b"cookie" and cookie is not None:
            cookies.append(value)
        elif name == b"sec-fetch-site":
            site = value
    if len(authorizations) > 1:
        raise ambiguous("`Authorization` is given more than once; send it once")
    if len(in_query) > 1:
        raise ambiguous(f"`{PARAMETER}` is given more than once; send it once")
    bearer = _bearer(authorizations[0]) if authorizations else None
    if bearer is not None:
        if any(in_query):
            raise ambiguous(f"there is a token in `Authorization` and one in `{PARAMETER}`; send only one of them")
        return Credential(_checked(bearer, longest), "header")
    if any(in_query):
        return Credential(_checked(in_query[0], longest), "query")
    if cookie is not None and site in _OWN_SITES and (found := _cookie(cookies, cookie)):
        return Credential(_checked(found, longest), "cookie")
    return None


def _bearer(authorization: bytes) -> str | None:
    scheme, _, token = authorization.strip().partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == _SCHEME else None


def _cookie(cookies: Iterable[bytes], wanted: str) -> str | None:
    """The value of the first cookie of this name, which is that of the longest path (RFC 6265 section 5.4)."""
    for line in cookies:
        for part in line.split(b";"):
            name, _, value = part.strip().partition(b"=")
            if name == wanted.encode():
                return value.strip(b'" ').decode("latin-1")
    return None


def _checked(token: str, longest: int) -> str:
    if len(token) > longest:
        raise invalid_token(f"it is longer than {longest} bytes (token_max_bytes)")
    if _TOKEN.fullmatch(token) is None:
        raise invalid_token("it contains characters that a token cannot have")
    return token

"""Reads what a request asks for, and of whom: the target of its first line and its Host (RFC 9112, 3.2). Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.errors import Problem

_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
# RFC 3986 section 3.2: a host, or an address in brackets, and a port. Without user information, which RFC 9110 section
# 4.2.4 takes for an attempt at deceit.
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?")


class Target(NamedTuple):
    """`authority` is that of an absolute target; None: the request has a Host for it."""

    path: bytes
    query: bytes
    authority: bytes | None = None


def split_target(method: bytes, target: bytes) -> Target:
    """The parts of a target of any length, as they stand in it. Raises Problem(400)."""
    authority = None
    if method == b"CONNECT":
        raise _wrong("this server is no proxy, and connects to nobody else")
    if not target.isascii():
        raise _wrong("what is not ASCII in a URL is percent-encoded")
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        authority, target = absolute[2], absolute[3]
        if not authority or not is_host(authority):
            raise _wrong(f"{_shown(authority)} in its first line is not a host")
        target = target if target.startswith(b"/") else b"/" + target
    elif target == b"*" and method == b"OPTIONS":
        # A question to the server as a whole (RFC 9110 section 9.3.7).
        target = b"/"
    elif not target.startswith(b"/"):
        raise _wrong(f"the target {_shown(target)} in its first line is neither a path nor a URL of this server")
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return Target(path, query, authority)


def is_host(text: bytes) -> bool:
    """Whether this can be what a Host header says."""
    return _AUTHORITY.fullmatch(text.strip(b" \t")) is not None


def check_host(version: str, hosts: list[bytes]) -> None:
    """RFC 9112 section 3.2: one Host in HTTP/1.1, and one that can be. Raises Problem(400)."""
    if not hosts and version != "1.0":
        raise _wrong("a request of HTTP/1.1 names its host in one Host header, and this one has none")
    if len(hosts) > 1:
        raise _wrong("a request names its host in one Host header, and this one has more")
    if hosts and not is_host(hosts[0]):
        raise _wrong(f"its Host {_shown(hosts[0])} is not a host", "Host")


def _shown(text: bytes) -> str:
    return ascii(text[:100].decode("latin-1"))


def _wrong(detail: str, parameter: str | None = None) -> Problem:
    return Problem(400, "Bad request", detail, parameter)

"""Finds the sender of a request: the peer of the connection, or the address that a trusted proxy names. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope

from gateway.limits.networks import Address, Networks, plain
from gateway.wire.request_target import is_host

X_FORWARDED_FOR = b"x-forwarded-for"
FORWARDED = b"forwarded"
HEADERS = {"x-forwarded-for": X_FORWARDED_FOR, "forwarded": FORWARDED}

FORWARDED_BYTES = 8192
"""A longer `Forwarded` was not made by proxies."""
HOPS = 32
"""Proxies that are followed back; a longer list was not made by proxies."""

NOWHERE = ipaddress.IPv6Address(0)
"""Stands for the peer of a connection that has no address, such as one by a Unix socket."""

_PAIR = re.compile(rb"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*""")

_BLANK = re.compile(rb"\s+")


class Sender(NamedTuple):
    """`vouched`: the address is that of the connection, or named by a proxy that is trusted, and nobody else says
    otherwise."""

    address: Address
    vouched: bool


def told_by_nobody(scope: Scope) -> str | None:
    """The peer of a request for which nobody names another sender, as a text; None for any other request."""
    peer = scope.get("client")
    if peer is None:
        return None
    for name, _ in scope["headers"]:
        if name in (X_FORWARDED_FOR, FORWARDED):
            return None
    host: str = peer[0]
    return host


def sender(scope: Scope, trusted: Networks, header: bytes) -> Sender:
    """The client that sends the request. Each proxy writes the last entry of the list in `header`
    (`x-forwarded-for`, or `forwarded`, RFC 7239). So the list is read from its end, as long as proxies are trusted.
    An entry that is not an address ends it."""
    peer = scope.get("client")
    address = NOWHERE if peer is None else _of_connection(peer[0])
    named = any(name in (X_FORWARDED_FOR, FORWARDED) for name, _ in scope["headers"])
    if address not in trusted:
        return Sender(address, not named)
    values = [value for name, value in scope["headers"] if name == header]
    if header == FORWARDED and sum(map(len, values)) > FORWARDED_BYTES:
        return Sender(address, False)
    for hop in _hops(values, header):
        found = read_address(hop)
        if found is None:
            return Sender(address, False)
        address = found
        if address not in trusted:
            break
    return Sender(address, True)


def public_address(scope: Scope, trusted: Networks, header: bytes) -> tuple[str | None, bytes | None]:
    """Scheme and host that the client used, according to a trusted proxy. They stand in `Forwarded` (`proto`,
    `host`), or in X-Forwarded-Proto and X-Forwarded-Host; None if missing. Of a list the last entry counts: the
    proxy itself wrote it, and no client can forge it."""
    peer = scope.get("client")
    if peer is None or _of_connection(peer[0]) not in trusted:
        return None, None
    if header == FORWARDED:
        told = {name.lower(): value for name, value in _last_element(scope)}
        scheme, host = told.get(b"proto", b""), told.get(b"host", b"")
    else:
        scheme, host = _last(scope, b"x-forwarded-proto"), _last(scope, b"x-forwarded-host")
    known = scheme.lower().decode("latin-1")
    return known if known in ("http", "https") else None, host if host and is_host(host) else None


def _last(scope: Scope, wanted: bytes) -> bytes:
    values = [value for name, value in scope["headers"] if name == wanted]
    return values[-1].rpartition(b",")[2].strip() if values else b""


def _last_element(scope: Scope) -> list[tuple[bytes, bytes]]:
    values = [value for name, value in scope["headers"] if name == FORWARDED]
    if sum(map(len, values)) > FORWARDED_BYTES:
        return []
    elements = _elements(b",".join(values))
    return elements[-1] if elements else []


@lru_cache(4096)
def _of_connection(host: str) -> Address:
    """Kept, since a request asks for it more than once, and clients come back together; no client can write it."""
    return read_address(host) or NOWHERE


def read_address(text: str) -> Address | None:
    """An address, also in brackets or with a port; None where it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _hops(values: list[bytes], header: bytes) -> Iterator[str]:
    """The entries from the last one back."""
    found: Iterable[bytes] = b",".join(values).rsplit(b",", HOPS) if header == X_FORWARDED_FOR else _forwarded(values)
    hops = [hop for hop in found if hop.strip()]
    return (hop.decode("latin-1") for hop in reversed(hops[-HOPS:]))


def _forwarded(values: list[bytes]) -> list[bytes]:
    """The `for` of each element of `Forwarded`; a value that is not an address if the element has none."""
    hops = []
    for element in _elements(b",".join(values)):
        given = [value for name, value in element if name.lower() == b"for"]
        hops.append(given[0] if len(given) == 1 else b"unknown")
    return hops


def _elements(text: bytes) -> list[list[tuple[bytes, bytes]]]:
    """The elements, each with its pairs. An element that violates the grammar has no pairs."""
    elements: list[list[tuple[bytes, bytes]]] = [[]]
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is not None and pair.end() > at:
            value = pair[2]
            if value.startswith(b'"'):
                value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
            elements[-1].append((pair[1], value))
            at = pair.end()
        elif (blank := _BLANK.match(text, at)) is not None:
            # All at once: from each blank on, the rest of them would be looked at again.
            at = blank.end()
        separator = text[at : at + 1]
        if separator == b",":
            elements.append([])
        elif separator not in (b";", b"", b" "):
            return [[]]
        at += 1
    return [element for element in elements if element]

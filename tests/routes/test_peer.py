"""Who sends a request."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.networks import Networks
from gateway.routes.peer import FORWARDED, X_FORWARDED_FOR, sender

TRUSTED = Networks(["10.0.0.0/8", "fd00::/8"])


def scope(peer: str | None, *headers: tuple[bytes, bytes]) -> Any:
    return {"client": None if peer is None else (peer, 1234), "headers": list(headers)}


def seen(peer: str | None, header: bytes, *values: str) -> tuple[str, bool]:
    address, vouched = sender(scope(peer, *((header, value.encode()) for value in values)), TRUSTED, header)
    return str(address), vouched


def test_the_peer_itself() -> None:
    assert seen("203.0.113.9", X_FORWARDED_FOR) == ("203.0.113.9", True)
    assert seen("::ffff:203.0.113.9", X_FORWARDED_FOR) == ("203.0.113.9", True)
    assert seen(None, X_FORWARDED_FOR) == ("::", True)


def test_who_is_not_trusted_speaks_for_nobody() -> None:
    assert seen("203.0.113.9", X_FORWARDED_FOR, "127.0.0.1") == ("203.0.113.9", False)
    assert seen("127.0.0.1", FORWARDED, "for=10.0.0.1") == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1", "198.51.100.1, 10.1.1.1"], "198.51.100.1"),
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        ([" 198.51.100.1 ,, 10.0.0.8 "], "198.51.100.1"),
    ],
)
def test_the_last_who_is_not_trusted(values: list[str], expected: str) -> None:
    assert seen("10.0.0.1", X_FORWARDED_FOR, *values) == (expected, True)


@pytest.mark.parametrize("value", ["unknown", "_hidden", "999.1.1.1", "1.2.3.4, what"])
def test_an_entry_that_is_no_address_ends_the_list(value: str) -> None:
    assert seen("10.0.0.1", X_FORWARDED_FOR, value) == ("10.0.0.1", False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=198.51.100.1", ("198.51.100.1", True)),
        ("For=1.1.1.1, for=198.51.100.1;proto=https;by=10.0.0.3", ("198.51.100.1", True)),
        ('for="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", True)),
        ('for="198.51.100.1:80";host="a,b;c"', ("198.51.100.1", True)),
        ("for=198.51.100.1, for=10.0.0.2", ("198.51.100.1", True)),
        ("for=unknown", ("10.0.0.1", False)),
        ("for=1.1.1.1;for=2.2.2.2", ("10.0.0.1", False)),
        ("by=10.0.0.3", ("10.0.0.1", False)),
        ("=;=", ("10.0.0.1", False)),
    ],
)
def test_forwarded(value: str, expected: tuple[str, bool]) -> None:
    assert seen("10.0.0.1", FORWARDED, value) == expected


def test_the_other_header_is_not_believed() -> None:
    other = scope("10.0.0.1", (b"forwarded", b"for=1.1.1.1"))
    assert str(sender(other, TRUSTED, X_FORWARDED_FOR).address) == "10.0.0.1"


@given(st.sampled_from([X_FORWARDED_FOR, FORWARDED]), st.lists(st.binary(max_size=200), max_size=4))
def test_whatever_is_in_the_header_gives_an_address(header: bytes, values: list[bytes]) -> None:
    found = sender(scope("10.0.0.1", *((header, value) for value in values)), TRUSTED, header)
    assert isinstance(found.address, ipaddress.IPv4Address | ipaddress.IPv6Address)


@given(st.lists(st.ip_addresses(), max_size=5), st.ip_addresses(v=4).filter(lambda ip: ip not in TRUSTED))
def test_nobody_can_lie_past_a_proxy(claims: list[object], client: ipaddress.IPv4Address) -> None:
    """Whatever a client claims, the proxy writes the client's own address behind it."""
    text = ", ".join([*map(str, claims), str(client)])
    assert seen("10.0.0.1", X_FORWARDED_FOR, text) == (str(client), True)

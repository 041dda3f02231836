"""Which limits hold for an address."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from gateway.limits.networks import Amounts, Networks, Policies, bucket, plain, read_special

USUAL = Amounts(10, 100, 1, 2, 3)


def policies(**special: Any) -> Policies:
    """Loopback is exempt."""
    return Policies(Networks(["127.0.0.0/8", "::1"]), read_special(special, USUAL), USUAL.policy())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_whose_use_is_counted_together(address: str, expected: str) -> None:
    assert bucket(plain(ipaddress.ip_address(address))) == expected


def test_exempt_special_and_usual() -> None:
    found = policies(partners={"networks": ["203.0.113.0/24"], "streams": 1000, "replay": 0})
    loopback = ipaddress.ip_address("127.0.0.1")
    assert found.client(loopback, vouched=True) is None
    # Somebody else may stand behind it.
    counted = found.client(loopback, vouched=False)
    assert counted is not None
    assert counted.policy == USUAL.policy()
    partner = found.client(ipaddress.ip_address("203.0.113.7"), vouched=True)
    assert partner is not None
    assert partner.policy.streams == 1000
    assert not partner.policy.replay.limited
    assert partner.policy.connects == USUAL.policy().connects


def test_an_ipv4_network_written_as_ipv6() -> None:
    assert ipaddress.ip_address("203.0.113.7") in Networks(["::ffff:203.0.113.0/120"])


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("x", "is not a mapping"),
        ({"networks": ["10.0.0.0/8"], "rate": 3}, "has no rate"),
        ({"streams": 3}, "names no networks"),
        ({"networks": ["10.0.0.0/40"]}, "is not a network"),
        ({"networks": ["10.0.0.0/8"], "streams": -1}, "takes a number from 0"),
        ({"networks": ["10.0.0.0/8"], "connects": True}, "takes a number from 0"),
    ],
)
def test_mistakes_are_named(entry: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        read_special({"partners": entry}, USUAL)
    assert "partners" in str(caught.value)

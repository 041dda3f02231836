"""Decides which limits hold for an address. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.catalog.document import kind_of
from gateway.limits.port import Client, Policy
from gateway.limits.rates import Rate

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CUSTOMER_PREFIX = 64
"""Bits of an IPv6 address that tell customers apart (RFC 6177): each has more addresses than can be counted."""

FILTERS_BURST = 2.0
CONNECTS_BURST = 10.0
INTAKE_BURST = 2.0
REPLAY_BURST = 2.0
REQUESTS_BURST = 10.0
"""How much may be spent at once, in seconds of the rate."""

_KEYS = ("networks", "streams", "filters", "connects", "intake", "replay", "requests")


class Amounts(NamedTuple):
    """The settings for one client: streams; steps of filters, streams, events, bytes and requests a second. 0 means
    no limit."""

    streams: float
    filters: float
    connects: float
    intake: float
    replay: float
    requests: float = 0.0

    def policy(self) -> Policy:
        """The same with its bursts."""
        return Policy(
            int(self.streams),
            Rate(self.filters, max(1.0, self.filters * FILTERS_BURST)),
            Rate(self.connects, max(1.0, self.connects * CONNECTS_BURST)),
            Rate(self.intake, max(1.0, self.intake * INTAKE_BURST)),
            Rate(self.replay, max(1.0, self.replay * REPLAY_BURST)),
            Rate(self.requests, max(1.0, self.requests * REQUESTS_BURST)),
        )


def plain(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one is the IPv4 one (RFC 4291 section 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def bucket(address: Address) -> str:
    """Whose use is counted together."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((int(address), CUSTOMER_PREFIX), strict=False))


class Networks:
    """A set of networks. Raises ValueError for a text that is none."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = [_network(text) for text in texts]

    def __contains__(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Policies:
    """The limits by network: `exempt` has none, each of `special` its own, all others `usual`."""

    exempt: Networks
    special: tuple[tuple[Networks, Policy], ...]
    usual: Policy

    def client(self, address: Address, vouched: bool) -> Client | None:
        """The client that the address stands for; None for one without limits. `vouched`: every proxy in front of
        the client is known, so that the address may be exempt."""
        if vouched and address in self.exempt:
            return None
        for networks, policy in self.special:
            if address in networks:
                return Client(bucket(address), policy)
        return Client(bucket(address), self.usual)


def read_special(document: Mapping[str, Any], usual: Amounts) -> tuple[tuple[Networks, Policy], ...]:
    """The networks with limits of their own, as the configuration has them: by name, `networks` and those amounts that
    differ from the usual. Raises ValueError that says what is wrong."""
    special = []
    for name, entry in document.items():
        if not isinstance(entry, Mapping):
            raise ValueError(f"limit_networks: {name} is not a mapping; it takes {', '.join(_KEYS)}")
        for key in entry:
            if key not in _KEYS:
                raise ValueError(f"limit_networks: {name} has no {key}; it takes {', '.join(_KEYS)}")
        texts = entry.get("networks")
        if not isinstance(texts, list) or not texts:
            raise ValueError(f"limit_networks: {name} names no networks; it takes a list such as [203.0.113.0/24]")
        amounts = {}
        for key in _KEYS[1:]:
            amount = entry.get(key, getattr(usual, key))
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < 1e15:
                raise ValueError(f"limit_networks: {key} of {name} is {kind_of(amount)}; it takes a number from 0")
            amounts[key] = float(amount)
        try:
            special.append((Networks(texts), Amounts(**amounts).policy()))
        except ValueError as error:
            raise ValueError(f"limit_networks: {name}: {error}") from None
    return tuple(special)


def _network(text: object) -> Network:
    try:
        network = ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        raise ValueError(f'"{text}" is not a network; it takes one such as 203.0.113.0/24 or 2001:db8::/32') from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        if network.prefixlen < 96:
            return network
        return ipaddress.ip_network((int(network.network_address.ipv4_mapped), network.prefixlen - 96))
    return network

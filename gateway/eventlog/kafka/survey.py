"""Answers an operator's questions about a cluster: which brokers can be reached, which topics there are, with what
rights. It asks for metadata alone, and creates nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from gateway.cooperative import together
from gateway.errors import LogUnavailable
from gateway.eventlog.inspection import Listed, Reached
from gateway.eventlog.kafka.calls import read
from gateway.eventlog.kafka.cluster import ABSENT, Cluster
from gateway.eventlog.kafka.connections import BACKOFF_SECONDS
from gateway.eventlog.kafka.metadata import Address
from gateway.eventlog.kafka.protocol import NO_OPERATIONS, MetadataRequest, read_listing
from gateway.eventlog.kafka.trouble import trouble_of
from gateway.eventlog.trouble import Trouble

MOST_BROKERS = 200
"""Brokers that are tried one by one."""
AT_ONCE = 16
TRIES = 3
"""A broker that has just started may not answer in the time of an attempt; a person can wait for another."""

OPERATIONS = {3: "read", 4: "write", 5: "create", 6: "delete", 7: "alter", 8: "describe"}
"""The bits of the rights that brokers tell (KIP-430)."""

INTERNAL = ("__", "_schemas", "_confluent", "gateway.positions")
"""How names of topics begin that programs keep for themselves, where the broker does not say that they are internal."""

_CLOSED = "the broker has closed the connection"


async def reach(cluster: Cluster, bootstrap: Iterable[Address], protocol: str) -> list[Reached]:
    """See Inspectable."""
    permits = asyncio.Semaphore(AT_ONCE)

    async def tried(address: Address, name: str) -> Reached:
        async with permits:
            return Reached(name, await _failure(cluster, address, protocol))

    given = list(dict.fromkeys(bootstrap))
    found = await together(tried(address, f"{address[0]}:{address[1]}") for address in given)
    others = {node: address for node, address in sorted(cluster.brokers.items()) if address not in given}
    more = await together(
        tried(address, f"broker {node} at {address[0]}:{address[1]} (its advertised.listeners)")
        for node, address in list(others.items())[:MOST_BROKERS]
    )
    return [*found, *more]


async def _failure(cluster: Cluster, address: Address, protocol: str) -> str:
    """Why a broker gives no metadata; empty if it does."""
    failure = await _try(cluster, address, protocol)
    for _ in range(TRIES - 1):
        if "within" not in failure:
            break
        # Sooner, the failure would be the answer to all who ask.
        await asyncio.sleep(BACKOFF_SECONDS)
        failure = await _try(cluster, address, protocol)
    return failure


async def _try(cluster: Cluster, address: Address, protocol: str) -> str:
    try:
        await cluster.learn_from(address)
    except LogUnavailable as error:
        why = str(error)
        for begin in (f"Kafka: connect to {address[0]}:{address[1]}: ", f"Kafka: ask {address[0]}:{address[1]}: "):
            why = why.removeprefix(begin)
        if _CLOSED in why and not protocol.startswith("SASL"):
            return f"{_CLOSED}; it may want a user: set security_protocol to SASL_PLAINTEXT or SASL_SSL"
        if why.startswith("ConnectionResetError") and protocol.endswith("SSL"):
            return (
                "the broker closes the connection in the handshake of TLS; if it speaks none there, set "
                "security_protocol to PLAINTEXT or SASL_PLAINTEXT"
            )
        return why
    return ""


async def listed(cluster: Cluster, topics: Collection[str] | None) -> dict[str, Listed | Trouble]:
    """See Inspectable."""
    answer = await cluster.ask_metadata(MetadataRequest(None if topics is None else sorted(topics), rights=True))
    told = read("metadata", lambda: read_listing(answer))
    found: dict[str, Listed | Trouble] = {}
    for name, topic in told.items():
        if topic.error in ABSENT:
            continue
        if topic.error and not topic.partitions:
            found[name] = trouble_of(topic.error, f"topic {name}")
        else:
            internal = topic.internal or name.startswith(INTERNAL)
            found[name] = Listed(topic.partitions, internal, _rights(topic.operations))
    return found


def _rights(operations: int) -> frozenset[str] | None:
    if operations == NO_OPERATIONS:
        return None
    return frozenset(name for number, name in OPERATIONS.items() if operations & (1 << number))

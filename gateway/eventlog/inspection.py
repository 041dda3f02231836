"""The questions of an operator to a log: who answers, which topics there are, and what is allowed.

Only a log in brokers has answers; an embedded one is a file of the gateway's own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol, runtime_checkable

from gateway.eventlog.trouble import Trouble


class Reached(NamedTuple):
    """A broker, or an address of the configuration; `failure` says why it cannot be reached, empty if it can."""

    name: str
    failure: str = ""


class Listed(NamedTuple):
    """A topic. `may` has the operations that the gateway is allowed (`describe`, `read`, `write`, …), None where the
    log does not tell. `internal`: the log's own."""

    partitions: int
    internal: bool
    may: frozenset[str] | None


@runtime_checkable
class Inspectable(Protocol):
    """A log that can be asked. Nothing is created or changed by that."""

    async def reach(self) -> list[Reached]:
        """Try each address of the configuration, and each broker that the cluster names. Bounded in time, and never
        raises."""
        ...

    async def listed(self, topics: Collection[str] | None = None) -> dict[str, Listed | Trouble]:
        """These topics, or all of which the gateway may know; those that are missing are left out, and those that may
        not be described have the reason. Raises LogUnavailable."""
        ...

"""The operations of the admin port, which concern all processes of a gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import RestartNeeded
from gateway.observability import telemetry
from gateway.routes.catalog import Lags
from gateway.routes.health import Workers
from gateway.routes.overview import Rows

logger = logging.getLogger("gateway")

Reload = Callable[[], Awaitable[dict[str, Any]]]
"""The operation behind `POST /-/reload`; returns the changes, and raises ConfigurationError."""


@dataclass(frozen=True, slots=True)
class Operations:
    """Comes from the starter of the process: a process alone answers for itself, a worker asks its supervisor."""

    reload: Reload
    drain: Callable[[], None]
    """Lets all processes end in order."""
    connections: Rows
    """The open streams of all processes."""
    exposition: Callable[[], Awaitable[bytes]]
    """The metrics of all processes."""
    workers: Workers
    lags: Lags


async def nothing_to_reload() -> dict[str, Any]:
    """The reload of a server without a configuration. Raises RestartNeeded."""
    reason = "this server runs without a configuration, and has nothing to reload"
    logger.warning(reason)
    raise RestartNeeded([reason])


async def own_exposition() -> bytes:
    """The metrics of this process."""
    telemetry.tally.publish()
    return await asyncio.to_thread(telemetry.exposition)


def no_workers() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A process alone has no other that could be silent or down."""
    return (), ()


def no_lags() -> Mapping[str, int]:
    """A process alone derives nothing."""
    return {}


def drain_nothing() -> None:
    """Ends nothing: the owner of these routes ends the process."""

"""The services that all sessions of a process share."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from gateway.clock import Clock
from gateway.cooperative import Gate
from gateway.feed.held import Held
from gateway.feed.live import Broadcast
from gateway.hub.hub import Hub
from gateway.hub.past import Past
from gateway.subscription.seen import Counting

RESOLVED_AT_ONCE = 16
"""The most positions that are compared with the log at the same time. So a storm of clients that open streams makes
no turn of the loop long."""
RESOLVE_SECONDS = 0.2
"""Seconds after which a client that waits for a silent topic no longer keeps others out."""


@dataclass(frozen=True, slots=True)
class Services:
    """The services that all sessions of the process share."""

    hub: Hub
    broadcast: Broadcast
    past: Past
    clock: Clock
    heartbeat: float
    retry: int
    longest: float = 0.0
    """The longest that a response may last, in seconds; 0 is for ever."""
    random: Random = field(default_factory=Random)
    resolving: Gate = field(default_factory=lambda: Gate(RESOLVED_AT_ONCE, RESOLVE_SECONDS))
    counting: Counting = field(default_factory=Counting)
    held: Held = field(default_factory=Held)
    """The bytes that all sessions hold for their clients."""
    longest_id: int = 0
    """Bytes of the longest id that is taken back; 0 is any."""

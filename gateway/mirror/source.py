"""The source of a mirror: a subscription over HTTP to everything that a stream has."""

from __future__ import annotations

from collections.abc import Callable

from gateway.client import Query, State, Subscription
from gateway.mirror.mirror import Subscribe


def subscriber(url: str, since: int | None = None) -> Subscribe:
    """Subscribes to the stream at this address, canary events too: a copy is whole. `since` (ms) is where it begins
    when there is no position yet."""

    def subscribe(position: str, on_state: Callable[[State], None]) -> Subscription:
        return Subscription(url, Query(since=since, canary=True), last_event_id=position, on_state=on_state)

    return subscribe

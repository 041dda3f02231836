"""Refused requests, and the reasons."""

from __future__ import annotations

import time
from collections.abc import Collection

from gateway.observability.telemetry.metric import Counter, Gauge, log
from gateway.observability.throttle import Seldom

_TOKENS_REFUSED = Counter("gateway_tokens_refused", "Requests refused because of their token, by reason", ["reason"])
_KEYS = Gauge("gateway_token_keys", "Keys that verify tokens, as last fetched", multiprocess_mode="livemin")
_KEY_FAILURES = Counter("gateway_token_key_failures", "Failed fetches of the keys that verify tokens")
_LIMITS_REFUSED = Counter("gateway_limits_refused", "Requests and events refused by a limit", ["limit"])
_LIMITS_ALONE = Gauge(
    "gateway_limits_alone",
    "Whether a process counts limits alone that it should share",
    multiprocess_mode="livemax",
)
_REFUSED = Counter("gateway_connections_refused", "Connections closed at once because the process has no room for more")
_REFUSALS = Seldom(10.0)


def connection_refused(why: str) -> None:
    """There is no room for a connection; told at most every few seconds, since they may be thousands."""
    _REFUSED.inc()
    if _REFUSALS.is_due(time.monotonic()):
        log.warning("connections are refused: %s", why)


def token_refused(reason: str) -> None:
    """A request was refused because its token is `missing`, `malformed` or `invalid`. The log shows nothing of the
    token."""
    _TOKENS_REFUSED.labels(reason).inc()


def keys_fetched(count: int, notes: Collection[str]) -> None:
    """The keys of tokens were fetched; `notes` say which of them are not used, where they are others than before."""
    _KEYS.set(count)
    for note in notes:
        log.warning("token keys (jwks): %s", note)


def keys_unavailable(reason: object) -> None:
    """The keys of tokens could not be fetched; those that were fetched before stay in force."""
    _KEY_FAILURES.inc()
    log.warning("token keys cannot be fetched; the previous ones stay in force: %s", reason)


def limit_refused(limit: str) -> None:
    """A client has all that a limit allows."""
    _LIMITS_REFUSED.labels(limit).inc()


def limits_shared() -> None:
    """The store where limits are counted for all processes answers again."""
    _LIMITS_ALONE.set(0)
    log.info("limits are shared again")


def limits_alone(reason: str, closed: bool) -> None:
    """The store where limits are counted for all processes does not answer."""
    _LIMITS_ALONE.set(1)
    how = "new clients are refused" if closed else "this process counts by itself"
    log.warning("limits cannot be shared (%s); %s until they can", reason, how)


def forwarding_ignored() -> None:
    """A request names a client that its sender may have made up."""
    log.warning(
        "requests come with a forwarding header from an address that is not in trusted_proxies: they count as "
        "requests of that address; if it is your proxy, add its network to trusted_proxies"
    )

"""The events sent to the gateway, and what becomes of them."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from gateway.observability.telemetry.metric import Counter, Gauge, log
from gateway.observability.throttle import Seldom

_INTAKE = Counter("gateway_intake_events", "Events sent to the intake, by outcome", ["stream", "outcome"])
_INTAKE_FULL = Counter("gateway_intake_full", "Requests refused because events arrive faster than the log stores them")
_ERROR_EVENTS_LOST = Counter(
    "gateway_error_events_lost", "Dead letters that did not reach their error stream", ["stream"]
)
_CLAIMS_ALONE = Gauge(
    "gateway_claims_alone",
    "Whether a process cannot share its claims and asks the log instead",
    multiprocess_mode="livemax",
)
_CLAIMS = Counter("gateway_claims", "Events with an id, by the state of their claim", ["standing"])
_FAILED_APPENDS: dict[str, Seldom] = {}


def intake_events(stream: str, outcome: str, count: int) -> None:
    """Events were stored, invalid, repeated or failed; the stream is empty where they name none that is known."""
    if count:
        _of_outcome(stream, outcome).inc(count)


@lru_cache(maxsize=4096)
def _of_outcome(stream: str, outcome: str) -> Any:
    """The counter of a stream of the catalogue; to find it costs more than to count."""
    return _INTAKE.labels(stream, outcome)


def intake_full() -> None:
    """A request was refused: what waits for the log takes all the memory that it may."""
    _INTAKE_FULL.inc()


def intake_broken(error: BaseException) -> None:
    """An append met a mistake of our own."""
    log.error("an internal error keeps events from being stored", exc_info=error)


def append_failed(topic: str, reason: str) -> None:
    """The log did not store events; the reason is logged for each topic once a minute at most."""
    if _FAILED_APPENDS.setdefault(topic, Seldom(60.0)).is_due(time.monotonic()):
        log.warning("events for %s are not stored: %s", topic, reason[:500])


def append_works(topic: str) -> None:
    """The log takes events again."""
    _FAILED_APPENDS.pop(topic, None)
    log.info("events for %s are stored again", topic)


def error_event_lost(stream: str, reason: str) -> None:
    """A dead letter is not in the error stream."""
    _ERROR_EVENTS_LOST.labels(stream).inc()
    log.warning("an invalid event did not reach the error stream %s: %s", stream, reason[:300])


def claims_shared() -> None:
    """The store where gateways tell each other what they store answers again."""
    _CLAIMS_ALONE.set(0)
    log.info("claims are shared again")


def claims_alone(reason: str) -> None:
    """The store where gateways tell each other what they store does not answer."""
    _CLAIMS_ALONE.set(1)
    log.warning(
        "gateways cannot share their claims (%s). Until they can, the log is asked for each event with an id, "
        "and an event that reaches two gateways at the same moment may be stored twice",
        reason[:500],
    )


def claims(standing: str, count: int) -> None:
    """Count events with an id that were `own`, `stored`, `held` by others, `unclaimed`, or `unknown`."""
    if count:
        _CLAIMS.labels(standing).inc(count)

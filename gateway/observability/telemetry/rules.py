"""How rules do: their requests, and what they wait for."""

from __future__ import annotations

import time

from gateway.observability.telemetry.metric import Counter, Gauge, log
from gateway.observability.throttle import Seldom

_REQUESTS = Counter(
    "gateway_rule_requests",
    "Tries of a rule, by what followed: done, ignored, retry or dead; each action of each try counts",
    ["rule", "outcome"],
)
_DEAD = Counter("gateway_rule_dead", "Events that a rule has given up, and put into its dead stream", ["rule"])
_LOST = Counter("gateway_rule_lost", "Events that a rule has given up, and that no stream has taken", ["rule"])
_GAPS = Counter("gateway_rule_gaps", "Times that the log had no more what a rule was to read next", ["rule"])
_BAD = Counter("gateway_rule_bad_records", "Records of a rule's streams that are no events", ["rule"])
_LAG = Gauge(
    "gateway_rule_lag_seconds",
    "Age of the oldest event of its streams that a rule has taken up and not finished, by the record's time",
    ["rule"],
    multiprocess_mode="livemax",
)
_TOLD: dict[tuple[str, str], Seldom] = {}
_SELDOM_SECONDS = 60.0


def rule_requests(rule: str, outcome: str) -> None:
    """A try has ended."""
    _REQUESTS.labels(rule, outcome).inc()


def rule_lag(rule: str, seconds: float) -> None:
    """How far the rule is behind its streams."""
    _LAG.labels(rule).set(seconds)


def rule_dead(rule: str, reason: str) -> None:
    """An event is given up; each rule logs the reason once a minute at most."""
    _DEAD.labels(rule).inc()
    if _is_due(rule, "dead"):
        log.warning("rule %s has given an event up: %s", rule, reason[:300])


def rule_lost(rule: str, reason: str) -> None:
    """An event is given up, and stands nowhere."""
    _LOST.labels(rule).inc()
    log.error("rule %s has lost an event: %s", rule, reason[:300])


def rule_gap(rule: str, topic: str, reason: str) -> None:
    """The log does not have what was to be read next."""
    _GAPS.labels(rule).inc()
    log.warning("rule %s: events of %s are missing (%s); it goes on with those that are there", rule, topic, reason)


def rule_bad(rule: str, topic: str, offset: int, reason: str) -> None:
    """A record is no event, and is passed over."""
    _BAD.labels(rule).inc()
    if _is_due(rule, "bad"):
        log.warning("rule %s passes over %s at %d: %s", rule, topic, offset, reason[:200])


def rule_waits(rule: str, reason: str) -> None:
    """The log does not do what the rule needs; it is asked again."""
    if _is_due(rule, "waits"):
        log.warning("rule %s waits for the log: %s", rule, reason[:500])


def rule_taken_over(rule: str, reason: str) -> None:
    """Another process runs the rule now."""
    log.warning("rule %s is run by another process now: %s", rule, reason[:300])


def _is_due(rule: str, kind: str) -> bool:
    return _TOLD.setdefault((rule, kind), Seldom(_SELDOM_SECONDS)).is_due(time.monotonic())

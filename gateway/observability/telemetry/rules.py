"""Counts and logs the requests of rules, and their troubles."""

from __future__ import annotations

import time

from gateway.observability.telemetry.metric import Counter, Gauge, log
from gateway.observability.throttle import Seldom

_REQUESTS = Counter(
    "gateway_rule_requests",
    "Actions of a rule, by outcome: done, ignored, retry or dead; each try counts",
    ["rule", "outcome"],
)
_DEAD = Counter("gateway_rule_dead", "Events that a rule gave up and stored in its dead stream", ["rule"])
_LOST = Counter("gateway_rule_lost", "Events that a rule gave up and that no stream took", ["rule"])
_GAPS = Counter("gateway_rule_gaps", "Gaps in the streams of a rule: events expired before it read them", ["rule"])
_BAD = Counter("gateway_rule_bad_records", "Records of a rule's streams that are not events", ["rule"])
_LAG = Gauge(
    "gateway_rule_lag_seconds",
    "Age of the oldest event of its streams that a rule has begun and not finished, by the record's time",
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


def rule_ends(rule: str) -> None:
    """A rule is not run here any more."""
    _LAG.remove(rule)


def rule_dead(rule: str, reason: str) -> None:
    """An event is given up; each rule logs the reason once a minute at most."""
    _DEAD.labels(rule).inc()
    if _is_due(rule, "dead"):
        log.warning("rule %s gave up an event: %s", rule, reason[:300])


def rule_lost(rule: str, reason: str) -> None:
    """An event is given up, and no stream holds it."""
    _LOST.labels(rule).inc()
    log.error("rule %s lost an event: %s", rule, reason[:300])


def rule_gap(rule: str, topic: str, reason: str) -> None:
    """The log no longer has the next events."""
    _GAPS.labels(rule).inc()
    log.warning("rule %s: events of %s are missing (%s); it continues with the next ones", rule, topic, reason)


def rule_bad(rule: str, topic: str, offset: int, reason: str) -> None:
    """A record is not an event, and is skipped."""
    _BAD.labels(rule).inc()
    if _is_due(rule, "bad"):
        log.warning("rule %s skips %s at %d: %s", rule, topic, offset, reason[:200])


def rule_waits(rule: str, reason: str) -> None:
    """The log does not do what the rule needs; it is asked again."""
    if _is_due(rule, "waits"):
        log.warning("rule %s waits for the log: %s", rule, reason[:500])


def rule_taken_over(rule: str, reason: str) -> None:
    """Another process runs the rule now."""
    log.warning("rule %s is run by another process now: %s", rule, reason[:300])


def _is_due(rule: str, kind: str) -> bool:
    return _TOLD.setdefault((rule, kind), Seldom(_SELDOM_SECONDS)).is_due(time.monotonic())

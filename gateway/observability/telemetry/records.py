"""Records and parts of the process at which something went wrong."""

from __future__ import annotations

import logging
import time

from gateway.observability.telemetry.bad_records import BadRecords
from gateway.observability.telemetry.metric import Counter, log
from gateway.observability.throttle import Seldom

_BAD_RECORDS = Counter("gateway_bad_records", "Records that are not events, read from the log into the ring", ["topic"])
_BAD_RECORDS_REPLAYED = Counter(
    "gateway_bad_records_replayed", "Records that are not events, met in history; counted at each read", ["topic"]
)
_RECORD_MISTAKES = Counter(
    "gateway_record_mistakes", "Records skipped, at least in part, because of an internal error", ["topic"]
)
_MISTAKES = Counter("gateway_mistakes", "Internal errors in background tasks, by part", ["part"])
_NOT_EVENTS = BadRecords()
_MISTAKEN_RECORDS = Seldom(10.0)
_TOLD_MISTAKES: dict[str, Seldom] = {}


def bad_record(topic: str, partition: int, offset: int, reason: str, replayed: bool) -> None:
    """A stored value was passed over. The log has a summary of those that the hub has read; a replay meets the
    same again."""
    (_BAD_RECORDS_REPLAYED if replayed else _BAD_RECORDS).labels(topic).inc()
    if not replayed:
        _NOT_EVENTS.note(topic, partition, offset, reason)
    if log.isEnabledFor(logging.DEBUG):
        log.debug("skipped a record that is not an event: %s/%d offset %d: %s", topic, partition, offset, reason)


def tell_bad_records(now: float) -> None:
    """Say what was passed over, where that is due (seconds)."""
    for line in _NOT_EVENTS.due(now):
        log.warning("%s", line)


def record_mistake(topic: str, partition: int, offset: int, error: BaseException) -> None:
    """A mistake of our own at one record, which was passed over. All are counted, and one in ten seconds is logged."""
    _RECORD_MISTAKES.labels(topic).inc()
    if _MISTAKEN_RECORDS.is_due(time.monotonic()):
        where = f"{topic}/{partition} offset {offset}"
        log.error("an internal error passes over a record: %s", where, exc_info=error)


def mistake(part: str, error: BaseException) -> None:
    """An internal error in a part of the process that continues all the same; `part` is one of ours. All errors are
    counted, and each part logs one in ten seconds."""
    _MISTAKES.labels(part).inc()
    if _TOLD_MISTAKES.setdefault(part, Seldom(10.0)).is_due(time.monotonic()):
        log.error("an internal error: %s", part, exc_info=error)

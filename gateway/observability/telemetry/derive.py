"""Counts and logs what derived streams are made of, and their troubles."""

from __future__ import annotations

import time

from gateway.observability.figures import Figures
from gateway.observability.telemetry.metric import Counter, Gauge, begin, log
from gateway.observability.throttle import Seldom

_ROWS = Counter("gateway_derive_rows", "Rows of a derived stream that were stored", ["stream"])
_LATE = Counter("gateway_derive_late", "Events that came too late for a derived stream", ["stream"])
_ERRORS = Counter(
    "gateway_derive_errors", "Events and rows of which nothing valid could be made for a derived stream", ["stream"]
)
_REPLAYED = Counter(
    "gateway_derive_replayed",
    "Records that a derived stream read again to know what it knew before it was started",
    ["stream"],
)
_HALTS = Counter("gateway_derive_halts", "Times that a derived stream could not continue and was restarted", ["stream"])
_LAG = Gauge(
    "gateway_derive_lag_seconds",
    "Age of the newest record that a derived stream has read of the source furthest behind; 0 once it has read all",
    ["stream"],
    multiprocess_mode="livemax",
)
_lags: dict[str, dict[int | None, float]] = {}
"""Of each stream, that of each lane that runs here."""
_waits = Seldom(60.0)

_HELD_BACK = Gauge(
    "gateway_derive_held_back_seconds",
    "Time by which a source partition without recent events holds back the rows of a derived stream",
    ["stream"],
    multiprocess_mode="livemax",
)


def derive_begins(stream: str) -> None:
    """A stream is derived from now on."""
    for counter in (_ROWS, _LATE, _ERRORS, _REPLAYED, _HALTS):
        begin(counter, stream)


def derive_ends(stream: str, lane: int | None = None) -> None:
    """A stream, or a lane of it, is not derived here any more."""
    lags = _lags.get(stream, {})
    lags.pop(lane, None)
    if lags:
        _LAG.labels(stream).set(max(lags.values()))
    else:
        _lags.pop(stream, None)
        _LAG.remove(stream)
        _HELD_BACK.remove(stream)


def derive_stored(stream: str, rows: int, late: int, errors: int) -> None:
    """These have been stored, with the position."""
    _ROWS.labels(stream).inc(rows)
    _LATE.labels(stream).inc(late)
    _ERRORS.labels(stream).inc(errors)


def derive_replayed(stream: str, records: int) -> None:
    """Records were read again."""
    _REPLAYED.labels(stream).inc(records)


def derive_lag(stream: str, seconds: float, lane: int | None = None) -> None:
    """How far it is behind its sources, or a lane of it."""
    lags = _lags.setdefault(stream, {})
    lags[lane] = seconds
    _LAG.labels(stream).set(max(lags.values()))


def derive_lags(figures: Figures) -> dict[str, int]:
    """The seconds by which streams are behind their sources, by their names, among the figures of a process."""
    name = "gateway_derive_lag_seconds"
    return {
        dict(labels)["stream"]: round(value) for (_, sample, labels), value in figures.gauges.items() if sample == name
    }


def derive_held_back(stream: str, seconds: float) -> None:
    """How far the newest events are ahead of the partition that all wait for."""
    _HELD_BACK.labels(stream).set(seconds)


def derive_says(text: str) -> None:
    """What an operator should know of a derived stream."""
    log.warning("derived stream %s", text)


def derive_halted(stream: str, reason: str, pause: float) -> None:
    """A stream cannot continue; it is begun anew after so many seconds."""
    _HALTS.labels(stream).inc()
    log.error("derived stream %s cannot continue: %s; trying again in %g s", stream, reason[:500], pause)


def derive_taken_over(stream: str, reason: str) -> None:
    """Another process derives the stream now."""
    log.warning("derived stream %s is derived by another process now: %s", stream, reason[:300])


def work_waits(reason: str) -> None:
    """Which processes derive and run rules cannot be agreed upon."""
    if _waits.is_due(time.monotonic()):
        log.warning("derived streams and rules wait: processes cannot agree who runs them: %s", reason[:500])

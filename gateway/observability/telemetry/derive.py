"""Counts and logs what derived streams are made of, and their troubles."""

from __future__ import annotations

from gateway.observability.telemetry.metric import Counter, Gauge, begin, log

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


def derive_begins(stream: str) -> None:
    """A stream is derived from now on."""
    for counter in (_ROWS, _LATE, _ERRORS, _REPLAYED, _HALTS):
        begin(counter, stream)


def derive_ends(stream: str) -> None:
    """A stream is not derived here any more."""
    _LAG.remove(stream)


def derive_stored(stream: str, rows: int, late: int, errors: int) -> None:
    """These have been stored, with the position."""
    _ROWS.labels(stream).inc(rows)
    _LATE.labels(stream).inc(late)
    _ERRORS.labels(stream).inc(errors)


def derive_replayed(stream: str, records: int) -> None:
    """Records were read again."""
    _REPLAYED.labels(stream).inc(records)


def derive_lag(stream: str, seconds: float) -> None:
    """How far it is behind its sources."""
    _LAG.labels(stream).set(seconds)


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

"""Counts and logs what views are made of, and their troubles."""

from __future__ import annotations

from gateway.observability.telemetry.metric import Counter, Gauge, begin, log

_CHANGES = Counter("gateway_view_changes", "Changes of keys that a view has stored", ["view"])
_PASSED = Counter(
    "gateway_view_passed",
    "Records that changed nothing in a view: no event, or one without a key that can be kept",
    ["view"],
)
_LOST = Counter(
    "gateway_view_lost",
    "Records that the log no longer had when a view came to them; keys may show an older value",
    ["view"],
)
_HALTS = Counter("gateway_view_halts", "Times that a view could not continue and was restarted", ["view"])
_KEYS = Gauge("gateway_view_keys", "Keys of a view that have a value", ["view"], multiprocess_mode="livemax")
_LAG = Gauge(
    "gateway_view_lag_seconds",
    "Age of the newest record that a view has read; 0 once it has read all",
    ["view"],
    multiprocess_mode="livemax",
)


def view_begins(view: str) -> None:
    """A view is built from now on."""
    for counter in (_CHANGES, _PASSED, _LOST, _HALTS):
        begin(counter, view)


def view_ends(view: str) -> None:
    """A view is not built here any more."""
    for gauge in (_KEYS, _LAG):
        gauge.remove(view)


def view_stored(view: str, changes: int, passed: int, keys: int) -> None:
    """These have been stored, with the position."""
    _CHANGES.labels(view).inc(changes)
    _PASSED.labels(view).inc(passed)
    _KEYS.labels(view).set(keys)


def view_lag(view: str, seconds: float) -> None:
    """How far it is behind its stream."""
    _LAG.labels(view).set(seconds)


def view_lost(view: str, records: int, where: str) -> None:
    """The log has forgotten records before they were read."""
    _LOST.labels(view).inc(records)
    log.error(
        "view %s: %d records were gone before it read them (%s); keys may show an older value", view, records, where
    )


def view_says(view: str, text: str) -> None:
    """What an operator should know of a view."""
    log.warning("view %s: %s", view, text)


def view_halted(view: str, reason: str, pause: float) -> None:
    """A view cannot continue; it is begun anew after so many seconds."""
    _HALTS.labels(view).inc()
    log.error("view %s cannot continue: %s; trying again in %g s", view, reason[:500], pause)

"""The state of the process and its workers."""

from __future__ import annotations

from gateway.observability.telemetry.metric import Counter, Gauge, begin, log

_RING_BYTES = Gauge("gateway_ring_bytes", "Bytes of memory that the rings use")
_RING_OCCUPANCY = Gauge(
    "gateway_ring_occupancy_ratio", "Share of its bound that the fullest ring uses", multiprocess_mode="livemax"
)
_REPLAY_READERS = Gauge("gateway_replay_readers", "Readers of history that are active")
_LOOP_LAG = Gauge("gateway_loop_lag_seconds", "Delay of the event loop in the last second", multiprocess_mode="livemax")
_DRAINING = Gauge("gateway_draining", "Workers that are draining")
_SERVING = Gauge("gateway_workers", "Workers that serve and answer their supervisor")
_ENDED = begin(
    Counter("gateway_workers_ended", "Workers that ended unasked, by cause: stalled, signal, status", ["cause"]),
    "stalled",
    "signal",
    "status",
)
_LOG_LINES_DROPPED = Counter("gateway_log_lines_dropped", "Log lines dropped because nobody read them")


def process_state(loop_lag: float, ring_bytes: int, ring_share: float, replay_readers: int) -> None:
    """How the process is now: seconds, bytes, a share of 1, and a number."""
    _LOOP_LAG.set(loop_lag)
    _RING_BYTES.set(ring_bytes)
    _RING_OCCUPANCY.set(ring_share)
    _REPLAY_READERS.set(replay_readers)


def draining() -> None:
    """The process takes no new streams, and ends those that it has."""
    _DRAINING.set(1)
    log.info("draining")


def serving() -> None:
    """The process serves."""
    _SERVING.set(1)


def worker_ended(cause: str) -> None:
    """A worker ended of itself: `stalled`, by a `signal`, or with a `status`."""
    _ENDED.labels(cause).inc()


def log_lines_dropped(count: int) -> None:
    """Lines could not be written. Nothing is said of it here: that would be a line more."""
    _LOG_LINES_DROPPED.inc(count)

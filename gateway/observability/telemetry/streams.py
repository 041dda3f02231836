"""The streams of clients: how many there are, the events in them, and the memory that they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from gateway.observability.telemetry.metric import Counter, Gauge, WeightedHistogram, begin, log

_GAPS = begin(Counter("gateway_gaps", "Gaps reported, by reason", ["reason"]), "expired", "future", "unknown")
_FAILURES = Counter("gateway_stream_failures", "Streams ended by an internal error")
_STREAMS = Gauge("gateway_streams", "Open streams")
_CONNECTIONS = Gauge("gateway_connections", "Open responses that include this stream", ["stream"])
_EVENTS_READ = Counter("gateway_events_read", "Records read from the log into the ring", ["topic"])
_BYTES_READ = Counter("gateway_bytes_read", "Bytes of the records read from the log into the ring", ["topic"])
_EVENTS_SENT = Counter("gateway_events_sent", "Events written to clients")
_BYTES_SENT = Counter("gateway_bytes_sent", "Bytes of the frames written to clients, before compression")
_EVENTS_FILTERED = Counter("gateway_events_filtered", "Events that the filters of clients left out")
_EXHAUSTED = Counter("gateway_filter_exhausted", "Events that did not match because their filter ran out of steps")
_DELIVERY = WeightedHistogram(
    "gateway_delivery_seconds",
    "Seconds from the timestamp of an event to its write to a live client; of events written together the"
    " oldest counts",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_SESSION_BYTES = Gauge("gateway_session_bytes", "Bytes held for clients that have not read them yet")
_SESSION_CUTS = Counter(
    "gateway_session_cuts", "Clients disconnected because they read nothing while others needed `session_bytes`"
)
_SESSION_WAITS = Counter("gateway_session_waits", "Times that a lagging client waited for `session_bytes`")


class Tally:
    """Counts each read and write in plain numbers; `publish` brings them into the metrics now and then."""

    __slots__ = ("_delays", "_of_topics", "bytes", "events", "exhausted", "filtered")

    def __init__(self) -> None:
        self.events = self.bytes = self.filtered = self.exhausted = 0
        self._of_topics: defaultdict[tuple[Counter, str], int] = defaultdict(int)
        self._delays: list[tuple[float, int]] = []

    def read(self, topic: str, count: int, size: int) -> None:
        """Count records from the log, and their bytes."""
        self._of_topics[_EVENTS_READ, topic] += count
        self._of_topics[_BYTES_READ, topic] += size

    def delivered(self, seconds: float, count: int) -> None:
        """Count events written to live clients. `seconds` is the age of the oldest."""
        if count:
            self._delays.append((max(0.0, seconds), count))

    def publish(self) -> None:
        """Move what has been counted into the metrics."""
        _EVENTS_SENT.inc(self.events)
        _BYTES_SENT.inc(self.bytes)
        _EVENTS_FILTERED.inc(self.filtered)
        _EXHAUSTED.inc(self.exhausted)
        self.events = self.bytes = self.filtered = self.exhausted = 0
        for (metric, topic), count in self._of_topics.items():
            metric.labels(topic).inc(count)
        for seconds, count in self._delays:
            _DELIVERY.observe_many(seconds, count)
        self._of_topics.clear()
        self._delays.clear()


tally = Tally()


def connections(by_stream: Mapping[str, int]) -> None:
    """The open streams, by the stream whose events are in them."""
    for stream, count in by_stream.items():
        _CONNECTIONS.labels(stream).set(count)


def sessions_hold(size: int, waits: int, cuts: int) -> None:
    """The bytes held for clients that have not read them. Since the last call: how often a client had to wait for
    others, and how many were disconnected."""
    _SESSION_BYTES.set(size)
    _SESSION_WAITS.inc(waits)
    _SESSION_CUTS.inc(cuts)


def gap_told(reason: str) -> None:
    """A client received a gap."""
    _GAPS.labels(reason).inc()


def stream_opened() -> None:
    _STREAMS.inc()


def stream_closed() -> None:
    _STREAMS.dec()


def stream_failed(error: BaseException) -> None:
    """A stream ends by a mistake of our own. One mistake may end many streams; it is logged once."""
    _FAILURES.inc()
    told = error.__dict__
    if not told.setdefault("told", False):
        told["told"] = True
        log.error("an internal error ends streams", exc_info=error)

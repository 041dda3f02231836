"""What the gateway tells of itself: one function for each thing worth telling, each a metric, a log line, or both."""

from __future__ import annotations

import logging
import time
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cache, partial

import prometheus_client
from prometheus_client import REGISTRY, Counter, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from gateway import figures
from gateway.bad_records import BadRecords
from gateway.event import TopicPartition
from gateway.figures import Figures
from gateway.seldom import Seldom

log = logging.getLogger("gateway")

# Of several workers, the sum is told unless it says otherwise; what a worker that died has set counts no longer.
Gauge = partial(prometheus_client.Gauge, multiprocess_mode="livesum")


class WeightedHistogram(Histogram):
    """A histogram in which one observation may stand for many."""

    def observe_many(self, value: float, count: int) -> None:
        """Count a value so many times."""
        self._sum.inc(value * count)
        for bound, bucket in zip(self._upper_bounds, self._buckets, strict=True):
            if value <= bound:
                bucket.inc(count)
                return


_BAD_RECORDS = Counter(
    "gateway_bad_records", "Stored values that are not events, as they came from the log into the ring", ["topic"]
)
_BAD_RECORDS_REPLAYED = Counter(
    "gateway_bad_records_replayed", "Such values in history, once for each time that it was read", ["topic"]
)
_RECORD_MISTAKES = Counter(
    "gateway_record_mistakes", "Records that a mistake of the gateway made it pass over, or part of it", ["topic"]
)
_MISTAKES = Counter("gateway_mistakes", "Mistakes of the gateway in what runs in the background", ["part"])
_GAPS = Counter("gateway_gaps", "Gaps told to clients, by reason", ["reason"])
_FAILURES = Counter("gateway_stream_failures", "Streams that ended by a mistake of the gateway")
_STREAMS = Gauge("gateway_streams", "Open streams")
_CONNECTIONS = Gauge("gateway_connections", "Open streams in which the events of this stream are", ["stream"])
_EVENTS_READ = Counter("gateway_events_read", "Records read from the log into the ring", ["topic"])
_BYTES_READ = Counter("gateway_bytes_read", "Bytes of those records", ["topic"])
_EVENTS_SENT = Counter("gateway_events_sent", "Events written to clients")
_BYTES_SENT = Counter("gateway_bytes_sent", "Bytes of the frames of those events, before they are compressed")
_EVENTS_FILTERED = Counter("gateway_events_filtered", "Events not sent to a client, since its filter leaves them out")
_EXHAUSTED = Counter(
    "gateway_filter_exhausted", "Events for which a filter had too few steps, and which so do not match it"
)
_DELIVERY = WeightedHistogram(
    "gateway_delivery_seconds",
    "From the timestamp of an event to its write to a live client; the oldest event of those written together counts",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_RING_BYTES = Gauge("gateway_ring_bytes", "Memory of the rings")
_RING_OCCUPANCY = Gauge(
    "gateway_ring_occupancy_ratio", "How much of its bound the fullest ring takes", multiprocess_mode="livemax"
)
_REPLAY_READERS = Gauge("gateway_replay_readers", "Readers of history that read now")
_SESSION_BYTES = Gauge("gateway_session_bytes", "History on its way to clients that have not read it yet")
_SESSION_WAITS = Counter("gateway_session_waits", "Times that a client which replays had to wait for `session_bytes`")
_LAG = Gauge(
    "gateway_lag_records",
    "Records of a stream that are in the log and not yet in the ring, in the worker that is furthest behind",
    ["stream"],
    multiprocess_mode="livemax",
)
_LOOP_LAG = Gauge(
    "gateway_loop_lag_seconds", "How late the event loop was in the last second", multiprocess_mode="livemax"
)
_DRAINING = Gauge("gateway_draining", "Workers that drain")
_LOG_UP = Gauge("gateway_log_up", "Whether the log answers every worker", multiprocess_mode="livemin")
_INTAKE = Counter(
    "gateway_intake_events", "Events that were sent to the intake, by what became of them", ["stream", "outcome"]
)
_INTAKE_FULL = Counter("gateway_intake_full", "Requests refused since more came in than the log takes")
_ERROR_EVENTS_LOST = Counter(
    "gateway_error_events_lost", "Invalid events that did not get into an error stream", ["stream"]
)
_TOKENS_REFUSED = Counter("gateway_tokens_refused", "Requests refused for their token, by why", ["reason"])
_KEYS = Gauge(
    "gateway_token_keys", "Keys that tokens are verified with, as fetched the last time", multiprocess_mode="livemin"
)
_KEY_FAILURES = Counter("gateway_token_key_failures", "Fetches of those keys that failed")
_LIMITS_REFUSED = Counter("gateway_limits_refused", "Requests and events refused by a limit", ["limit"])
_LIMITS_ALONE = Gauge(
    "gateway_limits_alone",
    "Whether limits that should be shared are counted by a process alone",
    multiprocess_mode="livemax",
)
_REFUSED = Counter("gateway_connections_refused", "Connections closed at once, since the process may have no more")
_THROTTLED = Counter(
    "gateway_log_throttled_seconds", "Seconds that Kafka's brokers have asked to be left alone, by their quotas"
)
_UNTRACED = Gauge(
    "gateway_log_untraced",
    "Whether brokers, or records, have no leader epochs: that a log was cut back and written on is not noticed then",
    multiprocess_mode="livemax",
)
_STUCK = Gauge(
    "gateway_stuck_partitions", "Partitions that cannot be read while the log answers", multiprocess_mode="livemax"
)
_SERVING = Gauge("gateway_workers", "Workers that serve, and answer the process that started them")
_ENDED = Counter(
    "gateway_workers_ended", "Workers that ended of themselves, by how: stalled, signal, status", ["cause"]
)
_LOG_LINES_DROPPED = Counter(
    "gateway_log_lines_dropped", "Lines that the process wrote, and that were dropped since nobody read them"
)

_STUCK_OF = Gauge(
    "gateway_topic_stuck_partitions",
    "Partitions of a topic that cannot be read while the log answers, by why",
    ["topic", "reason"],
    multiprocess_mode="livemax",
)

_stuck_told: set[tuple[str, str]] = set()
registry = REGISTRY
STUCK_TOLD = 5
"""So many partitions are named in a line."""

_NOT_EVENTS = BadRecords()


_REFUSALS = Seldom(10.0)
_MISTAKEN_RECORDS = Seldom(10.0)
_FAILED_APPENDS: dict[str, Seldom] = {}
_TOLD_MISTAKES: dict[str, Seldom] = {}


class Tally:
    """What is counted for each read and write, in plain numbers; `publish` brings it into the metrics, now and then."""

    __slots__ = ("_delays", "_of_topics", "bytes", "events", "exhausted", "filtered")

    def __init__(self) -> None:
        self.events = self.bytes = self.filtered = self.exhausted = 0
        self._of_topics: defaultdict[tuple[Counter, str], int] = defaultdict(int)
        self._delays: list[tuple[float, int]] = []

    def read(self, topic: str, count: int, size: int) -> None:
        """Records came from the log, of so many bytes."""
        self._of_topics[_EVENTS_READ, topic] += count
        self._of_topics[_BYTES_READ, topic] += size

    def delivered(self, seconds: float, count: int) -> None:
        """So many events were written to live clients, the oldest of them so long after its timestamp."""
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


@cache
def _metrics() -> tuple[MetricWrapperBase, ...]:
    return tuple(metric for metric in globals().values() if isinstance(metric, MetricWrapperBase))


def exposition() -> bytes:
    """All metrics in the text format of Prometheus, of this process alone. May be called from any thread, as what
    follows; the event loop publishes the tally before."""
    return generate_latest(registry)


def own_figures() -> Figures:
    """The figures of this process, to be added to those of others."""
    return figures.collect(_metrics())


def own_counts() -> Figures:
    """Of these the counts alone: the process serves nobody, and its gauges tell nothing."""
    return Figures(own_figures().counts)


def exposition_of(parts: Iterable[Figures]) -> bytes:
    """The metrics of several processes together."""
    return figures.exposition(figures.together(parts, _metrics()), _metrics())


def connections(by_stream: Mapping[str, int]) -> None:
    """The open streams, by the stream whose events are in them."""
    for stream, count in by_stream.items():
        _CONNECTIONS.labels(stream).set(count)


def process_state(loop_lag: float, ring_bytes: int, ring_share: float, replay_readers: int) -> None:
    """How the process is now: seconds, bytes, a share of 1, and a number."""
    _LOOP_LAG.set(loop_lag)
    _RING_BYTES.set(ring_bytes)
    _RING_OCCUPANCY.set(ring_share)
    _REPLAY_READERS.set(replay_readers)


def sessions_hold(size: int, waits: int) -> None:
    """What is on its way to clients that replay, and how often one had to wait for the others since the last call."""
    _SESSION_BYTES.set(size)
    _SESSION_WAITS.inc(waits)


def lag(by_stream: Mapping[str, int]) -> None:
    """Records in the log that are not in the ring yet, by stream."""
    for stream, count in by_stream.items():
        _LAG.labels(stream).set(count)


def draining() -> None:
    """The process takes no new streams, and ends those that it has."""
    _DRAINING.set(1)
    log.info("draining")


def bad_record(topic: str, partition: int, offset: int, reason: str, replayed: bool) -> None:
    """A stored value was passed over. The log has a summary of those that the hub has read; a replay meets the
    same again."""
    (_BAD_RECORDS_REPLAYED if replayed else _BAD_RECORDS).labels(topic).inc()
    if not replayed:
        _NOT_EVENTS.note(topic, partition, offset, reason)
    if log.isEnabledFor(logging.DEBUG):
        log.debug("passed over a record that is not an event: %s/%d offset %d: %s", topic, partition, offset, reason)


def tell_bad_records(now: float) -> None:
    """Say what was passed over, where that is due (seconds)."""
    for line in _NOT_EVENTS.due(now):
        log.warning("%s", line)


def serving() -> None:
    """The process serves."""
    _SERVING.set(1)


def worker_ended(cause: str) -> None:
    """A worker ended of itself: `stalled`, by a `signal`, or with a `status`."""
    _ENDED.labels(cause).inc()


def log_lines_dropped(count: int) -> None:
    """Lines could not be written. Nothing is said of it here: that would be a line more."""
    _LOG_LINES_DROPPED.inc(count)


def record_mistake(topic: str, partition: int, offset: int, error: BaseException) -> None:
    """A mistake of our own at one record, which was passed over. All are counted, and one in ten seconds is logged."""
    _RECORD_MISTAKES.labels(topic).inc()
    if _MISTAKEN_RECORDS.is_due(time.monotonic()):
        where = f"{topic}/{partition} offset {offset}"
        log.error("a mistake of the gateway passes over a record: %s", where, exc_info=error)


def mistake(part: str, error: BaseException) -> None:
    """A mistake of our own in a part of the process that goes on all the same: `part` is one of ours. All are counted,
    and one in ten seconds of each part is logged."""
    _MISTAKES.labels(part).inc()
    if _TOLD_MISTAKES.setdefault(part, Seldom(10.0)).is_due(time.monotonic()):
        log.error("a mistake of the gateway: %s", part, exc_info=error)


def gap_told(reason: str) -> None:
    """A client was told that events are missing."""
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
        log.error("a mistake of the gateway ends streams", exc_info=error)


def connection_refused(why: str) -> None:
    """There is no room for a connection; told at most every few seconds, since they may be thousands."""
    _REFUSED.inc()
    if _REFUSALS.is_due(time.monotonic()):
        log.warning("connections are refused: %s", why)


def log_answers() -> None:
    """The log can be reached, after a time without it or at the start."""
    _LOG_UP.set(1)
    log.info("the log answers")


def log_away(reason: object) -> None:
    """The log cannot be reached."""
    _LOG_UP.set(0)
    log.warning("the log does not answer; streams wait for it: %s", reason)


def log_throttled(broker: str, seconds: float) -> None:
    """A broker wants no other request for so long; a quota of this client may be too small for what it reads."""
    _THROTTLED.inc(seconds)
    log.debug("%s asks for a pause of %.3f s", broker, seconds)


def log_untraced(where: str) -> None:
    """What was read there has no leader epoch, or the broker takes none."""
    _UNTRACED.set(1)
    log.warning(
        "Kafka tells no leader epochs of %s (brokers before 2.7, or records in a form from before 0.11): where such a "
        "log is cut back and written on again, that is not noticed",
        where,
    )


def partitions_stuck(partitions: Collection[TopicPartition]) -> None:
    """The log gives these, and their records do not come; of no others any more."""
    if partitions:
        names = ", ".join(f"{place.topic}/{place.partition}" for place in partitions)
        log.warning("the log answers, and these partitions cannot be read; their events wait: %s", names)
    else:
        log.info("all partitions can be read again")


def stuck_partitions(why: Mapping[TopicPartition, str]) -> None:
    """All that cannot be read now, and why."""
    _STUCK.set(len(why))
    counts = Counts((place.topic, reason) for place, reason in why.items())
    for topic, reason in _stuck_told - counts.keys():
        _STUCK_OF.labels(topic, reason).set(0)
    for (topic, reason), count in counts.items():
        _STUCK_OF.labels(topic, reason).set(count)
    _stuck_told.update(counts)


def partitions_refused(begun: Mapping[TopicPartition, object], healed: Collection[TopicPartition]) -> None:
    """The log does not give these any more, for the reasons given, and gives those again. Each is told once."""
    for told in (begun, healed):
        names = [f"{place.topic}/{place.partition}" for place in told][:STUCK_TOLD]
        more = f" and {len(told) - len(names)} more" if len(told) > len(names) else ""
        if told is begun and begun:
            why = next(iter(begun.values()))
            log.warning("the log answers, and does not give %s%s; their events wait: %s", ", ".join(names), more, why)
        elif told is healed and healed:
            log.info("the log gives again: %s%s", ", ".join(names), more)


def log_broken(partition: TopicPartition, requested: int, resumed: int, reason: str) -> None:
    """The log was not continuous under the reader of the hub."""
    log.warning("%s/%d was not continuous after offset %d (%s): going on at %d", *partition, requested, reason, resumed)


def intake_events(stream: str, outcome: str, count: int) -> None:
    """Events were stored, invalid, repeated or failed; the stream is empty where they name none that is known."""
    if count:
        _INTAKE.labels(stream, outcome).inc(count)


def intake_full() -> None:
    """A request was refused: what waits for the log takes all the memory that it may."""
    _INTAKE_FULL.inc()


def intake_broken(error: BaseException) -> None:
    """An append met a mistake of our own."""
    log.error("a mistake of the gateway keeps events from being stored", exc_info=error)


def append_failed(topic: str, reason: BaseException) -> None:
    """The log did not take events; why is told of each topic once a minute at the most."""
    if _FAILED_APPENDS.setdefault(topic, Seldom(60.0)).is_due(time.monotonic()):
        log.warning("events for %s are not stored: %s", topic, str(reason)[:500])


def append_works(topic: str) -> None:
    """The log takes events again."""
    _FAILED_APPENDS.pop(topic, None)
    log.info("events for %s are stored again", topic)


def error_event_lost(stream: str, reason: str) -> None:
    """An invalid event is not in the error stream."""
    _ERROR_EVENTS_LOST.labels(stream).inc()
    log.warning("an invalid event is not in the error stream %s: %s", stream, reason[:300])


def token_refused(reason: str) -> None:
    """A request was refused for its token: `missing`, `malformed` or `invalid`. Nothing of the token is told."""
    _TOKENS_REFUSED.labels(reason).inc()


def keys_fetched(count: int, notes: Collection[str]) -> None:
    """The keys of tokens were fetched; `notes` say which of them are not used, where they are others than before."""
    _KEYS.set(count)
    for note in notes:
        log.warning("the keys of tokens (jwks): %s", note)


def keys_unavailable(reason: object) -> None:
    """The keys of tokens could not be fetched; those that were fetched before stay in force."""
    _KEY_FAILURES.inc()
    log.warning("the keys that were fetched before stay in force: %s", reason)


def limit_refused(limit: str) -> None:
    """A client has all that a limit allows."""
    _LIMITS_REFUSED.labels(limit).inc()


def limits_shared() -> None:
    """The place where limits are counted for all processes answers again."""
    _LIMITS_ALONE.set(0)
    log.info("limits are shared again")


def limits_alone(reason: str, closed: bool) -> None:
    """The place where limits are counted for all processes does not answer."""
    _LIMITS_ALONE.set(1)
    how = "nobody new is let in" if closed else "this process goes on by its own counts"
    log.warning("limits cannot be shared (%s); %s until they can", reason, how)


def forwarding_ignored() -> None:
    """A request names a client that its sender may have made up."""
    log.warning(
        "requests come with a forwarding header from an address that is not in trusted_proxies: they count as that "
        "address's own; if it is your proxy, name its network in trusted_proxies"
    )

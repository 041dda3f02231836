"""The state of the event log: whether it answers, and what it does not give."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Collection, Mapping

from gateway.model.record import TopicPartition
from gateway.observability.telemetry.metric import Counter, Gauge, log

_LAG = Gauge(
    "gateway_lag_records",
    "Records of a stream that are in the log and not yet in the ring, in the worker that lags most",
    ["stream"],
    multiprocess_mode="livemax",
)
_LOG_UP = Gauge("gateway_log_up", "Whether the log answers every worker", multiprocess_mode="livemin")
_THROTTLED = Counter(
    "gateway_log_throttled_seconds", "Seconds for which Kafka's brokers throttled the gateway by their quotas"
)
_UNTRACED = Gauge(
    "gateway_log_untraced",
    "Whether brokers or records lack leader epochs, so that a truncated log goes unnoticed",
    multiprocess_mode="livemax",
)
_STUCK = Gauge(
    "gateway_stuck_partitions", "Partitions that cannot be read although the log answers", multiprocess_mode="livemax"
)
_STUCK_OF = Gauge(
    "gateway_topic_stuck_partitions",
    "Partitions of a topic that cannot be read although the log answers, by reason",
    ["topic", "reason"],
    multiprocess_mode="livemax",
)
_PASSED_OVER = Counter(
    "gateway_batches_passed_over", "Unreadable batches that a partition skipped at its start", ["topic"]
)
_stuck_told: set[tuple[str, str]] = set()
STUCK_TOLD = 5
"""The most partitions that a line names."""


def lag(by_stream: Mapping[str, int]) -> None:
    """Records in the log that are not in the ring yet, by stream."""
    for stream, count in by_stream.items():
        _LAG.labels(stream).set(count)


def log_answers() -> None:
    """The log can be reached, after a time without it or at the start."""
    _LOG_UP.set(1)
    log.info("the log answers")


def log_away(reason: object) -> None:
    """The log cannot be reached."""
    _LOG_UP.set(0)
    log.warning("the log does not answer; streams wait for it: %s", reason)


def log_untraced(where: str) -> None:
    """Records from there have no leader epoch, or the broker reports none."""
    _UNTRACED.set(1)
    log.warning(
        "Kafka reports no leader epochs for %s (brokers before 2.7, or records in a format from before 0.11); "
        "the gateway would not notice a truncated log",
        where,
    )


def log_throttled(broker: str, seconds: float) -> None:
    """A broker asks for a pause of this many seconds; the quota of this client may be too small for what it reads."""
    _THROTTLED.inc(seconds)
    log.debug("%s asks for a pause of %.3f s", broker, seconds)


def partitions_stuck(partitions: Collection[TopicPartition]) -> None:
    """The log gives these, and their records do not come; of no others any more."""
    if partitions:
        names = ", ".join(f"{partition.topic}/{partition.partition}" for partition in partitions)
        log.warning("the log answers, but these partitions cannot be read; their events wait: %s", names)
    else:
        log.info("all partitions can be read again")


def stuck_partitions(why: Mapping[TopicPartition, str]) -> None:
    """All that cannot be read now, and why."""
    _STUCK.set(len(why))
    counts = Counts((partition.topic, reason) for partition, reason in why.items())
    for topic, reason in _stuck_told - counts.keys():
        _STUCK_OF.labels(topic, reason).set(0)
    for (topic, reason), count in counts.items():
        _STUCK_OF.labels(topic, reason).set(count)
    _stuck_told.update(counts)


def partitions_refused(begun: Mapping[TopicPartition, object], healed: Collection[TopicPartition]) -> None:
    """The log no longer serves the partitions in `begun`, for the reasons given, and serves those in `healed` again.
    Each change is logged once."""
    for told in (begun, healed):
        names = [f"{partition.topic}/{partition.partition}" for partition in told][:STUCK_TOLD]
        more = f" and {len(told) - len(names)} more" if len(told) > len(names) else ""
        if told is begun and begun:
            why = next(iter(begun.values()))
            log.warning(
                "the log answers, but cannot be read at %s%s; their events wait: %s", ", ".join(names), more, why
            )
        elif told is healed and healed:
            log.info("these partitions can be read again: %s%s", ", ".join(names), more)


def passed_over(partition: TopicPartition, trouble: object, begin: int) -> None:
    """A partition is begun behind a batch that cannot be read."""
    _PASSED_OVER.labels(partition.topic).inc()
    log.warning("%s/%d begins at offset %d; clients from before it wait: %s", *partition, begin, trouble)


def log_broken(partition: TopicPartition, requested: int, resumed: int, reason: str) -> None:
    """The log was not continuous under the reader of the hub."""
    log.warning(
        "%s/%d was not continuous after offset %d (%s): continuing at %d", *partition, requested, reason, resumed
    )

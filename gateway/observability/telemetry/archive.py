"""Counts and logs what is archived, and the troubles of archives."""

from __future__ import annotations

from gateway.observability.telemetry.metric import Counter, Gauge, begin, log

_RECORDS = Counter("gateway_archive_records", "Records of a stream that were archived", ["stream"])
_FILES = Counter("gateway_archive_files", "Files that were added to the archive of a stream", ["stream"])
_LOST = Counter(
    "gateway_archive_lost",
    "Offsets of a stream that the log had deleted before they were archived: the archive has a hole there",
    ["stream"],
)
_FAILURES = Counter(
    "gateway_archive_failures", "Times that a stream, or a partition of it, could not be archived", ["stream"]
)
_WAITING = Gauge(
    "gateway_archive_waiting_records",
    "Records of a stream that were not archived at the end of the last round",
    ["stream"],
    multiprocess_mode="livemax",
)
_COMPLETE = Gauge(
    "gateway_archive_complete_timestamp_seconds",
    "When the archive of a stream last held all that the log had, in seconds since the epoch",
    ["stream"],
    multiprocess_mode="livemax",
)


def archive_begins(stream: str, now: float) -> None:
    """A stream is archived from now on (seconds since the epoch)."""
    for counter in (_RECORDS, _FILES, _LOST, _FAILURES):
        begin(counter, stream)
    _WAITING.labels(stream).set(0)
    _COMPLETE.labels(stream).set(now)


def archive_ends(stream: str) -> None:
    """A stream is not archived here any more."""
    _WAITING.remove(stream)
    _COMPLETE.remove(stream)


def archived(stream: str, records: int, files: int, waiting: int, lost: int) -> None:
    """A round has ended."""
    _RECORDS.labels(stream).inc(records)
    _FILES.labels(stream).inc(files)
    _WAITING.labels(stream).set(waiting)
    if lost:
        _LOST.labels(stream).inc(lost)
        log.error("archive of %s: the log had deleted %d offsets before they were archived", stream, lost)


def archive_complete(stream: str, now: float) -> None:
    """The archive holds all that the log had at this time (seconds since the epoch)."""
    _COMPLETE.labels(stream).set(now)


def archive_failed(stream: str, what: str, reason: str) -> None:
    """Something could not be archived; it is tried again."""
    _FAILURES.labels(stream).inc()
    log.error("archive of %s: %s: %s", stream, what, reason[:500])


def archive_says(stream: str, text: str) -> None:
    """What an operator may want to know."""
    log.info("archive of %s: %s", stream, text)

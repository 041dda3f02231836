"""Counts the events of a file by time, from two of its columns: values are not read, and no event is parsed.

Where the statistics of a row group say enough, not even these are read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow.compute as pc

from gateway.archive.files import OpenFile, Summary
from gateway.archive.layout import EVENT, MILLISECONDS, OFFSET


class Wanted(NamedTuple):
    """Which records count: offsets from `begin` to just before `end`, and of these events with a timestamp (ms) from
    `since` to just before `until`, in buckets of `step` since the epoch. `since` is a multiple of `step`."""

    begin: int
    end: int
    since: int
    until: int
    step: int


@dataclass(slots=True)
class TimeCounts:
    """What was found: `records` were looked at; of these, events by bucket; the least and the greatest timestamp of
    all; and the seconds of the processor that it took."""

    records: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    low: int | None = None
    high: int | None = None
    seconds: float = 0.0

    def look(self, records: int, low: int, high: int) -> None:
        """Records with these timestamps were looked at."""
        self.records += records
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def count(self, bucket: int, events: int) -> None:
        """So many are in a bucket."""
        self.counts[bucket] = self.counts.get(bucket, 0) + events


def count_times(file: OpenFile, wanted: Wanted, deadline: float) -> TimeCounts | None:
    """Count a file; None where it does not tell events, or the deadline (`time.monotonic`) passes. Raises
    DamagedArchive."""
    if not file.tells_events or wanted.until - wanted.since >= 2**63:
        return None
    found, begun = TimeCounts(), time.thread_time()
    for group in range(file.group_of(wanted.begin), file.groups):
        if time.monotonic() > deadline:
            return None
        summary = file.summary(group)
        if summary.first >= wanted.end:
            break
        if summary.last >= wanted.begin and not _by_statistics(summary, wanted, found):
            _by_columns(file, group, wanted, found)
    found.seconds = time.thread_time() - begun
    return found


def _by_statistics(summary: Summary, wanted: Wanted, found: TimeCounts) -> bool:
    """Count a row group that is wholly in one bucket, or out of the span; whether it is so."""
    if summary.first < wanted.begin or summary.last >= wanted.end:
        return False
    outside = summary.high < wanted.since or summary.low >= wanted.until
    inside = wanted.since <= summary.low and summary.high < wanted.until
    bucket = summary.low // wanted.step
    if not outside and not (summary.all_events and inside and bucket == summary.high // wanted.step):
        return False
    found.look(summary.records, summary.low, summary.high)
    if not outside:
        found.count(bucket, summary.records)
    return True


def _by_columns(file: OpenFile, group: int, wanted: Wanted, found: TimeCounts) -> None:
    table: Any = file.columns(group, OFFSET, MILLISECONDS, EVENT)
    offsets = table[OFFSET]
    table = table.filter(pc.and_(pc.greater_equal(offsets, wanted.begin), pc.less(offsets, wanted.end)))
    if not table.num_rows:
        return
    times = table[MILLISECONDS]
    edges = pc.min_max(times).as_py()
    found.look(table.num_rows, edges["min"], edges["max"])
    within = pc.and_(pc.greater_equal(times, wanted.since), pc.less(times, wanted.until))
    # Null is no event, and is left out as false is.
    times = times.filter(pc.and_(within, table[EVENT]))
    base = wanted.since // wanted.step
    for each in pc.value_counts(pc.divide(pc.subtract(times, wanted.since), wanted.step)).to_pylist():
        found.count(base + each["values"], each["counts"])

"""How a table is laid out: the names of its columns and files, and the positions that its commits carry. Pure.

A file holds the records of one partition, in the order of their offsets. Its name says which range of offsets it stands
for, since a log leaves offsets out: compacted records, and markers of transactions. Ranges follow each other without a
hole, from the position `start` to the position `end`. Both are kept in the table's transaction identifiers (`txn`), in
the commits that move them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gateway.model.record import Record, TopicPartition, size_of

ROWS = 4096
ROW_BYTES = 1024 * 1024
"""The most records of a row group, and their bytes but for the last record: what a reader holds to find one record."""

DAY = "_day"
"""The column that the table is partitioned by: the day of the greatest timestamp so far. Late records do not go back to
an old day."""
TOPIC, IDENTITY, PARTITION, OFFSET = "_topic", "_topic_identity", "_partition", "_offset"
TIMESTAMP, MILLISECONDS = "_timestamp", "_timestamp_ms"
"""The time of a record for readers of the table, and exactly: a record's timestamp may be any number of 64 bits."""
EVENT = "_event"
"""What clients see of a record: true for an event, false for a canary event, null for what is no event."""
KEY, HEADERS, RAW = "_key", "_headers", "_raw"
SYSTEM = (TOPIC, IDENTITY, PARTITION, OFFSET, TIMESTAMP, MILLISECONDS, EVENT, KEY, HEADERS, RAW, DAY)

PLACES = "places"
"""The position that counts the partitions that were ever archived. Each of them has a file from then on."""

ERASURES = "erasures"
"""The position that counts erasures: who read the log before one commits nothing after it."""

EPOCH_DAY = "1970-01-01"
_DAY_MILLISECONDS = 86_400_000
_MOST_AHEAD = _DAY_MILLISECONDS
"""Timestamps further ahead of the clock than this name no day: all later files would belong to it."""

_PATH = re.compile(r"(\d{4}-\d\d-\d\d)/([A-Za-z0-9._-]+)-(\d+)-(\d{20})-(\d{20})-[0-9a-f]{12}\.parquet", re.ASCII)


class Place(NamedTuple):
    """A partition of a topic, and which topic of that name it is."""

    identity: str
    partition: TopicPartition

    def application(self, what: str) -> str:
        """The identifier of one of its positions: `end`, `start` or `stamp`."""
        return f"{what}/{self.identity}/{self.partition.topic}/{self.partition.partition}"


class Span(NamedTuple):
    """What the path of a file says."""

    day: str
    partition: TopicPartition
    begin: int
    end: int


def file_path(span: Span) -> str:
    """A new path of a file for this range; no two are alike."""
    (topic, number), token = span.partition, uuid.uuid4().hex[:12]
    return f"{span.day}/{topic}-{number}-{span.begin:020d}-{span.end:020d}-{token}.parquet"


def span_of_path(path: str) -> Span | None:
    """The range that a path stands for; None for a file that is none of ours."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    return Span(match[1], TopicPartition(match[2], int(match[3])), int(match[4]), int(match[5]))


def day_of(timestamp: int, before: str, now: int) -> str:
    """The day of a record (UTC) behind records of the day `before`, at this time (ms)."""
    if not 0 <= timestamp <= now + _MOST_AHEAD:
        return before
    return max(before, (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp)).date().isoformat())


def parts_by_day(records: Sequence[Record], before: str, now: int) -> Iterator[tuple[str, list[Record]]]:
    """The records, cut where the day changes."""
    day, part = before, list[Record]()
    for record in records:
        found = day_of(record.timestamp, day, now)
        if found != day and part:
            yield day, part
            part = []
        day = found
        part.append(record)
    if part:
        yield day, part


def row_groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records, in row groups."""
    group: list[Record] = []
    left = ROW_BYTES
    for record in records:
        group.append(record)
        left -= size_of(record)
        if left <= 0 or len(group) == ROWS:
            yield group
            group, left = [], ROW_BYTES
    if group:
        yield group

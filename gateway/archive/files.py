"""Parquet files of a table: written row group by row group, and read from the row group that is asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from gateway.archive.columns import Shape
from gateway.archive.index import NEVER, ArchivedFile
from gateway.archive.layout import (
    EVENT,
    HEADERS,
    IDENTITY,
    KEY,
    MILLISECONDS,
    OFFSET,
    PARTITION,
    RAW,
    TIMESTAMP,
    TOPIC,
    Place,
    Span,
    file_path,
    row_groups,
)
from gateway.archive.store import Store
from gateway.archive.typed import Typed, arrow_field
from gateway.errors import BadRecord, LogUnavailable
from gateway.model.glance import check_event
from gateway.model.record import Record, TopicPartition, sizes_of
from gateway.observability import telemetry

YEAR_1, YEAR_10000 = -62_135_596_800_000, 253_402_300_800_000
"""Milliseconds. Times outside of these years are no timestamps of a table."""

SYSTEM_FIELDS = [
    pa.field(TOPIC, pa.string()),
    pa.field(IDENTITY, pa.string()),
    pa.field(PARTITION, pa.int32()),
    pa.field(OFFSET, pa.int64()),
    pa.field(TIMESTAMP, pa.timestamp("us", tz="UTC")),
    pa.field(MILLISECONDS, pa.int64()),
    pa.field(EVENT, pa.bool_()),
    pa.field(KEY, pa.binary()),
    pa.field(HEADERS, pa.list_(pa.field("element", pa.struct([("name", pa.string()), ("value", pa.binary())])))),
    pa.field(RAW, pa.binary()),
]
_READ = [OFFSET, MILLISECONDS, KEY, HEADERS, RAW]
_MARK = {b"gateway.event": b"1"}
"""Metadata of a file whose column `_event` is the gateway's own: earlier ones filled one of this name otherwise."""
_PACKED = (OFFSET, MILLISECONDS, TIMESTAMP)
Columns = Mapping[str, tuple[str, Shape]]


class DamagedArchive(LogUnavailable):
    """A file of an archive is not what its table says; names the file."""


class Written(NamedTuple):
    """A file that is written, and not yet part of the table. `low` and `high` are timestamps (ms)."""

    place: Place
    span: Span
    path: str
    size: int
    records: int
    first: int | None
    last: int | None
    low: int | None
    high: int | None


class Summary(NamedTuple):
    """Of the records of a row group: their number, the first and the last offset, the least and the greatest timestamp
    (ms), and whether all are events, and no canaries."""

    records: int
    first: int
    last: int
    low: int
    high: int
    all_events: bool


class FileWriter:
    """Writes records of one partition, in the order of their offsets. The columns are made of them, by `columns` as
    `grown` gives them. Raises LogUnavailable where they cannot be written."""

    def __init__(self, store: Store, place: Place, day: str, begin: int, columns: Columns) -> None:
        self._store, self._place, self.day, self._begin = store, place, day, begin
        self._typed = Typed(columns)
        typed = [arrow_field(name, shape) for name, (_, shape) in columns.items()]
        self._schema = pa.schema([*SYSTEM_FIELDS, *typed], metadata=_MARK)
        with self._translated():
            self._spool = store.spool()
        self._waiting: list[Record] = []
        self._low: int | None = None
        self._high: int | None = None
        self._first: int | None = None
        self._last: int | None = None
        self._records = 0
        dictionary = [name for name in self._schema.names if name not in (RAW, *_PACKED)]
        self._writer = pq.ParquetWriter(
            self._spool,
            self._schema,
            compression="zstd",
            write_page_index=True,
            write_page_checksum=True,
            use_dictionary=dictionary,
            column_encoding=dict.fromkeys(_PACKED, "DELTA_BINARY_PACKED"),
        )

    @property
    def size(self) -> int:
        """Bytes written so far, and those of the records that wait for their row group."""
        return int(self._spool.tell()) + sum(sizes_of(self._waiting))

    def add(self, records: Sequence[Record]) -> None:
        """Write records that follow those before."""
        if not records:
            return
        times = [record.timestamp for record in records]
        self._low = min(times) if self._low is None else min(self._low, *times)
        self._high = max(times) if self._high is None else max(self._high, *times)
        self._first = records[0].offset if self._first is None else self._first
        self._last = records[-1].offset
        self._records += len(records)
        self._waiting += records
        *whole, rest = row_groups(self._waiting)
        for group in whole:
            self._write(group)
        self._waiting = rest

    def close(self, end: int) -> Written:
        """Finish the file, whose range ends before this offset, and put it into the store."""
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []
        span = Span(self.day, self._place.partition, self._begin, end)
        path = file_path(span)
        with self._translated():
            self._writer.close()
            size = self._store.keep(self._spool, path)
        self.abort()
        return Written(self._place, span, path, size, self._records, self._first, self._last, self._low, self._high)

    def abort(self) -> None:
        """Release everything; what is not closed is deleted."""
        self._store.discard(self._spool)

    def _write(self, records: Sequence[Record]) -> None:
        with self._translated():
            self._writer.write_table(self._table(records), row_group_size=len(records))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Let what the disk or the store does not take be LogUnavailable: the disk is full, or the store away."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            text = " ".join(str(error).split())[:500]
            raise LogUnavailable(f"archive {self._store.uri}: writing a file: {text}") from error

    def _table(self, records: Sequence[Record]) -> Any:
        """The rows of some records."""
        count = len(records)
        topic, number = self._place.partition
        times = [record.timestamp for record in records]
        micros = [time * 1000 if YEAR_1 <= time < YEAR_10000 else None for time in times]
        headers = [[{"name": name, "value": value} for name, value in record.headers] or None for record in records]
        arrays = [
            pa.repeat(pa.scalar(topic), count),
            pa.repeat(pa.scalar(self._place.identity), count),
            pa.repeat(pa.scalar(number, pa.int32()), count),
            pa.array([record.offset for record in records], pa.int64()),
            pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            pa.array(times, pa.int64()),
            pa.array([_seen(record) for record in records], pa.bool_()),
            pa.array([record.key for record in records], pa.binary()),
            pa.array(headers, self._schema.field(HEADERS).type),
            pa.array([record.value for record in records], pa.binary()),
            *self._typed.arrays([record.value for record in records]),
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)


class OpenFile:
    """A file that is being read. Raises DamagedArchive where it cannot be read, or is not what its table says, and
    FileNotFoundError."""

    def __init__(self, store: Store, file: ArchivedFile) -> None:
        self.path = file.path
        self._range = range(file.begin, file.end)
        source = store.open(file.path)
        try:
            self._file = pq.ParquetFile(source, pre_buffer=not store.is_local, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(str(error)) from error
        self._firsts, self._highs = self._edges()
        if self._file.metadata.num_rows != file.records:
            raise self._damaged(f"it has {self._file.metadata.num_rows} records, and its table says {file.records}")

    @property
    def groups(self) -> int:
        """The number of row groups."""
        return len(self._firsts)

    def group_of(self, offset: int) -> int:
        """The row group that holds the offset, or the next one."""
        return max(0, bisect_right(self._firsts, offset) - 1)

    def group_reaching(self, time: int) -> int:
        """The first row group with a record at or after this time (ms); `groups` if there is none."""
        return bisect_left(self._highs, time)

    def reaching(self, group: int, time: int) -> int | None:
        """The offset of the first record of a row group at or after this time (ms)."""
        table = self.columns(group, OFFSET, MILLISECONDS)
        offsets, times = (table[name].to_pylist() for name in (OFFSET, MILLISECONDS))
        return next((offset for offset, found in zip(offsets, times, strict=True) if found >= time), None)

    def records(self, partition: TopicPartition, group: int) -> list[Record]:
        """The records of a row group."""
        topic, number = partition
        table = self.columns(group, *_READ)
        try:
            offsets, times, keys, values = (table[name].to_pylist() for name in (OFFSET, MILLISECONDS, KEY, RAW))
            headers = _headers(table[HEADERS])
        except (pa.ArrowException, KeyError, OSError) as error:
            raise self._damaged(str(error)) from error
        if any(after <= before for before, after in pairwise(offsets)):
            raise self._damaged("its records are not in order")
        if offsets and not (offsets[0] in self._range and offsets[-1] in self._range):
            raise self._damaged(f"offsets {offsets[0]} to {offsets[-1]} do not belong there")
        return [
            Record(topic, number, offset, time, key, value, header)
            for offset, time, key, value, header in zip(offsets, times, keys, values, headers, strict=True)
        ]

    @property
    def tells_events(self) -> bool:
        """Whether it says which of its records are events."""
        metadata = self._file.schema_arrow.metadata or {}
        return all(metadata.get(name) == value for name, value in _MARK.items())

    def summary(self, group: int) -> Summary:
        """What the statistics say of a row group, of a file that tells events."""
        metadata = self._file.metadata
        found = metadata.row_group(group)
        offsets, times, events = (
            found.column(_leaf(metadata, name)).statistics for name in (OFFSET, MILLISECONDS, EVENT)
        )
        whole = events is not None and events.has_min_max and events.has_null_count and not events.null_count
        return Summary(
            found.num_rows, offsets.min, offsets.max, times.min, times.max, bool(whole and events.min and events.max)
        )

    def columns(self, group: int, *names: str) -> Any:
        """Columns of a row group, as a table of Arrow."""
        try:
            return self._file.read_row_group(group, columns=list(names), use_threads=False)
        except (pa.ArrowException, KeyError, OSError) as error:
            raise self._damaged(str(error)) from error

    def verify(self, group: int) -> None:
        """Read all columns of a row group; each page has a checksum."""
        try:
            self._file.read_row_group(group, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(str(error)) from error

    def _edges(self) -> tuple[list[int], list[int]]:
        """The first offset of each row group, and the highest timestamp up to its end."""
        metadata, names = self._file.metadata, self._file.schema_arrow.names
        if any(name not in names for name in _READ):
            raise self._damaged("it lacks columns")
        first, high = (_leaf(metadata, name) for name in (OFFSET, MILLISECONDS))
        firsts, highs = [], []
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            offsets, times = group.column(first).statistics, group.column(high).statistics
            if offsets is None or times is None or not offsets.has_min_max or not times.has_min_max:
                raise self._damaged("it lacks statistics")
            firsts.append(offsets.min)
            highs.append(times.max)
        if any(first not in self._range for first in firsts):
            raise self._damaged("its records do not belong there")
        if any(after <= before for before, after in pairwise(firsts)):
            raise self._damaged("its row groups are not in order")
        return firsts, list(accumulate(highs, max, initial=NEVER))[1:]

    def _damaged(self, reason: str) -> DamagedArchive:
        return DamagedArchive(f"{self.path}: {reason[:300]}")


def _seen(record: Record) -> bool | None:
    """Whether clients see it; None for what is no event, and what nobody can read as one."""
    if record.fault is not None:
        return None
    try:
        return not check_event(record.value).canary
    except BadRecord:
        return None
    except Exception as error:
        telemetry.record_mistake(record.topic, record.partition, record.offset, error)
        return None


def _leaf(metadata: Any, name: str) -> int:
    """The number of a column that has no parts."""
    return next(n for n in range(metadata.num_columns) if metadata.schema.column(n).path == name)


def _headers(column: Any) -> Sequence[tuple[tuple[str, bytes], ...]]:
    if column.null_count == len(column):
        return [()] * len(column)
    return [tuple((each["name"], each["value"]) for each in headers or ()) for headers in column.to_pylist()]

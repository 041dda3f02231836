"""The Delta table of a stream, by delta-rs: its files, its positions and its commits.

delta-rs holds a position (`txn`) only against commits after the version that was read, and repeats a creation that
races another one as a version of its own, with its files. So the table is created empty; a commit reads the newest
version, compares the position there, and is made on top of that version. A commit in between is a conflict.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import RLock
from typing import Any, NamedTuple

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from gateway.archive.columns import Shape, grown
from gateway.archive.files import SYSTEM_FIELDS, YEAR_1, YEAR_10000, Columns, Written
from gateway.archive.index import ArchivedFile, FileRow
from gateway.archive.layout import DAY, IDENTITY, MILLISECONDS, OFFSET, PARTITION, SYSTEM, TIMESTAMP, TOPIC
from gateway.archive.typed import arrow_field, shape_of
from gateway.errors import LogUnavailable

REWRITES = "rewrites"
"""The position that each commit moves which puts files in the place of others: one of two at a time is refused."""
STATISTICS = (TOPIC, IDENTITY, PARTITION, OFFSET, MILLISECONDS, TIMESTAMP)
"""The columns whose least and greatest values are known of each file."""

REMOTE = {"connect_timeout": "3s", "timeout": "20s", "max_retries": "3", "retry_timeout": "30s"}
"""Bounds of delta-rs for what a store takes, where nobody sets others."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m|↳")
"""What delta-rs draws into its errors."""


class Fenced(LogUnavailable):
    """Somebody else has committed what this commit would have; what it says is not what there is."""


class Position(NamedTuple):
    """A position of a table: what it must be, and what it becomes."""

    application: str
    before: int | None
    after: int


class Table:
    """A table at a path or an address. Synchronous, and safe to be used from several threads. Every method raises
    LogUnavailable where the store does not answer."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self.uri = uri
        self.options = dict(options) if "://" not in uri else {**REMOTE, **options}
        self._table: DeltaTable | None = None
        self._lock = RLock()

    @property
    def version(self) -> int:
        """The version that was read last; -1 while the table does not exist."""
        return -1 if self._table is None else int(self._table.version())

    def refresh(self) -> bool:
        """Read the newest version; whether it is another one."""
        with self._lock, self._translated("reading the table"):
            before = self.version
            if self._table is None:
                try:
                    self._table = DeltaTable(self.uri, storage_options=self.options)
                except TableNotFoundError:
                    return False
            else:
                self._table.update_incremental()
            return self.version != before

    def rows(self) -> list[FileRow]:
        """The files of the version that was read last."""
        with self._lock, self._translated("reading the table"):
            if self._table is None:
                return []
            actions = pa.table(self._table.get_add_actions(flatten=True))
        size = actions.num_rows

        def column(name: str) -> list[Any]:
            return actions[name].to_pylist() if name in actions.column_names else [None] * size

        names = ("path", "size_bytes", "num_records", f"min.{IDENTITY}", f"min.{OFFSET}", f"max.{OFFSET}")
        columns = [column(name) for name in (*names, f"max.{MILLISECONDS}")]
        return [
            FileRow(path, int(count), -1 if records is None else int(records), *rest)
            for path, count, records, *rest in zip(*columns, strict=True)
        ]

    def _paths(self) -> set[str]:
        """The paths of these files alone: reading the rest takes longer."""
        with self._lock, self._translated("reading the table"):
            return set() if self._table is None else set(pa.table(self._table.get_add_actions())["path"].to_pylist())

    def position(self, application: str) -> int | None:
        """A position in the version that was read last."""
        with self._lock:
            return None if self._table is None else self._table.transaction_version(application)

    def columns(self) -> dict[str, Shape]:
        """The columns that belong to fields of events."""
        with self._lock:
            if self._table is None:
                return {}
            schema = pa.schema(self._table.schema())
        return {field.name: shape_of(field) for field in schema if field.name not in SYSTEM}

    def prepare(self, wanted: Mapping[str, Shape]) -> Columns:
        """Create the table, empty, or add the columns that it lacks; returns its columns with their fields."""
        with self._lock:
            self.refresh()
            if self._table is None:
                fields = [arrow_field(name, shape) for name, shape in wanted.items()]
                self._create([*SYSTEM_FIELDS, pa.field(DAY, pa.date32()), *fields])
            before = self.columns()
            columns = grown(before, wanted)
            changed = {name: shape for name, (_, shape) in columns.items() if before.get(name) != shape}
            fields = self._missing_of_its_own() + [arrow_field(name, shape) for name, shape in changed.items()]
            if fields:
                new = Schema.from_arrow(pa.schema(fields))
                # Whoever else adds columns now adds the same, or it is told below.
                with suppress(Fenced), self._translated("adding columns"):
                    assert self._table is not None
                    self._table.alter.add_columns(list(new.fields))
                self.refresh()
                missing = _unlike(changed, self.columns())
                if missing:
                    raise LogUnavailable(f"archive {self.uri}: the columns {', '.join(missing)} were not added")
            return columns

    def _missing_of_its_own(self) -> list[Any]:
        """The columns of the table itself that an earlier gateway did not make."""
        assert self._table is not None
        names = set(pa.schema(self._table.schema()).names)
        return [field for field in SYSTEM_FIELDS if field.name not in names]

    def _create(self, fields: list[Any]) -> None:
        # Whoever is first makes the same table: it is read below.
        with suppress(Fenced), self._translated("creating the table"):
            DeltaTable.create(
                self.uri,
                Schema.from_arrow(pa.schema(fields)),
                mode="ignore",
                partition_by=[DAY],
                # Readers take a column without statistics as null, where the table does not say that it has none.
                configuration={"delta.dataSkippingStatsColumns": ",".join(STATISTICS)},
                storage_options=self.options,
            )
        self.refresh()
        if self._table is None:
            raise LogUnavailable(f"archive {self.uri}: the table was not created")

    def commit(
        self,
        added: Sequence[Written],
        removed: Sequence[ArchivedFile],
        positions: Iterable[Position],
        confirm: Callable[[], None] = lambda: None,
        data_change: bool = False,
    ) -> None:
        """Take files in, and others out, and move positions, all or nothing. `confirm` is called once the newest
        version is read, and may refuse. `data_change`: readers that follow the table are told that files were taken
        out. Raises Fenced where another has moved a position, or taken out a file; nothing is stored then."""
        with self._lock:
            self.refresh()
            moves = list(positions)
            for move in moves:
                if (found := self.position(move.application)) != move.before:
                    raise Fenced(f"archive {self.uri}: {move.application} is {found}, and not {move.before}")
            if removed and (lacking := {file.path for file in removed} - self._paths()):
                # delta-rs takes out what is there no longer, and what was to take its place would be there twice.
                raise Fenced(f"archive {self.uri}: {min(lacking)} is not in the table any more")
            confirm()
            assert self._table is not None
            now = time.time_ns() // 1_000_000
            gone = [
                RemoveAction(file.path, data_change, now, size=file.size, partition_values={DAY: file.day})
                for file in removed
            ]
            new = [_add_action(file, now, data_change=not removed) for file in added]
            transactions = [Transaction(move.application, move.after) for move in moves]
            try:
                with self._translated("committing"):
                    self._table.create_write_transaction(
                        [*new, *gone],
                        "append",
                        self._table.schema(),
                        partition_by=[DAY],
                        commit_properties=CommitProperties(app_transactions=transactions),
                    )
            except Fenced:
                self.refresh()
                # A commit whose answer was lost is tried again, and then meets itself.
                if not added or not {file.path for file in added} <= self._paths():
                    raise
            self.refresh()

    def vacuum(self, hours: int) -> int:
        """Delete the files that commits have put others in the place of, so many hours ago; returns how many."""
        return self._vacuum(hours, full=False)

    def sweep(self, hours: int) -> int:
        """The same, with those that no commit names: what a killed process left. A file is written before its commit,
        so `hours` must be longer than any commit takes."""
        return self._vacuum(max(1, hours), full=True)

    def _vacuum(self, hours: int, full: bool) -> int:
        with self._lock, self._translated("vacuum"):
            self.refresh()
            if self._table is None:
                return 0
            gone = self._table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=full)
            self._table.update_incremental()
            return len(gone)

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except CommitFailedError as error:
            raise Fenced(f"archive {self.uri}: {doing}: {error}") from error
        except (DeltaError, OSError, ValueError, pa.ArrowException) as error:
            text = " ".join(_COLOURS.sub("", str(error)).split())[:500]
            raise LogUnavailable(f"archive {self.uri}: {doing}: {type(error).__name__}: {text}") from error


def _unlike(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> list[str]:
    return [name for name, shape in wanted.items() if found.get(name) != shape]


def _add_action(file: Written, now: int, data_change: bool) -> AddAction:
    low: dict[str, Any] = {TOPIC: file.place.partition.topic, IDENTITY: file.place.identity}
    low[PARTITION] = file.place.partition.partition
    high = dict(low)
    if file.records and file.low is not None and file.high is not None:
        low |= {OFFSET: file.first, MILLISECONDS: file.low}
        high |= {OFFSET: file.last, MILLISECONDS: file.high}
        least, most = max(file.low, YEAR_1), min(file.high, YEAR_10000 - 1)
        if least <= most:
            low[TIMESTAMP], high[TIMESTAMP] = _iso(least), _iso(most)
    stats = {"numRecords": file.records, "minValues": low, "maxValues": high, "nullCount": {}}
    return AddAction(file.path, file.size, {DAY: file.span.day}, now, data_change, json.dumps(stats))


def _iso(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}.{rest:03d}Z"

"""The tables of the SQLite log and the statements over them; synchronous, one connection, one thread.

The records of a partition have every offset from `first` to just before `next`: nothing is compacted, an append is one
transaction, and only a prefix is ever deleted. So whatever rises with the offset is found by bisection over the primary
key, and needs no index of its own:

    high    the greatest timestamp up to and including this record, among those still there
    total   the bytes of this record and of all before it, the deleted ones too
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from gateway.catalog.stream import Retention
from gateway.errors import LogError, LogForbids, TopicAbsent, WriterFenced
from gateway.eventlog.offer import REPEATED, Fate
from gateway.eventlog.port import NO_STAMP, NO_STAMPS, Batch, Bounds, TopicState, part_of
from gateway.eventlog.sqlite.claims import Claimed, Life, bind
from gateway.eventlog.sqlite.connection import IDENTITY, SqliteConnection
from gateway.eventlog.sqlite.rows import RECORD_OVERHEAD, Appended, PartitionRow, stamp_of, unpack_headers
from gateway.eventlog.trouble import Refusal, Trouble, absent, cut_back, out_of_range
from gateway.model.record import NewRecord, Record, TopicPartition

DELETE_RECORDS = 5_000
"""Expired records are deleted in transactions of this size, so that appends get in between."""

NO_CLAIMS = Life(0, 0)

_ANY = TopicPartition("", 0)


class Found(NamedTuple):
    """The result of a read: batches and refusals, and the first offset of each partition that it looked at."""

    answers: list[Batch | Refusal]
    starts: dict[TopicPartition, int]


class Right(NamedTuple):
    """The right to set the position of a name; a newer one has a higher epoch, and ends this one."""

    name: str
    epoch: int
    position: bytes | None


class SqliteStore(SqliteConnection):
    """The operations of the log on the file. Every public method raises LogUnavailable if SQLite cannot answer."""

    def opened(self) -> None:
        """See SqliteConnection."""
        self._claimed = Claimed()

    def identity(self) -> str:
        """That of the file; one that has none is given one, and where it may not be written it stays without: empty."""
        with self.reading() as connection:
            known = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'identity'").fetchone()
            if known and (identity := _identity(connection)):
                return identity
        try:
            with self.writing() as connection:
                for statement in IDENTITY:
                    connection.execute(statement)
                return _identity(connection)
        except LogForbids:
            return ""

    def describe(self, topics: Collection[str]) -> dict[str, TopicState]:
        """Those of the topics that exist."""
        query = "SELECT identity, (SELECT count(*) FROM partitions WHERE topic = topics.id) FROM topics WHERE name = ?"
        with self.reading() as connection:
            rows = {topic: connection.execute(query, (topic,)).fetchone() for topic in topics}
            return {topic: TopicState(*row) for topic, row in rows.items() if row is not None}

    def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        """The readable part of each."""
        with self.reading():
            rows = {partition: self._find_partition(partition) for partition in partitions}
            return {
                partition: absent(partition.topic) if row is None else Bounds(row.first, row.next)
                for partition, row in rows.items()
            }

    def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        """The offset of the first record at or after each time (ms), or None."""
        with self.reading():
            found: dict[TopicPartition, int | Trouble | None] = {}
            for partition, wanted in times.items():
                row = self._find_partition(partition)
                if row is None:
                    found[partition] = absent(partition.topic)
                    continue
                offset = self._bisect(row, "high", wanted)
                found[partition] = offset if offset < row.next else None
            return found

    def resolve(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The row of each partition that exists; a topic created again has others."""
        found = {}
        with self.reading():
            for partition in partitions:
                if (row := self._find_partition(partition)) is not None:
                    found[partition] = row.id
        return found

    def read(
        self,
        positions: Mapping[TopicPartition, int],
        rows: Mapping[TopicPartition, int],
        max_records: int,
        max_bytes: int,
        stamps: Mapping[TopicPartition, int] = NO_STAMPS,
    ) -> Found:
        """Records from the positions, in the order of the mapping: at most `max_records` in all, and `max_bytes`
        plus the rest of a record.

        `rows` maps each name to its partition, `stamps` holds the stamp of the record read before each position.
        """
        with self.reading():
            found: list[Batch | Refusal] = []
            starts: dict[TopicPartition, int] = {}
            readable: list[tuple[TopicPartition, PartitionRow]] = []
            for partition, position in positions.items():
                state = self._find_partition(partition)
                if state is None or state.id != rows.get(partition):
                    found.append(Refusal(partition, absent(partition.topic)))
                    continue
                starts[partition] = state.first
                if not state.first <= position <= state.next:
                    found.append(Refusal(partition, out_of_range(partition, position)))
                elif self._is_another(state, position, stamps.get(partition, NO_STAMP)):
                    found.append(Refusal(partition, cut_back(partition, -1)))
                elif position < state.next:
                    readable.append((partition, state))
            for index, (partition, state) in enumerate(readable):
                if max_records <= 0 or max_bytes <= 0:
                    break
                among = len(readable) - index
                limits = part_of(max_records, among), part_of(max_bytes, among)
                records, read = self._read(partition, state.id, positions[partition], *limits)
                if records:
                    found.append(Batch(partition, records, records[-1].offset + 1, stamp_of(records[-1])))
                else:
                    # Somebody has deleted rows by hand.
                    found.append(Batch(partition, [], state.next))
                max_records -= len(records)
                max_bytes -= read
            return Found(found, starts)

    def _is_another(self, state: PartitionRow, position: int, stamp: int) -> bool:
        """Whether the record before the position differs from the one read there: the file was restored from a copy,
        or cut by hand, and written on."""
        if stamp == NO_STAMP or position <= state.first:
            return False
        records, _ = self._read(_ANY, state.id, position - 1, 1, 1)
        return not records or stamp_of(records[0]) != stamp

    def create(self, topic: str, partitions: int, retention: Retention) -> None:
        """Create a topic; one that exists stays as it is."""
        with self.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO topics (name, identity, retention_milliseconds, retention_size) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO NOTHING",
                (topic, str(uuid.uuid4()), retention.milliseconds, retention.size),
            )
            if cursor.rowcount:
                connection.executemany(
                    "INSERT INTO partitions (topic, number) VALUES (?, ?)",
                    [(cursor.lastrowid, number) for number in range(partitions)],
                )

    def delete(self, topic: str) -> None:
        """Delete a topic with its records; one that does not exist is no error."""
        with self.writing() as connection:
            row = connection.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
            if row is not None:
                connection.execute(
                    "DELETE FROM records WHERE partition IN (SELECT id FROM partitions WHERE topic = ?)", row
                )
                connection.execute("DELETE FROM partitions WHERE topic = ?", row)
                connection.execute("DELETE FROM topics WHERE id = ?", row)

    def take_over(self, name: str) -> Right:
        """Become the writer of this name; returns its right, and the position that is kept under the name."""
        statement = (
            "INSERT INTO positions (name, epoch) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1"
            " RETURNING epoch, position"
        )
        with self.writing() as connection:
            ((epoch, position),) = connection.execute(statement, (name,)).fetchall()
            return Right(name, epoch, position)

    def append(
        self, topic: str, records: Sequence[NewRecord], turn: int, now: int, life: Life = NO_CLAIMS
    ) -> list[Fate]:
        """Append in one transaction, in which each `once` is claimed for a time. Records without key and partition
        are distributed in turn. Raises TopicAbsent."""
        note = None
        with self.writing() as connection:
            appended = Appended(topic, self._partitions(topic), now)
            refused = [appended.refusal(new) for new in records]
            repeated = self._repeated(records, refused, life, now)
            noted: list[bytes] = []
            told: list[Fate] = []
            for index, new in enumerate(records):
                number = appended.choose(new, turn)
                turn += new.partition is None and new.key is None
                error = refused[index]
                if error is not None or index in repeated:
                    told.append(error or REPEATED)
                    continue
                if life.any and new.once is not None:
                    noted.append(new.once)
                told.append(appended.add(number, new))
            self._store([appended])
            if noted:
                note = self._claimed.write(connection, noted, now)
        if note is not None:
            self._claimed.committed(note)
        return told

    def append_with(
        self, right: Right, records: Sequence[tuple[str, NewRecord]], turn: int, now: int
    ) -> list[tuple[TopicPartition, int]]:
        """Append each record to its topic, and set the position of the right, in one transaction. If a record cannot
        be stored, the first such error is raised and nothing is stored. Raises LogError, TopicAbsent, WriterFenced."""
        with self.writing():
            self._set_position(right)
            topics: dict[str, Appended] = {}
            told = []
            for topic, new in records:
                if (appended := topics.get(topic)) is None:
                    appended = topics[topic] = Appended(topic, self._partitions(topic), now)
                if (error := appended.refusal(new)) is not None:
                    raise error
                told.append(appended.add(appended.choose(new, turn), new))
                turn += new.partition is None and new.key is None
            self._store(topics.values())
            return told

    def _store(self, topics: Collection[Appended]) -> None:
        """Write what was added to these topics."""
        rows = [row for appended in topics for row in appended.rows]
        self.connection().executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._save([state for appended in topics for state in appended.states.values()])

    def _repeated(
        self, records: Sequence[NewRecord], refused: Sequence[LogError | None], life: Life, now: int
    ) -> set[int]:
        """The indices of those that are stored already."""
        if not life.any:
            return set()
        indices, ids = [], []
        for index, new in enumerate(records):
            if new.once is not None and refused[index] is None:
                indices.append(index)
                ids.append(new.once)
        if not ids:
            return set()
        self._claimed.catch_up(self.connection(), life, now)
        return {indices[each] for each in self._claimed.repeated(ids)}

    def bind(self, name: bytes, value: bytes, now: int, life: Life) -> bytes:
        """Give a name a value for a time if it has none; returns the value that it has."""
        with self.writing() as connection:
            return bind(connection, life, name, value, now)

    def _set_position(self, right: Right) -> None:
        statement = "UPDATE positions SET position = ? WHERE name = ? AND epoch = ?"
        if self.connection().execute(statement, (right.position, right.name, right.epoch)).rowcount == 0:
            raise WriterFenced(right.name)

    def expire(self, now: int) -> int:
        """Hide what the retention of each topic no longer keeps, then delete it; returns how many were deleted."""
        with self.writing() as connection:
            query = (
                "SELECT retention_milliseconds, retention_size, partitions.id, first, next, high, total"
                " FROM partitions JOIN topics ON topics.id = topic"
            )
            for milliseconds, size, *row in connection.execute(query).fetchall():
                state = PartitionRow(*row)
                first = state.first
                if milliseconds is not None:
                    oldest = self._bisect(state, "high", now - milliseconds)
                    # Records without a time are as old as the one before them. Nobody knows the age of those before any
                    # record with a time; they go with that one.
                    if self._bisect(state, "high", 0) < oldest:
                        first = max(first, oldest)
                if size is not None:
                    first = max(first, self._bisect(state, "total", state.total - size + 1))
                if first > state.first:
                    self._save([self._forget(state._replace(first=first))])
        return self._sweep()

    def _forget(self, state: PartitionRow) -> PartitionRow:
        """Let the running maximum forget the records before `first`: it is wrong up to the first record that sets it
        itself."""
        connection = self.connection()
        high: int | None = None
        query = "SELECT offset, timestamp, high FROM records WHERE partition = ? AND offset >= ? ORDER BY offset"
        changes = []
        with closing(connection.execute(query, (state.id, state.first))) as rows:
            for offset, timestamp, was in rows:
                if timestamp >= was:
                    high = state.high
                    break
                high = timestamp if high is None else max(high, timestamp)
                changes.append((high, state.id, offset))
        connection.executemany("UPDATE records SET high = ? WHERE partition = ? AND offset = ?", changes)
        return state._replace(high=high)

    def _sweep(self) -> int:
        """Delete the hidden records."""
        statement = (
            "DELETE FROM records WHERE rowid IN (SELECT records.rowid FROM records"
            " WHERE partition = ? AND offset < ? ORDER BY offset LIMIT ?)"
        )
        with self.reading() as connection:
            states = connection.execute("SELECT id, first FROM partitions").fetchall()
        deleted = 0
        for partition, first in states:
            count = DELETE_RECORDS
            while count == DELETE_RECORDS:
                with self.writing() as connection:
                    count = connection.execute(statement, (partition, first, DELETE_RECORDS)).rowcount
                deleted += count
        return deleted

    def _read(
        self, partition: TopicPartition, row: int, position: int, max_records: int, max_bytes: int
    ) -> tuple[list[Record], int]:
        """Records of one partition, and how many bytes they count for."""
        query = (
            "SELECT offset, timestamp, key, value, headers FROM records"
            " WHERE partition = ? AND offset >= ? ORDER BY offset LIMIT ?"
        )
        topic, number = partition
        records = []
        size = 0
        with closing(self.connection().execute(query, (row, position, max_records))) as found:
            for offset, timestamp, key, value, headers in found:
                unpacked = unpack_headers(headers) if headers else ()
                records.append(Record(topic, number, offset, timestamp, key, value, unpacked))
                size += RECORD_OVERHEAD + len(value) if value else RECORD_OVERHEAD
                if size >= max_bytes:
                    break
        return records, size

    def _bisect(self, state: PartitionRow, column: str, wanted: int) -> int:
        """The first offset whose `high` or `total` is at least this; `next` if there is none."""
        query = f"SELECT {column} >= ? FROM records WHERE partition = ? AND offset = ?"
        low, high = state.first, state.next
        connection = self.connection()
        while low < high:
            middle = (low + high) // 2
            if connection.execute(query, (wanted, state.id, middle)).fetchone()[0]:
                high = middle
            else:
                low = middle + 1
        return low

    def _find_partition(self, partition: TopicPartition) -> PartitionRow | None:
        query = (
            "SELECT partitions.id, first, next, high, total FROM partitions JOIN topics ON topics.id = topic"
            " WHERE name = ? AND number = ?"
        )
        row = self.connection().execute(query, partition).fetchone()
        return None if row is None else PartitionRow(*row)

    def _partitions(self, topic: str) -> dict[int, PartitionRow]:
        query = (
            "SELECT number, partitions.id, first, next, high, total FROM partitions JOIN topics ON topics.id = topic"
            " WHERE name = ?"
        )
        found = {number: PartitionRow(*row) for number, *row in self.connection().execute(query, (topic,))}
        if not found:
            raise TopicAbsent(topic)
        return found

    def _save(self, states: Collection[PartitionRow]) -> None:
        self.connection().executemany(
            "UPDATE partitions SET first = ?, next = ?, high = ?, total = ? WHERE id = ?",
            [(state.first, state.next, state.high, state.total, state.id) for state in states],
        )


def _identity(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT identity FROM identity").fetchone()
    return str(row[0]) if row else ""

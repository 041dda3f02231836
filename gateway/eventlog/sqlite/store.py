"""The writing to the tables of the SQLite log (`queries.py`); synchronous, one connection, one thread."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import NamedTuple

from gateway.catalog.stream import Retention
from gateway.errors import LogError, LogForbids, WriterFenced
from gateway.eventlog.offer import REPEATED, Fate
from gateway.eventlog.sqlite.claims import Claimed, Life, bind
from gateway.eventlog.sqlite.connection import ERASURES, IDENTITY
from gateway.eventlog.sqlite.queries import SqliteQueries
from gateway.eventlog.sqlite.rows import Appended, PartitionRow
from gateway.model.record import NewRecord, Record, TopicPartition

ERASE_RECORDS, ERASE_BYTES = 2_000, 16 * 1024 * 1024
"""The most records that are looked at in one transaction of an erasure, and their bytes."""

DELETE_RECORDS = 5_000
"""Expired records are deleted in transactions of this size, so that appends get in between."""

NO_CLAIMS = Life(0, 0)


class Right(NamedTuple):
    """The right to set the position of a name; a newer one has a higher epoch, and ends this one."""

    name: str
    epoch: int
    position: bytes | None


class SqliteStore(SqliteQueries):
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

    def begin_at(self, partition: TopicPartition, offset: int) -> bool:
        """Let a partition that never had a record begin at this offset; whether it does."""
        statement = (
            "UPDATE partitions SET first = ?, next = ? WHERE first = 0 AND next = 0 AND number = ?"
            " AND topic = (SELECT id FROM topics WHERE name = ?)"
        )
        with self.writing() as connection:
            values = (offset, offset, partition.partition, partition.topic)
            return connection.execute(statement, values).rowcount == 1

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

    def expire(self, now: int, kept: Mapping[TopicPartition, int] = MappingProxyType({})) -> int:
        """Hide what the retention of each topic no longer keeps, then delete it; returns how many were deleted. From
        the offsets in `kept` on nothing is deleted."""
        with self.writing() as connection:
            query = (
                "SELECT name, number, retention_milliseconds, retention_size, partitions.id, first, next, high, total"
                " FROM partitions JOIN topics ON topics.id = topic"
            )
            for name, number, milliseconds, size, *row in connection.execute(query).fetchall():
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
                first = min(first, kept.get(TopicPartition(name, number), first))
                if first > state.first:
                    self._save([self._forget(state._replace(first=first))])
        return self._sweep()

    def erase(
        self, partition: TopicPartition, position: int, end: int, matches: Callable[[Record], bool]
    ) -> tuple[int, int]:
        """Empty what matches among some records from the position on; returns the position behind them, and how many
        were emptied. What was in them is overwritten in the file."""
        self.connection().execute("PRAGMA secure_delete = ON")
        statement = "UPDATE records SET key = NULL, headers = NULL, value = NULL WHERE partition = ? AND offset = ?"
        counted = (
            "INSERT INTO erasures SELECT topic, 1 FROM partitions WHERE id = ?"
            " ON CONFLICT (topic) DO UPDATE SET number = number + 1"
        )
        with self.writing() as connection:
            state = self._find_partition(partition)
            if state is None:
                return end, 0
            records, _ = self._read(partition, state.id, position, ERASE_RECORDS, ERASE_BYTES)
            gone = [(state.id, record.offset) for record in records if matches(record)]
            connection.executemany(statement, gone)
            if gone:
                connection.execute(ERASURES)
                connection.execute(counted, (state.id,))
        return (records[-1].offset + 1 if records else end), len(gone)

    def forget_erased(self) -> None:
        """Empty the write-ahead log, which has copies of pages, as far as no reader needs it."""
        self.connection().execute("PRAGMA secure_delete = OFF")
        self.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

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

    def _save(self, states: Collection[PartitionRow]) -> None:
        self.connection().executemany(
            "UPDATE partitions SET first = ?, next = ?, high = ?, total = ? WHERE id = ?",
            [(state.first, state.next, state.high, state.total, state.id) for state in states],
        )


def _identity(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT identity FROM identity").fetchone()
    return str(row[0]) if row else ""

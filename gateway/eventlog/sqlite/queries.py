"""The tables of the SQLite log and the questions to them; synchronous, one connection, one thread.

The records of a partition have every offset from `first` to just before `next`: nothing is compacted, an append is one
transaction, and only a prefix is ever deleted. So whatever rises with the offset is found by bisection over the primary
key, and needs no index of its own:

    high    the greatest timestamp up to and including this record, among those still there
    total   the bytes of this record and of all before it, the deleted ones too
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from typing import NamedTuple

from gateway.errors import TopicAbsent
from gateway.eventlog.port import NO_STAMP, NO_STAMPS, Batch, Bounds, TopicState, part_of
from gateway.eventlog.sqlite.connection import SqliteConnection
from gateway.eventlog.sqlite.rows import RECORD_OVERHEAD, PartitionRow, is_stamp_of, stamp_of, unpack_headers
from gateway.eventlog.trouble import Refusal, Trouble, absent, cut_back, out_of_range
from gateway.model.record import Record, TopicPartition

_ANY = TopicPartition("", 0)


class Found(NamedTuple):
    """The result of a read: batches and refusals, and the first offset of each partition that it looked at."""

    answers: list[Batch | Refusal]
    starts: dict[TopicPartition, int]


class SqliteQueries(SqliteConnection):
    """What the log tells from its file. Every public method raises LogUnavailable if SQLite cannot answer."""

    def describe(self, topics: Collection[str]) -> dict[str, TopicState]:
        """Those of the topics that exist."""
        with self.reading() as connection:
            known = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'erasures'").fetchone()
            erasures = "ifnull((SELECT number FROM erasures WHERE topic = topics.id), 0)" if known else "0"
            query = (
                f"SELECT identity, (SELECT count(*) FROM partitions WHERE topic = topics.id), {erasures}"
                " FROM topics WHERE name = ?"
            )
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

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        """The end of each partition of a topic. Raises TopicAbsent."""
        with self.reading():
            return {TopicPartition(topic, number): row.next for number, row in self._partitions(topic).items()}

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
        or cut by hand, and written on. An erasure does not make it another one."""
        if stamp == NO_STAMP or position <= state.first:
            return False
        records, _ = self._read(_ANY, state.id, position - 1, 1, 1)
        return not records or not is_stamp_of(stamp, records[0])

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

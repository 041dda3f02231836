"""The records that a broker sent of one partition: kept as bytes, unpacked only as they are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from struct import Struct
from typing import Any

from aiokafka.record.memory_records import MemoryRecords

from gateway.event import NO_TIMESTAMP, Record, TopicPartition, size_of
from gateway.eventlog.kafka_fetch import Fetched
from gateway.eventlog.port import FETCH_BYTES, NO_STAMP

BATCH_OVERHEAD = 12
"""Bytes of a batch before its own count of bytes begins."""

ABORT = 0
"""The type of a control record that ends an aborted transaction."""

MAGIC = 16
"""Where a batch has the number of its form; from 2 on, it has the epoch of the leader that took it before that."""

_LENGTH = Struct(">i")
_CONTROL = Struct(">HH")


class PartitionBuffer:
    """Batches of one partition, from the position of the reader on. `ahead` is the offset after all of them, and
    `unfetched` whether the broker was seen to have what comes then.

    `stamp` is the leader epoch (KIP-320) of what was read before the position, `epoch` that of what was fetched before
    `ahead`."""

    def __init__(self, partition: TopicPartition, position: int, stamp: int = NO_STAMP) -> None:
        self._partition = partition
        self._batches: deque[tuple[Any, int, int, int]] = deque()
        self._records: Iterator[Record] | None = None
        self.position = position
        self.stamp = stamp
        self.ahead = position
        self.epoch = stamp
        self.doubted = False
        """Whether the log did not know the epoch: then it is another log, where it holds something at this offset."""
        self.unfetched = False
        self.size = 0

    def drop(self) -> None:
        """Forget what was fetched and not taken."""
        self._batches.clear()
        self._records = None
        self.ahead, self.epoch = self.position, self.stamp
        self.unfetched = False
        self.size = 0

    def add(self, fetched: Fetched) -> str | None:
        """Take in what was fetched from `ahead` on: of the batches only their heads and checksums are looked at. Those
        that hold no record to be shown (markers, aborted ones) stay as a move of the position. Returns what is wrong
        with the first batch that cannot be read: `ahead` stays before it."""
        try:
            return self._add(fetched)
        except Exception as error:  # whatever the parser makes of bytes that it does not know
            return _wrong(error)

    def _add(self, fetched: Fetched) -> str | None:
        aborted = deque(sorted(fetched.aborted, key=lambda transaction: transaction[1]))
        producers: set[int] = set()
        records = MemoryRecords(fetched.records)
        place = 0
        while records.has_next():
            batch = records.next_batch()
            if not batch.validate_crc():
                return "its checksum is wrong"
            size = BATCH_OVERHEAD + _LENGTH.unpack_from(fetched.records, place + 8)[0]
            traced = fetched.records[place + MAGIC] >= 2
            epoch = _LENGTH.unpack_from(fetched.records, place + BATCH_OVERHEAD)[0] if traced else NO_STAMP
            place += size
            hidden = batch.is_control_batch
            if batch.producer_id is not None:
                while aborted and aborted[0][1] <= batch.base_offset:
                    producers.add(aborted.popleft()[0])
                if hidden and _is_abort(batch):
                    producers.discard(batch.producer_id)
                hidden = hidden or (batch.is_transactional and batch.producer_id in producers)
            if batch.next_offset > self.ahead:
                self.ahead, self.epoch = batch.next_offset, epoch
                self.size += size
                self._batches.append((None if hidden else batch, batch.next_offset, size, epoch))
        self.unfetched = self.ahead < fetched.end
        return None

    def take(self, limit: int, max_bytes: int = FETCH_BYTES) -> tuple[list[Record], str | None]:
        """At most so many records, and as many bytes and the rest of a record; `position` moves past them, and past
        what follows them and is no record. And what is wrong with the record at the position, where it cannot be
        read."""
        taken: list[Record] = []
        while self._batches:
            batch, next_offset, size, epoch = self._batches[0]
            if batch is not None:
                wanted = limit - len(taken)
                if wanted == 0 or max_bytes <= 0:
                    break
                self._records = self._records or self._unpack(batch)
                found: list[Record] = []
                try:
                    for record in islice(self._records, wanted):
                        found.append(record)
                        max_bytes -= size_of(record)
                        if max_bytes <= 0:
                            break
                except Exception as error:  # an unknown codec, or bytes that are no records
                    if found:
                        taken += found
                        self.position, self.stamp = found[-1].offset + 1, epoch
                    return taken, _wrong(error)
                if found:
                    taken += found
                    self.position, self.stamp = found[-1].offset + 1, epoch
                if (len(found) == wanted or max_bytes <= 0) and self.position < next_offset:
                    break
            self._batches.popleft()
            self._records = None
            self.size -= size
            self.position, self.stamp = next_offset, epoch
        return taken, None

    def _unpack(self, batch: Any) -> Iterator[Record]:
        """The records of a batch from the position on: a broker sends the whole batch that holds it."""
        topic, number = self._partition
        start = self.position
        for record in batch:
            offset = record.offset
            if offset >= start:
                headers = record.headers
                yield Record(
                    topic,
                    number,
                    offset,
                    # Records of magic 0, from before Kafka 0.10, have none.
                    NO_TIMESTAMP if record.timestamp is None else record.timestamp,
                    record.key,
                    record.value,
                    _headers(headers) if headers else (),
                )


def _wrong(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _headers(headers: list[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """Kafka knows headers without a value; they are empty here."""
    return tuple((name, value or b"") for name, value in headers)


def _is_abort(batch: Any) -> bool:
    record = next(iter(batch), None)
    return record is not None and _CONTROL.unpack_from(record.key)[1] == ABORT

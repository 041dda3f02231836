"""The records of one partition as a broker sent them: kept as bytes, and unpacked only when they are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count, islice, repeat
from struct import Struct
from typing import Any, NamedTuple

from aiokafka.record.memory_records import MemoryRecords

from gateway.eventlog.kafka.codecs import codec_of, plain
from gateway.eventlog.kafka.fetch import Fetched
from gateway.eventlog.kafka.salvage import misplaced, salvage
from gateway.eventlog.port import FETCH_BYTES, NO_STAMP
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import NO_TIMESTAMP, Record, TopicPartition, size_of, sizes_of

BATCH_OVERHEAD = 12
"""Bytes of a batch before its own count of bytes begins."""

ABORT = 0
"""The type of a control record that ends an aborted transaction."""

_MAGIC = 16
"""Where a batch says of which format it is. From format 2 on, it has the epoch of the leader that took it behind its
count of bytes."""
_LENGTH = Struct(">i")
_COUNT_AT = 57
"""Where a batch of format 2 says how many records it has."""
_CONTROL = Struct(">HH")


class _Held(NamedTuple):
    """A batch as it arrived, or None if none of it is shown; the offset after it, its bytes, and the epoch of its
    leader."""

    data: bytes | None
    next_offset: int
    size: int
    epoch: int


class Taken(NamedTuple):
    """Records, their bytes, and what is wrong with the record behind them, where it cannot be read."""

    records: list[Record]
    size: int
    wrong: Trouble | None


class PartitionBuffer:
    """Batches of one partition, from the position of the reader on. `ahead` is the offset after all of them, and
    `unfetched` whether the broker was seen to have what comes then.

    `stamp` is the leader epoch (KIP-320) of what was read before the position, `epoch` that of what was fetched before
    `ahead`."""

    def __init__(self, partition: TopicPartition, position: int, stamp: int = NO_STAMP) -> None:
        self._partition = partition
        self._batches: deque[_Held] = deque()
        self._records: Iterator[Record] | None = None
        self._salvaged = False
        """Whether the first batch is read record by record, since aiokafka has given it up."""
        self.position = position
        self.stamp = stamp
        self.ahead = position
        self.epoch = stamp
        self.doubted = False
        """Whether the log did not know the epoch: then it is another log, where it holds something at this offset."""
        self.unfetched = False
        self.size = 0
        self.expanded = 0
        """Bytes that are held beside them, while a batch that was compressed is taken."""

    def drop(self) -> None:
        """Forget what was fetched and not taken."""
        self._batches.clear()
        self.fold()
        self.ahead, self.epoch = self.position, self.stamp
        self.unfetched = False
        self.size = 0

    def fold(self) -> None:
        """Hold nothing expanded; the batch at hand is expanded again when it is taken from."""
        self._records, self._salvaged, self.expanded = None, False, 0

    def add(self, fetched: Fetched) -> Trouble | None:
        """Take in what was fetched from `ahead` on: of the batches only their heads and checksums are looked at. Those
        that hold no record to be shown (markers, aborted ones) stay as a move of the position. Returns what is wrong
        with the first batch that cannot be read: `ahead` stays before it."""
        try:
            return self._add(fetched)
        except Exception as error:  # whatever the parser makes of bytes that it does not know
            return self._unreadable(self.ahead, _wrong(error))

    def _unreadable(self, offset: int, wrong: str, beyond: int = -1) -> Trouble:
        topic, number = self._partition
        detail = f"Kafka: {topic}/{number}: the batch at offset {offset} cannot be read: {wrong}"
        return Trouble(Kind.UNREADABLE, detail, offset, beyond)

    def _add(self, fetched: Fetched) -> Trouble | None:
        aborted = deque(sorted(fetched.aborted, key=lambda transaction: transaction[1]))
        producers: set[int] = set()
        records = MemoryRecords(fetched.records)
        begin = 0
        while records.has_next():
            batch = records.next_batch()
            if not batch.validate_crc():
                # What its head says is no more certain than the rest: it is taken where it is possible.
                return self._unreadable(self.ahead, "its checksum is wrong", self._likely_end(batch, fetched))
            size = BATCH_OVERHEAD + _LENGTH.unpack_from(fetched.records, begin + 8)[0]
            data = fetched.records[begin : begin + size]
            epoch = _LENGTH.unpack_from(data, BATCH_OVERHEAD)[0] if data[_MAGIC] >= 2 else NO_STAMP
            begin += size
            hidden = batch.is_control_batch
            if batch.producer_id is not None:
                while aborted and aborted[0][1] <= batch.base_offset:
                    producers.add(aborted.popleft()[0])
                try:
                    ended = hidden and _is_abort(batch, data)
                except Exception as error:  # whatever stands in the place of a marker
                    return self._unreadable(self.ahead, _wrong(error), self._likely_end(batch, fetched))
                if ended:
                    producers.discard(batch.producer_id)
                hidden = hidden or (batch.is_transactional and batch.producer_id in producers)
            if batch.next_offset > self.ahead:
                self.ahead, self.epoch = batch.next_offset, epoch
                self.size += size
                self._batches.append(_Held(None if hidden else data, batch.next_offset, size, epoch))
        self.unfetched = self.ahead < fetched.end
        return None

    def _likely_end(self, batch: Any, fetched: Fetched) -> int:
        """The offset after a batch that cannot be read, as far as what its head says is possible."""
        end: int = batch.next_offset
        return end if self.ahead < end <= fetched.end else -1

    def take(self, limit: int, max_bytes: int = FETCH_BYTES, *, expand: bool = True) -> Taken:
        """At most `limit` records, and at most `max_bytes` plus the rest of a record. `position` moves past them,
        and past what follows them without being a record. Without `expand`, no compressed batch is begun."""
        taken: list[Record] = []
        left = max_bytes
        while self._batches:
            data, next_offset, size, epoch = self._batches[0]
            if data is not None:
                wanted = limit - len(taken)
                if wanted == 0 or left <= 0 or not (expand or self._records or codec_of(data) == 0):
                    break
                self._records = self._records or self._unpack(data)
                # Without a codec, a batch holds no more than it has bytes.
                whole = size <= left and data[_MAGIC] == 2 and codec_of(data) == 0
                found, error = _gather(islice(self._records, wanted), None if whole else left)
                left -= sum(sizes_of(found))
                if found:
                    taken += found
                    self.position, self.stamp = found[-1].offset + 1, epoch
                if error is not None and not self._salvaged:  # an unknown codec, or bytes that are no records
                    self._salvaged, self._records = True, salvage(data, self._partition, self.position)
                    continue
                # What stands behind the last offset of the batch has no place in the log, and nothing is missing.
                if error is not None and self.position < next_offset:
                    wrong = self._unreadable(self.position, _wrong(error), next_offset)
                    self.fold()
                    return Taken(taken, max_bytes - left, wrong)
                if (len(found) == wanted or left <= 0) and self.position < next_offset:
                    break
            self._batches.popleft()
            self.fold()
            self.size -= size
            self.position, self.stamp = next_offset, epoch
        return Taken(taken, max_bytes - left, None)

    def _unpack(self, data: bytes) -> Iterator[Record]:
        """The records of a batch from the position on: a broker sends the whole batch that holds it. Raises ValueError
        at a record of which the offset cannot be true: the position would move past records that were not read."""
        topic, number = self._partition
        start = self.position
        opened, self.expanded = plain(data)
        batch = MemoryRecords(opened).next_batch()
        last, highest = _limits(data, batch)
        for record, most in zip(batch, highest, strict=False):
            offset = record.offset
            if not last < offset <= most:
                raise misplaced(offset)
            last = offset
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


def _gather(records: Iterator[Record], left: int | None) -> tuple[list[Record], Exception | None]:
    """The records, up to the one that goes over the bytes that are left; and what went wrong behind them."""
    found: list[Record] = []
    try:
        if left is None:
            found.extend(records)
            return found, None
        for record in records:
            found.append(record)
            left -= size_of(record)
            if left <= 0:
                break
    except Exception as error:
        return found, error
    return found, None


def _limits(data: bytes, batch: Any) -> tuple[int, Iterator[int]]:
    """The offset before a batch, and of each of its records the highest that leaves room for those behind it."""
    if data[_MAGIC] < 2:
        # These say neither where they begin nor how many they are.
        return -1, repeat(batch.next_offset - 1)
    return batch.base_offset - 1, count(batch.next_offset - _LENGTH.unpack_from(data, _COUNT_AT)[0])


def _wrong(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _headers(headers: list[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """Kafka knows headers without a value; they are empty here."""
    return tuple((name, value or b"") for name, value in headers)


def _is_abort(batch: Any, data: bytes) -> bool:
    if codec_of(data):
        # Kafka never does it, and aiokafka would expand it without a bound.
        raise ValueError("it ends a transaction, and is compressed")
    record = next(iter(batch), None)
    return record is not None and _CONTROL.unpack_from(record.key)[1] == ABORT

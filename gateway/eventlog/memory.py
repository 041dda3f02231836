"""An event log in memory: for tests and simulation. Nothing is kept, and every failure can be set by hand."""

from __future__ import annotations

import asyncio
import time
import uuid
import zlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.catalog.stream import Retention
from gateway.errors import LogError, LogUnavailable, OffsetOutOfRange, TopicAbsent, WriterFenced
from gateway.event import NewRecord, Record, TopicPartition, size_of
from gateway.eventlog.offer import Fate, all_stored, refusal
from gateway.eventlog.port import FETCH_BYTES, Batch, Bounds, TopicState


class _Partition:
    """Records in log order; offsets rise and may leave holes. `end` is the offset of the next record."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self.offsets: list[int] = []
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.offsets.append(record.offset)
        self.records.append(record)
        self.end = record.offset + 1

    def keep(self, wanted: Callable[[Record], bool]) -> None:
        self.records = [record for record in self.records if wanted(record)]
        self.offsets = [record.offset for record in self.records]

    def read(self, position: int, max_records: int, max_bytes: int) -> tuple[list[Record], int]:
        """At most so many records from the position, and the position after them."""
        index = bisect_left(self.offsets, position)
        records = []
        for record in self.records[index : index + max_records]:
            records.append(record)
            max_bytes -= size_of(record)
            if max_bytes <= 0:
                break
        read_all = index + len(records) == len(self.records)
        return records, self.end if read_all else records[-1].offset + 1


class _Topic:
    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self.identity = str(uuid.uuid4())
        self.partitions = [_Partition() for _ in range(partitions)]
        self.turn = 0

    def refusal(self, new: NewRecord) -> LogError | None:
        """Why a record cannot be added."""
        if new.partition is not None and not 0 <= new.partition < len(self.partitions):
            return TopicAbsent(self.name)
        return refusal(new)

    def choose(self, key: bytes | None) -> int:
        """The partition of a new record that names none."""
        if key is not None:
            return zlib.crc32(key) % len(self.partitions)
        self.turn += 1
        return (self.turn - 1) % len(self.partitions)


class MemoryLog:
    """An EventLog of one process. The methods without `async` change it at once, and wake who waits.

    With `available = False` every call raises LogUnavailable, also those that are waiting. Retention is not applied:
    call `truncate`.
    """

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._topics: dict[str, _Topic] = {}
        self.writers: dict[str, MemoryWriter] = {}
        """The newest writer of each name; it holds the position."""
        self._available = True
        self._changed = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether the log answers."""
        return self._available

    @available.setter
    def available(self, value: bool) -> None:
        self._available = value
        self._wake()

    # What a test does to the log.

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """Create a topic; one that exists stays as it is."""
        self._topics.setdefault(topic, _Topic(topic, partitions))
        self._wake()

    def delete_topic(self, topic: str) -> None:
        """Delete a topic with its records; a reader that waits on it raises TopicAbsent."""
        self._topics.pop(topic, None)
        self._wake()

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Raise the number of partitions of a topic to this."""
        found = self.topic(topic)
        found.partitions.extend(_Partition() for _ in range(partitions - len(found.partitions)))
        self._wake()

    def truncate(self, topic: str, partition: int, start: int) -> None:
        """Expire all records before `start`, which becomes the partition's first offset."""
        found = self.partition(TopicPartition(topic, partition))
        found.start = max(found.start, start)
        found.end = max(found.end, found.start)
        found.keep(lambda record: record.offset >= found.start)
        self._wake()

    def compact(self, topic: str, partition: int, offsets: Collection[int]) -> None:
        """Take the records at these offsets away; start and end stay."""
        self.partition(TopicPartition(topic, partition)).keep(lambda record: record.offset not in offsets)

    def mark(self, topic: str, partition: int, count: int = 1) -> None:
        """Use up offsets without a record, as a transaction marker does."""
        self.partition(TopicPartition(topic, partition)).end += count
        self._wake()

    def append_now(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append all of the records or, after an error, none. Raises TopicAbsent; does not look at `available`."""
        found = self.topic(topic)
        for new in records:
            if (error := found.refusal(new)) is not None:
                raise error
        return all_stored(self.offer_now(topic, records))

    def offer_now(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """`offer`, synchronously. Raises TopicAbsent; does not look at `available`."""
        found = self.topic(topic)
        fates = [found.refusal(new) or self._add(topic, found, new) for new in records]
        self._wake()
        return fates

    def _add(self, topic: str, found: _Topic, new: NewRecord) -> Fate:
        number = new.partition if new.partition is not None else found.choose(new.key)
        partition = found.partitions[number]
        offset = partition.end
        timestamp = new.timestamp if new.timestamp is not None else self._now()
        partition.add(Record(topic, number, offset, timestamp, new.key, new.value, new.headers))
        return TopicPartition(topic, number), offset

    # The port.

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to release."""

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState]:
        """See EventLog."""
        self.check()
        found = {name: self._topics[name] for name in topics if name in self._topics}
        return {name: TopicState(topic.identity, len(topic.partitions)) for name, topic in found.items()}

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """See EventLog."""
        self.check()
        found = {partition: self.partition(partition) for partition in partitions}
        return {partition: Bounds(state.start, state.end) for partition, state in found.items()}

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """See EventLog."""
        self.check()
        return {
            partition: next(
                (record.offset for record in self.partition(partition).records if record.timestamp >= wanted), None
            )
            for partition, wanted in times.items()
        }

    async def reader(self, positions: Mapping[TopicPartition, int]) -> MemoryReader:
        """See EventLog."""
        self.check()
        return MemoryReader(self, positions)

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """See EventLog; the retention is not applied."""
        self.check()
        self.create_topic(topic, partitions)

    async def delete(self, topic: str) -> None:
        """Delete a topic; one that does not exist is no error."""
        self.check()
        self.delete_topic(topic)

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        self.check()
        return self.offer_now(topic, records)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See EventLog."""
        return all_stored(await self.offer(topic, records))

    async def writer(self, name: str) -> MemoryWriter:
        """See EventLog."""
        self.check()
        before = self.writers.get(name)
        writer = self.writers[name] = MemoryWriter(self, name, before.position if before is not None else None)
        return writer

    # What the reader and the writer use.

    def check(self) -> None:
        """Raise LogUnavailable where the log is set so."""
        if not self._available:
            raise LogUnavailable("the log in memory is set unavailable")

    def topic(self, name: str) -> _Topic:
        """The topic, or TopicAbsent."""
        if name not in self._topics:
            raise TopicAbsent(name)
        return self._topics[name]

    def partition(self, partition: TopicPartition) -> _Partition:
        """The partition, or TopicAbsent."""
        partitions = self.topic(partition.topic).partitions
        if not 0 <= partition.partition < len(partitions):
            raise TopicAbsent(partition.topic)
        return partitions[partition.partition]

    async def change(self) -> None:
        """Return at the next change of the log."""
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class MemoryWriter:
    """A LogWriter over a MemoryLog."""

    def __init__(self, log: MemoryLog, name: str, position: bytes | None) -> None:
        self._log = log
        self._name = name
        self.position = position

    async def append(
        self, topic: str, records: Sequence[NewRecord], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        """See LogWriter."""
        self._log.check()
        if self._log.writers[self._name] is not self:
            raise WriterFenced(self._name)
        places = self._log.append_now(topic, records)
        self.position = position
        return places

    async def close(self) -> None:
        """Nothing to release."""


class MemoryReader:
    """A LogReader over a MemoryLog."""

    def __init__(self, log: MemoryLog, positions: Mapping[TopicPartition, int]) -> None:
        self._log = log
        self._positions = dict(positions)
        self._states: dict[TopicPartition, _Partition] = {}

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """See LogReader. Whether the partitions exist is told by `fetch`."""
        self._log.check()
        self._positions = dict(positions)
        self._states = {}

    @property
    def more(self) -> bool:
        """See LogReader."""
        return any(
            partition in self._states and position < self._states[partition].end
            for partition, position in self._positions.items()
        )

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch]:
        """See LogReader."""
        try:
            async with asyncio.timeout(wait):
                while True:
                    if batches := self._read(max_records, partitions, max_bytes):
                        return batches
                    await self._log.change()
        except TimeoutError:
            return []

    async def close(self) -> None:
        """Nothing to release."""

    def _read(self, max_records: int, partitions: Collection[TopicPartition] | None, max_bytes: int) -> list[Batch]:
        """What there is; the partitions read go to the back of the queue, so that none starves."""
        self._log.check()
        wanted = [partition for partition in self._positions if partitions is None or partition in partitions]
        states = [(partition, self._state(partition)) for partition in wanted]
        batches = []
        for partition, state in states:
            if max_records > 0 and max_bytes > 0 and state.end > self._positions[partition]:
                records, position = state.read(self._positions.pop(partition), max_records, max_bytes)
                self._positions[partition] = position
                max_records -= len(records)
                max_bytes -= sum(map(size_of, records))
                batches.append(Batch(partition, records, position))
        return batches

    def _state(self, partition: TopicPartition) -> _Partition:
        """The partition as it was when the reader met it first: one created again is another, and this one absent."""
        state = self._log.partition(partition)
        if self._states.setdefault(partition, state) is not state:
            raise TopicAbsent(partition.topic)
        position = self._positions[partition]
        if not state.start <= position <= state.end:
            raise OffsetOutOfRange(partition.topic, partition.partition, position)
        return state

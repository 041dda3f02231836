"""An event log in memory: for tests and simulation. Nothing is kept, and every failure can be set by hand."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from gateway.catalog.stream import Retention
from gateway.errors import LogUnavailable, TopicAbsent, WriterFenced
from gateway.eventlog.memory.membership import MemoryMembership
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.memory.topic import MemoryTopic, Partition
from gateway.eventlog.offer import Fate, all_stored
from gateway.eventlog.port import NO_STAMPS, Bounds, TopicState
from gateway.eventlog.trouble import Trouble, absent, refuse
from gateway.model.record import NewRecord, Record, TopicPartition

Key = TypeVar("Key")


class MemoryLog:
    """An EventLog of one process. The methods without `async` change it at once, and wake who waits.

    With `available = False` every call raises LogUnavailable, also those that are waiting. Retention is not applied:
    call `truncate`.
    """

    def __init__(self, now: Callable[[], int] | None = None, spans_hosts: bool = False) -> None:
        self.spans_hosts = spans_hosts
        """See EventLog."""
        self.members: dict[str, MemoryMembership] = {}
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._identity = str(uuid.uuid4())
        self._topics: dict[str, MemoryTopic] = {}
        self.writers: dict[str, MemoryWriter] = {}
        """The newest writer of each name; it holds the position."""
        self._available = True
        self._changed = asyncio.Event()
        self._topic_troubles: dict[str, Trouble] = {}
        self._troubles: dict[TopicPartition, Trouble] = {}
        self._unreadable: dict[TopicPartition, list[Trouble]] = {}

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
        self._topics.setdefault(topic, MemoryTopic(topic, partitions))
        self._wake()

    def delete_topic(self, topic: str) -> None:
        """Delete a topic with its records; a reader that waits on it raises TopicAbsent."""
        self._topics.pop(topic, None)
        self._wake()

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Raise the number of partitions of a topic to this."""
        found = self.topic(topic)
        found.partitions.extend(Partition() for _ in range(partitions - len(found.partitions)))
        self._wake()

    def truncate(self, topic: str, partition: int, start: int) -> None:
        """Expire all records before `start`, which becomes the partition's first offset."""
        found = self.partition(TopicPartition(topic, partition))
        found.start = max(found.start, start)
        found.end = max(found.end, found.start)
        found.keep(lambda record: record.offset >= found.start)
        self._wake()

    def cut(self, topic: str, partition: int, end: int) -> None:
        """Lose what stands at `end` and after it, as after an unclean election."""
        self.partition(TopicPartition(topic, partition)).cut(end)
        self._wake()

    def compact(self, topic: str, partition: int, offsets: Collection[int]) -> None:
        """Take the records at these offsets away; start and end stay."""
        self.partition(TopicPartition(topic, partition)).keep(lambda record: record.offset not in offsets)

    def mark(self, topic: str, partition: int, count: int = 1) -> None:
        """Use up offsets without a record, as a transaction marker does."""
        self.partition(TopicPartition(topic, partition)).end += count
        self._wake()

    def hide(self, topic: str, trouble: Trouble | None) -> None:
        """Tell nothing of a topic but this, or tell all again."""
        _set(self._topic_troubles, topic, trouble)
        self._wake()

    def refuse(self, partition: TopicPartition, trouble: Trouble | None) -> None:
        """Give nothing of a partition that is described, or give it again."""
        _set(self._troubles, partition, trouble)
        self._wake()

    def spoil(self, partition: TopicPartition, trouble: Trouble | None) -> None:
        """Make a partition unreadable from the offset of the trouble on, up to its end if it has one, or readable
        again. Its bounds stay known."""
        if trouble is None:
            self._unreadable.pop(partition, None)
        else:
            self._unreadable.setdefault(partition, []).append(trouble)
        self._wake()

    def append_now(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append all of the records or, after an error, none. Raises TopicAbsent; does not look at `available`."""
        self.topic(topic)
        return self.append_to_topics([(topic, new) for new in records])

    def append_to_topics(self, records: Sequence[tuple[str, NewRecord]]) -> list[tuple[TopicPartition, int]]:
        """`append_now`, each record to the topic beside it."""
        for topic, new in records:
            if (error := self.topic(topic).refusal(new)) is not None:
                raise error
        fates = [self._add(topic, self.topic(topic), new) for topic, new in records]
        self._wake()
        return all_stored(fates)

    def offer_now(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """`offer`, synchronously. Raises TopicAbsent; does not look at `available`."""
        found = self.topic(topic)
        fates = [found.refusal(new) or self._add(topic, found, new) for new in records]
        self._wake()
        return fates

    def _add(self, topic: str, found: MemoryTopic, new: NewRecord) -> Fate:
        number = new.partition if new.partition is not None else found.choose(new.key)
        partition = found.partitions[number]
        offset = partition.end
        timestamp = new.timestamp if new.timestamp is not None else self._now()
        partition.add(Record(topic, number, offset, timestamp, new.key, new.value, new.headers))
        return TopicPartition(topic, number), offset

    # The port.

    @property
    def keeps_claims(self) -> bool:
        """See EventLog."""
        return False

    @property
    def erasable(self) -> bool:
        """See EventLog."""
        return True

    async def erase(self, topic: str, matches: Callable[[Record], bool]) -> int:
        """See EventLog."""
        self.check()
        return self.topic(topic).erase(matches)

    async def settle(self, topic: str) -> None:
        """See EventLog. Offered records are stored at once, or never."""
        self.check()

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to release."""

    async def identity(self) -> str:
        """See EventLog."""
        self.check()
        return self._identity

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        """See EventLog."""
        self.check()
        found: dict[str, TopicState | Trouble] = {}
        for name in topics:
            if name in self._topic_troubles:
                found[name] = self._topic_troubles[name]
            elif name in self._topics:
                topic = self._topics[name]
                found[name] = TopicState(topic.identity, len(topic.partitions), topic.erasures)
        return found

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        """See EventLog."""
        self.check()
        found: dict[TopicPartition, Bounds | Trouble] = {}
        for partition in partitions:
            state = self.state(partition)
            found[partition] = state if isinstance(state, Trouble) else Bounds(state.start, state.end)
        return found

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        """See EventLog."""
        self.check()
        found: dict[TopicPartition, int | Trouble | None] = {}
        for partition, wanted in times.items():
            state = self.state(partition)
            if isinstance(state, Trouble):
                found[partition] = state
            else:
                found[partition] = next((r.offset for r in state.records if r.timestamp >= wanted), None)
        return found

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        """See EventLog."""
        self.check()
        return MemoryReader(self, positions, stamps)

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """See EventLog; the retention is not applied, and nothing is compacted but by `compact`."""
        self.check()
        self.create_topic(topic, partitions)

    async def delete(self, topic: str) -> None:
        """Delete a topic; one that does not exist is no error."""
        self.check()
        self.delete_topic(topic)

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        self.check()
        self.check_topic(topic)
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

    async def join(self, on_change: Callable[[], None]) -> MemoryMembership:
        """See EventLog. A member that is paused stays one, until a test calls `expel`."""
        return MemoryMembership(self.members, on_change)

    # What the reader and the writer use.

    def check(self) -> None:
        """Raise LogUnavailable where the log is set so."""
        if not self._available:
            raise LogUnavailable("the log in memory is set unavailable")

    def check_topic(self, topic: str) -> None:
        """Raise Refused where the log is set to tell nothing of the topic."""
        if trouble := self._topic_troubles.get(topic):
            refuse({TopicPartition(topic, 0): trouble})

    def topic(self, name: str) -> MemoryTopic:
        """The topic, or TopicAbsent."""
        if name not in self._topics:
            raise TopicAbsent(name)
        return self._topics[name]

    def partition(self, partition: TopicPartition) -> Partition:
        """The partition, or TopicAbsent."""
        partitions = self.topic(partition.topic).partitions
        if not 0 <= partition.partition < len(partitions):
            raise TopicAbsent(partition.topic)
        return partitions[partition.partition]

    def state(self, partition: TopicPartition) -> Partition | Trouble:
        """The partition, or why it is not given."""
        trouble = self._topic_troubles.get(partition.topic) or self._troubles.get(partition)
        if trouble is not None:
            return trouble
        try:
            return self.partition(partition)
        except TopicAbsent:
            return absent(partition.topic)

    def spoilt(self, partition: TopicPartition, position: int) -> Trouble | None:
        """Why the partition cannot be read from this position on, or from a later one."""
        found = [each for each in self._unreadable.get(partition, []) if each.beyond < 0 or each.beyond > position]
        return min(found, key=lambda each: each.offset, default=None)

    async def change(self) -> None:
        """Return at the next change of the log."""
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _set(troubles: dict[Key, Trouble], key: Key, trouble: Trouble | None) -> None:
    troubles.pop(key, None)
    if trouble is not None:
        troubles[key] = trouble


class MemoryWriter:
    """A LogWriter over a MemoryLog."""

    def __init__(self, log: MemoryLog, name: str, position: bytes | None) -> None:
        self._log = log
        self._name = name
        self.position = position

    async def append(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        """See LogWriter."""
        self._log.check()
        if self._log.writers[self._name] is not self:
            raise WriterFenced(self._name)
        locations = self._log.append_to_topics(records)
        self.position = position
        return locations

    async def close(self) -> None:
        """Nothing to release."""

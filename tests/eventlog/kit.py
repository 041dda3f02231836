"""What the tests of every adapter share: a log, and what is done to it behind its back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete

from gateway.archive.layout import Place
from gateway.archive.log import ArchivedLog
from gateway.archive.table import Position
from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import Batch, EventLog, LogReader, TopicState
from gateway.eventlog.trouble import Refusal, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.archive.kit import Desk

Result = TypeVar("Result")

WAIT = 30.0
"""Seconds until something that is sure to come counts as missing."""

START = time.time_ns() // 1_000_000 - 3_600_000
"""A time in the past (ms), within every log's retention."""


class DeletingLog(EventLog, Protocol):
    """An EventLog that can delete topics, as all adapters can."""

    async def delete(self, topic: str) -> None:
        """Delete a topic."""
        ...


class Bench(Protocol):
    """A log under test."""

    log: DeletingLog

    async def truncate(self, partition: TopicPartition, start: int) -> None:
        """Expire the records before an offset."""
        ...

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """Raise the number of partitions to this."""
        ...


class CuttableBench(Bench, Protocol):
    """One that can be cut back while it is in use."""

    async def cut(self, partition: TopicPartition, end: int) -> None:
        """Lose the records from an offset on, as if they had never been."""
        ...


def numbered(count: int, size: int = 0) -> list[NewRecord]:
    """So many records for the first partition, a millisecond apart from `START` on; `size` bytes are added to each."""
    return [NewRecord(b"%d" % number + b"." * size, timestamp=START + number, partition=0) for number in range(count)]


def to(topic: str, records: Sequence[NewRecord]) -> list[tuple[str, NewRecord]]:
    """Records for a LogWriter, all to one topic."""
    return [(topic, new) for new in records]


async def refused(reader: LogReader, partition: TopicPartition) -> Trouble:
    """What the reader tells of the partition, which it then reads no further."""
    (refusal,) = await reader.fetch(WAIT)
    assert isinstance(refusal, Refusal)
    assert refusal.partition == partition
    assert await reader.fetch(0.05) == [], "a refusal is told once"
    return refusal.trouble


class MemoryBench:
    """A log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self._memory = log
        self.log: DeletingLog = log

    async def truncate(self, partition: TopicPartition, start: int) -> None:
        """See Bench."""
        self._memory.truncate(*partition, start)

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """See Bench."""
        self._memory.add_partitions(topic, partitions)

    async def cut(self, partition: TopicPartition, end: int) -> None:
        """See CuttableBench."""
        self._memory.cut(*partition, end)


class SqliteBench:
    """A log in a file."""

    def __init__(self, log: DeletingLog, path: Path) -> None:
        self._path = path
        self.log = log

    async def truncate(self, partition: TopicPartition, start: int) -> None:
        """See Bench."""
        where = "topic = (SELECT id FROM topics WHERE name = ?) AND number = ?"
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(f"UPDATE partitions SET first = ? WHERE {where}", (start, *partition))
            connection.execute(
                f"DELETE FROM records WHERE partition = (SELECT id FROM partitions WHERE {where}) AND offset < ?",
                (*partition, start),
            )

    async def cut(self, partition: TopicPartition, end: int) -> None:
        """See CuttableBench."""
        where = "topic = (SELECT id FROM topics WHERE name = ?) AND number = ?"
        of_it = f"partition = (SELECT id FROM partitions WHERE {where})"
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(f"DELETE FROM records WHERE {of_it} AND offset >= ?", (*partition, end))
            last = f"(SELECT total FROM records WHERE {of_it} ORDER BY offset DESC LIMIT 1)"
            connection.execute(
                f"UPDATE partitions SET next = ?, total = ifnull({last}, 0) WHERE {where}",
                (end, *partition, *partition),
            )

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """See Bench."""
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(
                "INSERT INTO partitions (topic, number) SELECT id, ? FROM topics WHERE name = ?",
                (partitions - 1, topic),
            )


class ForgetfulLog(ArchivedLog):
    """A log over one in memory that forgets all of its records once they are archived, after every append: what is read
    of it comes from the archive."""

    def __init__(self, memory: MemoryLog, path: Path) -> None:
        self.memory = memory
        self._path = path
        self._desks: dict[str, Desk] = {}
        super().__init__(memory, lambda name: self._desks[name].archive)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See EventLog."""
        locations = await super().append(topic, records)
        await self.forget(topic)
        return locations

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        fates = await super().offer(topic, records)
        await self.forget(topic)
        return fates

    async def delete(self, topic: str) -> None:
        """Delete a topic."""
        await self.memory.delete(topic)

    async def forget(self, topic: str) -> None:
        """Archive all of a topic, and let the log forget it."""
        if topic not in self._desks:
            self._desks[topic] = Desk(self._path / topic, self.memory, topic)
            self.archives = {name: desk.archive for name, desk in self._desks.items()}
        await self._desks[topic].copy()
        state = existing(await self.memory.describe([topic]))[topic]
        for number in range(state.partitions):
            partition = TopicPartition(topic, number)
            self.memory.truncate(topic, number, self.memory.partition(partition).end)

    def expire(self, partition: TopicPartition, identity: str, start: int) -> None:
        """Let the archive begin at an offset."""
        table, place = self._desks[partition.topic].table, Place(identity, partition)
        name = place.application("start")
        table.refresh()
        table.commit([], [], [Position(name, table.position(name), start)])
        self._desks[partition.topic].archive.refresh()


class ArchivedBench:
    """A log of which nothing is left but the archive."""

    def __init__(self, log: ForgetfulLog) -> None:
        self._forgetful = log
        self.log: DeletingLog = log

    async def truncate(self, partition: TopicPartition, start: int) -> None:
        """See Bench."""
        state = existing(await self.log.describe([partition.topic]))[partition.topic]
        self._forgetful.expire(partition, state.identity, start)

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """See Bench."""
        self._forgetful.memory.add_partitions(topic, partitions)


class KafkaBench:
    """A log in Kafka."""

    def __init__(self, log: DeletingLog, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.log = log

    async def truncate(self, partition: TopicPartition, start: int) -> None:
        """See Bench."""
        async with kafka_admin(self.bootstrap) as admin:
            await admin.delete_records({KafkaPartition(*partition): RecordsToDelete(start)}, timeout_ms=5000)

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """See Bench."""
        async with kafka_admin(self.bootstrap) as admin:
            await admin.create_partitions({topic: NewPartitions(partitions)})


@asynccontextmanager
async def kafka_admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Kafka's own administration."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create_topic(bootstrap: str, topic: str, partitions: int = 1, **settings: str) -> None:
    """Create a topic and wait until its partitions have leaders: a broker answers before its own metadata know of it.
    Underscores in the names of settings stand for dots."""
    configs = {name.replace("_", "."): value for name, value in settings.items()}
    async with kafka_admin(bootstrap) as admin:
        await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    log = KafkaLog([bootstrap])
    await log.open()
    try:
        await patiently(lambda: log.create(topic, partitions))
    finally:
        await log.close()


async def patiently(call: Callable[[], Awaitable[Result]]) -> Result:
    """What a call of the log gives, made again where it has ended in time: a broker that has just started, or has no
    core for itself, may take longer than a call does."""
    async with asyncio.timeout(3 * WAIT):
        while True:
            with suppress(LogUnavailable):
                return await call()
            # The broker needs the core that would be taken by asking at once.
            await asyncio.sleep(0.05)


async def take(reader: LogReader, count: int, max_records: int = 1000) -> list[Record]:
    """So many records, in the order of the batches; each batch is checked to be in order and to end at its position."""
    records: list[Record] = []
    while len(records) < count:
        batches = await reader.fetch(WAIT, max_records)
        assert batches, f"{len(records)} of {count} records came"
        for batch in batches:
            assert isinstance(batch, Batch), batch
            offsets = [record.offset for record in batch.records]
            assert offsets == sorted(set(offsets))
            assert all(TopicPartition(record.topic, record.partition) == batch.partition for record in batch.records)
            assert not offsets or offsets[-1] < batch.position
            records += batch.records
    return records


def batches_of(found: Sequence[Batch | Refusal]) -> list[Batch]:
    """The batches, where nothing is refused."""
    batches = [one for one in found if isinstance(one, Batch)]
    assert len(batches) == len(found), found
    return batches


def existing(told: Mapping[str, TopicState | Trouble]) -> dict[str, TopicState]:
    """The states of topics, where the log tells of each."""
    states = {topic: state for topic, state in told.items() if isinstance(state, TopicState)}
    assert states.keys() == told.keys(), told
    return states

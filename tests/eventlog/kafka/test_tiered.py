"""The log in a Kafka that moves its older segments to a tiered storage (KIP-405): all is read as if it were local."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from gateway.archive.archive import Archive
from gateway.archive.log import ArchivedLog
from gateway.catalog.stream import Stream
from gateway.eventlog.kafka import troubles as kafka_troubles
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import SICK_SECONDS, Batch, Bounds
from gateway.eventlog.trouble import Kind, Refusal
from gateway.model.record import NewRecord, Record, TopicPartition
from loadtests.zookeeper import version_of
from tests.archive.kit import Desk
from tests.conftest import absent
from tests.eventlog.kit import START, WAIT, KafkaBench, create_topic, take
from tests.eventlog.unhurried import without_haste
from tests.routes.kit import frames, running
from tests.services.kafka import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.long]

TIERED, OTHER = "tiered", "other"
SEGMENT = 1 << 20
"""Bytes, the fewest that Kafka allows."""
PADDING = "x" * 10_000


def properties(jar: Path, directory: Path) -> dict[str, str]:
    """The settings of a broker that moves segments at once."""
    return {
        "remote.log.storage.system.enable": "true",
        "remote.log.storage.manager.class.name": "org.apache.kafka.server.log.remote.storage.LocalTieredStorage",
        "remote.log.storage.manager.class.path": str(jar),
        "remote.log.storage.manager.impl.prefix": "rsm.config.",
        "rsm.config.dir": str(directory),
        "remote.log.metadata.manager.listener.name": "CLIENTS",
        "remote.log.metadata.manager.impl.prefix": "rlmm.config.",
        "rlmm.config.remote.log.metadata.topic.replication.factor": "1",
        "rlmm.config.remote.log.metadata.topic.num.partitions": "1",
        "remote.log.manager.task.interval.ms": "200",
    }


class Filled(NamedTuple):
    """A topic of two partitions, and the records that readers are shown, in order of their times. All but the newest
    segment of each partition is in the tiered storage alone; `local` is where that begins."""

    topic: str
    records: list[Record]
    local: dict[TopicPartition, int]

    def of(self, partition: TopicPartition, position: int = 0) -> list[Record]:
        """What is to be read of a partition from a position on."""
        return [each for each in self.records if (each.topic, each.partition) == partition and each.offset >= position]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the tiered storage."""
    return tmp_path_factory.mktemp("store") / "tier"


@pytest.fixture(scope="module")
def tiering(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path, store: Path) -> Iterator[KafkaBroker]:
    """A broker with a tiered storage."""
    place = kafka_jars.resolve().parent / "kafka-tiered"
    if not place.exists():
        absent(f"{place} has no tiered storage")
    major, minor = version_of(kafka_jars)
    jar = next(place.glob(f"kafka-storage-{major}.{minor}.*-test.jar"), None)
    if jar is None:
        pytest.skip("the tiered storage is that of another Kafka")
    broker = KafkaBroker(tmp_path_factory.mktemp("tiering"), kafka_jars, properties=properties(jar, store))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="module")
def filled(tiering: KafkaBroker) -> Filled:
    """One that tests only read."""
    with without_haste():
        return asyncio.run(fill(tiering, TIERED))


@pytest.fixture
async def log(tiering: KafkaBroker, no_haste: None) -> AsyncIterator[KafkaLog]:
    log = KafkaLog([tiering.bootstrap])
    await log.open()
    yield log
    await log.close()


async def fill(broker: KafkaBroker, topic: str) -> Filled:
    """Write, in the old segments a transaction that is aborted and one that is not, and wait until they are moved."""
    settings = {"remote_storage_enable": "true", "local_retention_bytes": "1", "segment_bytes": str(SEGMENT)}
    await create_topic(broker.bootstrap, topic, 2, **settings)
    numbers, records = count(), list[Record]()

    def new(partition: int) -> NewRecord:
        number = next(numbers)
        return NewRecord(orjson.dumps({"n": number, "text": PADDING}), b"k%d" % number, START + number, partition)

    log = KafkaLog([broker.bootstrap])
    await log.open()

    async def append(size: int) -> None:
        given = [new(number % 2) for number in range(size)]
        for each, (partition, offset) in zip(given, await log.append(topic, given), strict=True):
            records.append(Record(*partition, offset, each.timestamp or 0, each.key, each.value))

    async def transact(producer: AIOKafkaProducer, size: int, commit: bool) -> None:
        await producer.begin_transaction()
        for each in [new(0) for _ in range(size)]:
            told = await producer.send_and_wait(topic, each.value, each.key, each.partition, each.timestamp)
            if commit:
                records.append(Record(topic, 0, told.offset, told.timestamp, each.key, each.value))
        await (producer.commit_transaction() if commit else producer.abort_transaction())

    await append(120)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic) as producer:
        await transact(producer, 10, commit=False)
        await transact(producer, 10, commit=True)
    for _ in range(4):
        await append(120)
    await log.close()
    async with asyncio.timeout(6 * WAIT):
        while any(len(broker.segments(topic, number)) > 1 for number in range(2)):  # noqa: ASYNC110  # files
            await asyncio.sleep(0.05)
    local = {TopicPartition(topic, number): int(broker.segments(topic, number)[0].stem) for number in range(2)}
    assert all(100 < start < 300 for start in local.values()), local
    return Filled(topic, records, local)


async def test_bounds_and_times_reach_into_the_tiered_part(log: KafkaLog, filled: Filled) -> None:
    zero, one = filled.local
    ends = {partition: filled.of(partition)[-1].offset + 1 for partition in (zero, one)}
    assert await log.bounds([zero, one]) == {partition: Bounds(0, end) for partition, end in ends.items()}
    # Not in the other one, whose transactions end with records of their own, of the time at which they ended.
    expected = filled.of(one)
    for record in expected[::29]:
        assert await log.find({one: record.timestamp}) == {one: record.offset}
    assert await log.find({one: 0}) == {one: 0}
    assert await log.find({one: expected[-1].timestamp + 1}) == {one: None}


async def test_all_is_read_from_any_position(log: KafkaLog, filled: Filled) -> None:
    reader = await log.reader(dict.fromkeys(filled.local, 0))
    records = await take(reader, len(filled.records))
    await reader.close()
    for partition, local in filled.local.items():
        assert [each for each in records if (each.topic, each.partition) == partition] == filled.of(partition)
        for position in (1, local // 2, local - 1, local, local + 1):
            expected = filled.of(partition, position)
            reader = await log.reader({partition: position})
            assert await take(reader, len(expected)) == expected
            await reader.close()


async def test_a_position_is_trusted_by_its_stamp(log: KafkaLog, filled: Filled) -> None:
    partition = TopicPartition(TIERED, 0)
    reader = await log.reader({partition: 0})
    (batch,) = await reader.fetch(WAIT, 5)
    await reader.close()
    assert isinstance(batch, Batch)
    expected = filled.of(partition, batch.position)
    reader = await log.reader({partition: batch.position}, {partition: batch.stamp})
    assert await take(reader, len(expected)) == expected
    await reader.close()


class OverKafka(KafkaLog):
    """With what the kit of the routes does to a log in memory."""

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """It is there."""


async def test_a_replay_is_whole(tiering: KafkaBroker, filled: Filled) -> None:
    log = OverKafka([tiering.bootstrap])
    small = {"ring_bytes": 65_536, "ring_fill": 0.0, "replay_cache_bytes": 0}
    last = filled.records[-1].timestamp
    asked = f"/v2/stream/{TIERED}?since={START}&until={last}"
    async with running(log, [Stream(TIERED, (TIERED,))], **small) as site:  # type: ignore[arg-type]
        answer = await site.get(asked)
        events = [frame for frame in frames(answer.content) if frame.event == "message"]
        assert [event.json()["n"] for event in events] == [
            orjson.loads(each.value or b"")["n"] for each in filled.records[:-1]
        ]
        resumed = await site.get(asked, headers={"last-event-id": events[50].id})
        again = [frame for frame in frames(resumed.content) if frame.event == "message"]
        assert [(event.id, event.data) for event in again] == [(event.id, event.data) for event in events[51:]]


async def test_while_the_storage_is_away_the_local_part_is_read(
    tiering: KafkaBroker, store: Path, log: KafkaLog, filled: Filled
) -> None:
    zero, one = filled.local
    expected = filled.of(one, filled.local[one])
    away = store.rename(store.with_name("away"))  # noqa: ASYNC240
    try:
        reader = await log.reader({zero: 0, one: filled.local[one]})
        records: list[Record] = []
        troubles: list[Refusal] = []
        with pytest.MonkeyPatch.context() as patch:
            # As in a gateway: it is told after some seconds in which it has not passed.
            patch.setattr(kafka_troubles, "SICK_SECONDS", SICK_SECONDS)
            async with asyncio.timeout(3 * WAIT):
                while not troubles or len(records) < len(expected):
                    for found in await reader.fetch(WAIT):
                        if isinstance(found, Refusal):
                            troubles.append(found)
                        else:
                            records += found.records
    finally:
        shutil.rmtree(store, ignore_errors=True)  # The broker has made another.
        away.rename(store)
    assert records == expected
    assert [(each.partition, each.trouble.kind) for each in troubles] == [(zero, Kind.UNAVAILABLE)]
    await reader.add({zero: 0})
    assert await take(reader, len(filled.of(zero))) == filled.of(zero)
    await reader.close()


async def test_an_archive_and_a_tiered_storage_go_together(tiering: KafkaBroker, log: KafkaLog, tmp_path: Path) -> None:
    """The archive begins with the oldest record that Kafka has anywhere, and goes on where Kafka has deleted it."""
    filled = await fill(tiering, OTHER)
    desk = Desk(tmp_path / OTHER, log, OTHER)
    progress = await desk.copy()
    assert (progress.records, progress.lost, progress.behind) == (len(filled.records), 0, 0)
    (zero, local), (one, _) = filled.local.items()
    bench = KafkaBench(log, tiering.bootstrap)
    await bench.truncate(zero, local // 2)
    await bench.truncate(one, filled.of(one)[-1].offset + 1)
    assert await log.bounds([zero]) == {zero: Bounds(local // 2, filled.of(zero)[-1].offset + 1)}
    refused = await log.reader({zero: 0})
    (found,) = await refused.fetch(WAIT)
    await refused.close()
    assert isinstance(found, Refusal)
    assert found.trouble.kind is Kind.OUT_OF_RANGE

    archived = ArchivedLog(log, lambda _: Archive(OTHER, desk.table, desk.store))
    archived.archives = {OTHER: desk.archive}
    assert (await archived.bounds([zero]))[zero] == Bounds(0, filled.of(zero)[-1].offset + 1)
    reader = await archived.reader({zero: 0, one: 0})
    records = await take(reader, len(filled.records))
    await reader.close()
    for partition in filled.local:
        assert [each for each in records if each.partition == partition.partition] == filled.of(partition)

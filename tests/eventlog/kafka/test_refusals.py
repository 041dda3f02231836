"""What Kafka's brokers refuse, each record by itself; and a broker that hangs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from gateway.errors import LogError, LogForbids, LogUnavailable
from gateway.eventlog.kafka import producer as kafka_producer
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.offer import OFFER_SECONDS
from gateway.eventlog.trouble import Kind
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import create_topic, patiently, take
from tests.eventlog.unhurried import without_haste
from tests.kit.stopwatch import stopwatch
from tests.services.kafka import KafkaBroker, KafkaCluster

YEAR = 365 * 24 * 3_600_000


@pytest.fixture
async def log(kafka: str, no_haste: None) -> AsyncIterator[KafkaLog]:
    log = KafkaLog([kafka])
    await log.open()
    yield log
    await log.close()


async def stored(log: KafkaLog, topic: str, count: int) -> list[bytes | None]:
    reader = await log.reader({TopicPartition(topic, 0): 0})
    values = [record.value for record in await take(reader, count)]
    await reader.close()
    return values


@pytest.mark.kafka
async def test_records_that_a_topic_refuses_leave_the_others_alone(kafka: str, log: KafkaLog, topic: str) -> None:
    await create_topic(kafka, topic, message_timestamp_after_max_ms="3600000", max_message_bytes="20000")
    offered = [NewRecord(b"%d" % number + b"." * 500, partition=0) for number in range(200)]
    offered[50] = NewRecord(b"large" * 5000)
    offered[120] = NewRecord(b"late", timestamp=100 * YEAR)
    offered[121] = NewRecord(b"later", timestamp=100 * YEAR)
    fates = await log.offer(topic, offered)
    bad = {index: fate for index, fate in enumerate(fates) if isinstance(fate, LogError)}
    assert bad.keys() == {50, 120, 121}
    assert not any(isinstance(fate, LogUnavailable) for fate in bad.values())
    assert "imestamp" in str(bad[120])
    good = [new.value for index, new in enumerate(offered) if index not in bad]
    assert await stored(log, topic, len(good)) == good
    assert [fate for fate in fates if not isinstance(fate, LogError)] == [
        (TopicPartition(topic, 0), offset) for offset in range(len(good))
    ]


@pytest.mark.kafka
async def test_a_compacted_topic_takes_nothing_without_a_key(kafka: str, log: KafkaLog, topic: str) -> None:
    await create_topic(kafka, topic, cleanup_policy="compact")
    fates = await log.offer(topic, [NewRecord(b"a", b"k"), NewRecord(b"b"), NewRecord(b"c", b"l"), NewRecord(b"d")])
    partition = TopicPartition(topic, 0)
    assert [fates[0], fates[2]] == [(partition, 0), (partition, 1)]
    assert [type(fate) for fate in fates] == [tuple, LogError, tuple, LogError]
    assert await stored(log, topic, 2) == [b"a", b"c"]


@pytest.mark.kafka
async def test_too_few_replicas_are_told(cluster: KafkaCluster, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = KafkaLog(cluster.bootstrap.split(","))
    try:
        with without_haste():
            await log.open()
            await log._create(topic, 1, {"min.insync.replicas": "3"})
            await log.append(topic, [NewRecord(b"before")])
        cluster.brokers[3].kill()
        monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 1.0)
        told = LogUnavailable()
        async with asyncio.timeout(60):
            # A moment may pass before the brokers notice.
            while told.kind != Kind.TOO_FEW_REPLICAS:
                try:
                    await log.offer(topic, [NewRecord(b"a")])
                except LogUnavailable as error:
                    told = error
        assert re.search(r"not acknowledged within 1 s: Kafka: .*NotEnoughReplicas", str(told))
    finally:
        await log.close()


@pytest.mark.kafka
async def test_why_a_topic_cannot_be_created_is_told(log: KafkaLog, topic: str) -> None:
    with pytest.raises(LogForbids, match="cannot create") as caught:
        await patiently(lambda: log.create(f"{topic} with spaces"))
    assert caught.value.kind is Kind.MISCONFIGURED


@pytest.mark.kafka
async def test_what_follows_a_refused_record_is_stored(log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic))
    await log.append(topic, [NewRecord(b"before")])
    for _ in range(2):
        (fate,) = await log.offer(topic, [NewRecord(bytes(13_000_000))])
        assert type(fate) is LogError
    assert await log.append(topic, [NewRecord(b"after")]) == [(TopicPartition(topic, 0), 1)]


@pytest.mark.kafka
async def test_offers_at_the_same_time_are_stored_once_each(log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic, 3))
    offers = [[NewRecord(b"%d.%d" % (turn, number)) for number in range(30)] for turn in range(20)]
    fates = await asyncio.gather(*(log.offer(topic, records) for records in offers))
    locations = [fate for told in fates for fate in told]
    assert len(set(locations)) == len(locations) == 600
    reader = await log.reader({TopicPartition(topic, number): 0 for number in range(3)})
    assert len({record.value for record in await take(reader, 600)}) == 600
    await reader.close()


@pytest.mark.kafka
async def test_a_broker_that_hangs_is_told_in_time(broker: KafkaBroker, topic: str) -> None:
    used, fresh = KafkaLog([broker.bootstrap]), KafkaLog([broker.bootstrap])
    with without_haste():
        await used.open()
        await used.create(topic)
        await used.append(topic, [NewRecord(b"before")])
    broker.pause()
    try:
        for log in (used, fresh):
            async with stopwatch() as watch:
                with pytest.raises(LogUnavailable):
                    await log.offer(topic, [NewRecord(b"lost")])
                assert watch.seconds < OFFER_SECONDS + 0.4
    finally:
        broker.resume()
    # A broker that has hung for long is out of its cluster for a while. What was given up may be stored all the same.
    last = (await patiently(lambda: used.append(topic, [NewRecord(b"after")])))[0][1]
    values = await patiently(lambda: stored(used, topic, last + 1))
    assert values[:: len(values) - 1] == [b"before", b"after"]
    assert values.count(b"before") == 1
    assert values.count(b"lost") <= 1
    await used.close()
    await fresh.close()

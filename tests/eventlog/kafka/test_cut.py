"""A Kafka whose disk goes back: what a reader is told, by the leader epochs (KIP-320)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from gateway.cooperative import give_way
from gateway.errors import LogUnavailable
from gateway.eventlog.kafka import fetch as kafka_fetch
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import LogReader
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import WAIT, patiently, take
from tests.services.kafka import KafkaBroker, cut_back

pytestmark = pytest.mark.kafka


@pytest.fixture
async def log(broker: KafkaBroker, no_haste: None) -> AsyncIterator[KafkaLog]:
    log = KafkaLog([broker.bootstrap])
    await log.open()
    yield log
    await log.close()


async def append(log: KafkaLog, topic: str, name: bytes, count: int, partition: int = 0) -> None:
    """So many records, each a batch of its own. A broker that has just come back may say that it does not lead, and
    then that it has lost what it knew of the producer: nobody can say then whether it stored the batch."""
    for number in range(count):
        new = NewRecord(name + b"%d" % number, partition=partition)
        await patiently(partial(log.append, topic, [new]))


async def told(reader: LogReader) -> list[Trouble]:
    """The first refusals, from a log that may still be away."""
    async with asyncio.timeout(3 * WAIT):
        while True:
            try:
                found = await reader.fetch(WAIT)
            except LogUnavailable:
                await asyncio.sleep(0.05)
                continue
            if refusals := [one.trouble for one in found if isinstance(one, Refusal)]:
                return refusals


async def cut(broker: KafkaBroker, topic: str, end: int) -> None:
    await asyncio.to_thread(broker.kill)
    cut_back(broker, topic, end)
    await asyncio.to_thread(broker.start)


@pytest.mark.parametrize("version", [13, 12])
async def test_a_disk_that_goes_back(
    log: KafkaLog, broker: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch, *, version: int
) -> None:
    monkeypatch.setattr(kafka_fetch, "NEWEST", version)
    partition = TopicPartition(topic, 0)
    await patiently(lambda: log.create(topic))
    await append(log, topic, b"old", 10)
    reader = await log.reader({partition: 0})
    assert len(await take(reader, 10)) == 10
    # Shorter than what was read: that is told at once.
    await cut(broker, topic, 5)
    (trouble,) = await told(reader)
    assert (trouble.kind, trouble.offset) == (Kind.CUT, 5)
    await append(log, topic, b"new", 9)
    await reader.add({partition: 5})
    assert [record.value for record in await take(reader, 9)] == [b"new%d" % n for n in range(9)]
    # Cut and written on beyond what was read, before the reader comes back.
    (stamp,) = [buffer.stamp for buffer in reader._buffers.values()]
    await reader.close()
    await cut(broker, topic, 7)
    await append(log, topic, b"third", 20)
    for position, expected in ((14, 7), (8, 7)):
        reader = await log.reader({partition: position}, {partition: stamp})
        (trouble,) = await told(reader)
        assert (trouble.kind, trouble.offset) == (Kind.CUT, expected)
        await reader.close()
    reader = await log.reader({partition: 7}, {partition: stamp})
    assert (await take(reader, 20))[0].value == b"third0"
    await reader.close()


async def test_a_log_that_does_not_know_the_epoch(log: KafkaLog, topic: str) -> None:
    """Another cluster, restored from a copy of long ago: it has fewer elections behind it than were seen."""
    partition = TopicPartition(topic, 0)
    await patiently(lambda: log.create(topic))
    await append(log, topic, b"x", 10)
    reader = await log.reader({partition: 5}, {partition: 1000})
    (trouble,) = await told(reader)
    assert (trouble.kind, trouble.offset) == (Kind.CUT, -1)
    await reader.add({partition: 11}, {partition: 1000})
    (trouble,) = await told(reader)
    assert (trouble.kind, trouble.offset) == (Kind.OUT_OF_RANGE, 11)
    await reader.close()


@pytest.mark.parametrize("difference", [-1, 1], ids=["fenced", "unknown"])
async def test_a_leader_of_another_epoch_is_asked_again(
    log: KafkaLog, broker: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch, *, difference: int
) -> None:
    """The metadata are older than the leader, or newer: both pass, and are no trouble."""
    partition = TopicPartition(topic, 0)
    await patiently(lambda: log.create(topic))
    await append(log, topic, b"x", 10)
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    # Once it was elected again: an epoch below the first is none at all, and is asked for by nobody.
    async with asyncio.timeout(3 * WAIT):
        while (await patiently(lambda: log._cluster.topics([topic])))[topic].epochs[0] < 1:
            await give_way()
    # What is read in that epoch shows that the leader is in it, too, which may take longer than to tell of it.
    reader = await patiently(lambda: log.reader({partition: 0}))
    assert len(await take(reader, 10)) == 10
    await reader.close()
    reader = await patiently(lambda: log.reader({}))
    leader = reader._leader
    name = "FencedLeaderEpoch" if difference < 0 else "UnknownLeaderEpoch"
    troubles: list[str] = []

    def mistaken(partition: TopicPartition) -> tuple[int | None, int]:
        node, epoch = leader(partition)
        # A broker that has just come back may say first that it does not lead, so the mistake lasts until it is told.
        told = any(name in detail for detail in troubles)
        return node, epoch if told else epoch + difference

    monkeypatch.setattr(reader, "_leader", mistaken)
    note = reader._note

    def noted(partition: TopicPartition, trouble: Trouble) -> None:
        troubles.append(trouble.detail)
        note(partition, trouble)

    monkeypatch.setattr(reader, "_note", noted)
    try:
        await reader.add({partition: 0})
        assert len(await take(reader, 10)) == 10
    finally:
        await reader.close()
    assert any(name in detail for detail in troubles)

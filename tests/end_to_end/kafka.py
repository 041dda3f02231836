"""What the tests do to a Kafka cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, NewTopic, RecordsToDelete

from tests.eventlog.kit import kafka_admin

TICK = 0.01


async def create_topic(bootstrap: str, topic: str, partitions: int = 1, **settings: str) -> None:
    """Create a topic; underscores in the names of settings stand for dots."""
    configs = {name.replace("_", "."): value for name, value in settings.items()}
    async with kafka_admin(bootstrap) as admin:
        await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])


async def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete a topic."""
    async with kafka_admin(bootstrap) as admin:
        await admin.delete_topics([topic])


async def add_partitions(bootstrap: str, topic: str, partitions: int) -> None:
    """Raise the number of partitions to this."""
    async with kafka_admin(bootstrap) as admin:
        await admin.create_partitions({topic: NewPartitions(partitions)})


async def expire(bootstrap: str, topic: str, start: int) -> None:
    """Delete the records of partition 0 before an offset."""
    async with kafka_admin(bootstrap) as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(start)}, timeout_ms=5000)


@asynccontextmanager
async def open_producer(bootstrap: str, **more: Any) -> AsyncIterator[Producer]:
    """A producer for the time of a test, with more options of aiokafka. What it sends is stored once, whatever the
    brokers do meanwhile."""
    options = {"max_request_size": 4_000_000, "linger_ms": 2, "enable_idempotence": True, **more}
    client = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    await client.start()
    try:
        yield Producer(client)
    finally:
        await client.stop()


def event(number: int, padding: int = 0) -> bytes:
    """An event with its number in the sequence."""
    return b'{"n":%d,"text":"%b"}' % (number, b"x" * padding)


class Producer:
    """Writes numbered events."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self.client = client

    async def send(
        self, topic: str, numbers: Iterable[int], partition: int = 0, timestamp: int | None = None, padding: int = 0
    ) -> None:
        """Returns when they are stored."""
        await self.values(topic, (event(number, padding) for number in numbers), partition, timestamp)

    async def values(
        self, topic: str, values: Iterable[bytes | None], partition: int = 0, timestamp: int | None = None
    ) -> None:
        """Any values; None is a tombstone."""
        sent = [
            await self.client.send(topic, value, b"key", partition=partition, timestamp_ms=timestamp)
            for value in values
        ]
        await asyncio.gather(*sent)

    async def load(self, topic: str, count: int, rate: int, first: int = 0, padding: int = 200) -> None:
        """So many events a second, in one partition."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        sent = []
        for number in range(first, first + count):
            sent.append(await self.client.send(topic, event(number, padding), partition=0))
            ahead = (number + 1 - first) / rate - (loop.time() - started)
            if ahead > TICK:
                await asyncio.sleep(ahead)
        await asyncio.gather(*sent)

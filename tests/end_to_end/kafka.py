"""What the tests do to a Kafka cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Schema, String

from tests.end_to_end.process import WAIT, GatewayProcess, eventually
from tests.eventlog.kit import create_topic, kafka_admin
from tests.kit.events import numbered

TICK = 0.01
TIMEOUT = 10_000
"""Milliseconds that the cluster may take for what it is asked to do."""


class ElectLeadersResponse_v1(Response):  # type: ignore[misc]  # noqa: N801
    """What became of each election."""

    API_KEY = 43
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                ("partitions", Array(("partition", Int32), ("error_code", Int16), ("error", String("utf-8")))),
            ),
        ),
    )


class ElectLeadersRequest_v1(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Makes the first replica of each partition its leader."""

    API_KEY = 43
    API_VERSION = 1
    RESPONSE_TYPE = ElectLeadersResponse_v1
    SCHEMA = Schema(
        ("election_type", Int8),
        ("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
        ("timeout_ms", Int32),
    )


class ElectLeadersRequest(Request[ElectLeadersRequest_v1]):  # type: ignore[misc]
    """An election for one partition."""

    API_KEY = 43

    def __init__(self, topic: str, partition: int) -> None:
        self._topics = [(topic, [partition])]

    def build(self, request_struct_class: type[ElectLeadersRequest_v1]) -> Any:
        """The request."""
        return request_struct_class(0, self._topics, TIMEOUT)


async def place_topic(bootstrap: str, topic: str, *replicas: list[int]) -> None:
    """Create a topic with the replicas of each partition on these brokers; the first one leads. Returns when every
    broker knows of it: one that does not yet would tell a gateway that there is none."""
    async with kafka_admin(bootstrap) as admin:
        await admin.create_topics([NewTopic(topic, -1, -1, dict(enumerate(replicas)))])

        async def known() -> bool:
            with suppress(KafkaError):
                for broker in admin._client.cluster.brokers():
                    response = await admin._send_request_to_node(broker.nodeId, MetadataRequest([topic]))
                    ((_, _, _, partitions),) = response.topics
                    if len(partitions) < len(replicas) or any(fields[2] < 0 for fields in partitions):
                        return False
                return True
            return False

        await eventually(known, "every broker knows the topic")


async def leader(bootstrap: str, topic: str, node: int) -> int:
    """The node that leads partition 0 by what another node knows; -1 where there is none."""
    async with kafka_admin(bootstrap) as admin:
        response = await admin._send_request_to_node(node, MetadataRequest([topic]))
    ((_, _, _, partitions),) = response.topics
    found: int
    (found,) = [fields[2] for fields in partitions if fields[1] == 0]
    return found


async def place_partition(bootstrap: str, topic: str, replicas: list[int], partition: int = 0) -> None:
    """Move a partition to these replicas; one that is not among them leads no longer."""
    async with kafka_admin(bootstrap) as admin:
        topics: list[Any] = [(topic, [(partition, replicas, {})], {})]
        response = await admin._send_to_controller(AlterPartitionReassignmentsRequest(TIMEOUT, topics, {}))
    assert response.error_code == 0, response


async def move_leader(bootstrap: str, topic: str, replicas: list[int], partition: int = 0) -> None:
    """Make the first of the replicas lead; they stay the same."""
    await place_partition(bootstrap, topic, replicas, partition)
    async with kafka_admin(bootstrap) as admin:
        response = await admin._send_to_controller(ElectLeadersRequest(topic, partition))
    assert response.error_code == 0, response


async def lead(bootstrap: str, topic: str, replicas: list[int], witness: int) -> None:
    """The same, again and again until the witness knows that the first leads: a broker that has not caught up, or that
    was late to say that it lives, is not elected."""

    async def leads() -> bool:
        with suppress(AssertionError, KafkaError, TimeoutError):
            await move_leader(bootstrap, topic, replicas)
            return await leader(bootstrap, topic, witness) == replicas[0]
        return False

    await eventually(leads, f"the broker {replicas[0]} leads")


async def configure_topic(bootstrap: str, topic: str, **settings: str) -> None:
    """Give a topic these settings and no others; underscores stand for dots."""
    configs = {name.replace("_", "."): value for name, value in settings.items()}
    async with kafka_admin(bootstrap) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


async def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete a topic."""
    async with kafka_admin(bootstrap) as admin:
        await admin.delete_topics([topic])


async def create_again(bootstrap: str, topic: str, partitions: int = 1) -> None:
    """Create a topic that is being deleted, as soon as the broker takes it."""
    async with asyncio.timeout(WAIT):
        while True:
            try:
                await create_topic(bootstrap, topic, partitions=partitions)
            except Exception:  # the old one is still there
                await asyncio.sleep(0.05)
            else:
                return


async def add_partitions(bootstrap: str, topic: str, partitions: int) -> None:
    """Raise the number of partitions to this. Returns when the broker, which answers before, tells of them."""
    async with kafka_admin(bootstrap) as admin:
        await admin.create_partitions({topic: NewPartitions(partitions)})

        async def known() -> bool:
            (told,) = await admin.describe_topics([topic])
            return len(told["partitions"]) == partitions

        await eventually(known, "the partitions are known")


async def expire(bootstrap: str, topic: str, start: int) -> None:
    """Delete the records of partition 0 before an offset."""
    async with kafka_admin(bootstrap) as admin:

        async def gone() -> bool:
            with suppress(KafkaError):  # a broker that is slow, or does not lead yet
                await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(start)}, timeout_ms=5000)
                return True
            return False

        await eventually(gone, "the records are deleted")


async def first_offset(bootstrap: str, topic: str) -> int:
    """The offset of the oldest record of partition 0."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        partition = TopicPartition(topic, 0)
        first: int = (await consumer.beginning_offsets([partition]))[partition]
        return first


async def forgotten(gateway: GatewayProcess, name: str, place: str | None) -> None:
    """Wait until who stood at this place is told that what follows is gone: the gateway's memory has forgotten it."""

    async def told() -> bool:
        headers = {"last-event-id": place or ""}
        answer = await gateway.get(f"/v2/stream/{name}", params={"limit": 1}, headers=headers)
        return "event: gap\n" in answer.text

    await eventually(told, "memory has forgotten what was deleted")


@asynccontextmanager
async def open_producer(bootstrap: str, **more: Any) -> AsyncIterator[Producer]:
    """A producer for the time of a test, with more options of aiokafka. What it sends is stored once, whatever the
    brokers do meanwhile."""
    options = {
        "max_request_size": 4_000_000,
        "linger_ms": 2,
        "enable_idempotence": True,
        # Otherwise it would take minutes to learn of a leader that moved, or that came back.
        "metadata_max_age_ms": 1000,
    }
    client = AIOKafkaProducer(bootstrap_servers=bootstrap, **{**options, **more})
    # Otherwise what waits for a leader that is still being elected would expire after the time of a request.
    client._message_accumulator._batch_ttl = 2 * WAIT
    await client.start()
    try:
        yield Producer(client)
    finally:
        await client.stop()


def event(number: int, padding: int = 0) -> bytes:
    """An event with its number in the sequence."""
    return numbered(number, text="x" * padding)


class Producer:
    """Writes numbered events."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self.client = client
        self.made = -1
        """The number of the event that was made last by `load`, be it stored or not."""

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

    async def sparse(self, topic: str, numbers: Iterable[int], padding: int = 0) -> None:
        """The same in partition 0; every third event has a key of its own, the others share one and are compacted."""
        sent = [
            await self.client.send(topic, event(number, padding), b"%d" % (0 if number % 3 else number), partition=0)
            for number in numbers
        ]
        await asyncio.gather(*sent)

    async def load(
        self,
        topic: str,
        count: int,
        rate: int,
        first: int = 0,
        padding: int = 200,
        partition: int = 0,
        until: asyncio.Event | None = None,
    ) -> None:
        """So many events a second, in one partition. The last third of them waits for `until`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        sent = []
        for number in range(first, first + count):
            if until is not None and 3 * (number - first) >= 2 * count:
                await until.wait()
            self.made = number
            sent.append(await self._put(topic, event(number, padding), partition))
            ahead = (number + 1 - first) / rate - (loop.time() - started)
            if ahead > TICK:
                await asyncio.sleep(ahead)
        await asyncio.gather(*sent)

    async def _put(self, topic: str, value: bytes, partition: int) -> asyncio.Future[Any]:
        """Hand over an event; it is taken once there is room for it, however long the leader is away."""
        while True:
            try:
                sent: asyncio.Future[Any] = await self.client.send(topic, value, partition=partition)
            except KafkaTimeoutError:
                continue
            return sent

"""The event log in Kafka."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateTopicsRequest, DeleteTopicsRequest
from aiokafka.protocol.offset import OffsetRequest

from gateway.catalog.stream import Retention
from gateway.cooperative import give_way
from gateway.errors import LogError, LogUnavailable
from gateway.event import NewRecord, TopicPartition
from gateway.eventlog.kafka_cluster import ABSENT, CALL_SECONDS, RETRY_SECONDS, Cluster, Topic
from gateway.eventlog.kafka_options import connection_options, parse_bootstrap
from gateway.eventlog.kafka_producer import Producer
from gateway.eventlog.kafka_protocol import CONSUMER, READ_COMMITTED, READ_UNCOMMITTED
from gateway.eventlog.kafka_reader import KafkaReader
from gateway.eventlog.kafka_transactions import stop_producer
from gateway.eventlog.kafka_writer import POSITIONS, POSITIONS_SETTINGS, KafkaWriter, start_transactions
from gateway.eventlog.offer import Fate, all_stored
from gateway.eventlog.port import Bounds, TopicState

EARLIEST = -2
LATEST = -1
"""In the place of a time: the first offset, and the end of what is committed."""

TOPIC_EXISTS = 36

DEFAULT_REPLICATION = -1
"""As many replicas as the brokers are configured to make."""


class KafkaLog:
    """An EventLog in Kafka. `bootstrap` holds `host:port`; `options` are those of `kafka_options.OPTIONS`; a mistake
    in either is a ConfigurationError. No consumer group is ever used."""

    def __init__(self, bootstrap: Sequence[str], options: Mapping[str, object] | None = None) -> None:
        addresses = parse_bootstrap(bootstrap)
        self._options = connection_options(options or {})
        self._bootstrap = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses]
        self._cluster = Cluster(addresses, self._options)
        self._producer = Producer(self._cluster)

    def __repr__(self) -> str:
        return f"<KafkaLog {','.join(self._bootstrap)}>"

    async def open(self) -> None:
        """Connect where that can be done now; otherwise at the first use."""
        quieten()
        with suppress(LogUnavailable):
            await self._cluster.topics([])

    async def close(self) -> None:
        """See EventLog. Readers are closed by those who hold them."""
        await asyncio.gather(self._producer.close(), self._cluster.close())

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState]:
        """See EventLog."""
        found = await self._cluster.topics(topics) if topics else {}
        return {name: TopicState(topic.identity, len(topic.leaders)) for name, topic in found.items()}

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """See EventLog. The end is the last stable offset: before the first record of an open transaction."""
        starts, ends = await asyncio.gather(
            self._offsets(dict.fromkeys(partitions, EARLIEST)), self._offsets(dict.fromkeys(partitions, LATEST))
        )
        return {partition: Bounds(starts[partition], max(starts[partition], ends[partition])) for partition in starts}

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """See EventLog. Where transactions are used, the offset may be that of an aborted record or a marker."""
        offsets = await self._offsets({partition: max(0, wanted) for partition, wanted in times.items()})
        return {partition: offset if offset >= 0 else None for partition, offset in offsets.items()}

    async def reader(self, positions: Mapping[TopicPartition, int]) -> KafkaReader:
        """See EventLog."""
        reader = KafkaReader(self._cluster)
        await reader.assign(positions)
        return reader

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """See EventLog. Returns when every partition has a leader."""
        settings = {"retention.ms": retention.milliseconds, "retention.bytes": retention.size} if retention else {}
        await self._create(topic, partitions, {name: str(-1 if v is None else v) for name, v in settings.items()})

    async def _create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        wanted: tuple[object, ...] = (topic, partitions, DEFAULT_REPLICATION, [], list(settings.items()))
        request = CreateTopicsRequest([wanted], int(CALL_SECONDS * 1000), False)
        response = await self._cluster.send_to_controller(request)
        for _, code, *message in response.topic_errors:
            if code not in (0, TOPIC_EXISTS):
                raise LogError(f"Kafka: cannot create {topic}: {for_code(code).__name__} {message[0] or ''}".rstrip())
        await self._until(topic, lambda found: found is not None and None not in found.leaders.values())

    async def delete(self, topic: str) -> None:
        """Delete a topic; one that does not exist is no error. Returns when the cluster no longer knows it."""
        request = DeleteTopicsRequest([topic], int(CALL_SECONDS * 1000))
        response = await self._cluster.send_to_controller(request)
        for _, code in response.topic_error_codes:
            if code != 0 and code not in ABSENT:
                raise LogError(f"Kafka: cannot delete {topic}: {for_code(code).__name__}")
        await self._until(topic, lambda found: found is None)

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        return await self._producer.offer(topic, records)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See EventLog."""
        return all_stored(await self.offer(topic, records))

    async def writer(self, name: str) -> KafkaWriter:
        """See EventLog. Writes to the topic of the positions, and creates it where it is missing."""
        if not await self._cluster.topics([POSITIONS.topic]):
            await self._create(POSITIONS.topic, 1, POSITIONS_SETTINGS)
        producer = await start_transactions(self._bootstrap, self._options, name)
        try:
            return KafkaWriter(self._cluster, name, producer, await self._position(name))
        except BaseException:
            await stop_producer(producer)
            raise

    async def _position(self, name: str) -> bytes | None:
        """The newest position of this name that is committed. Raises LogUnavailable where another writer's open
        transaction hides what stands behind it."""
        (start,) = (await self._offsets({POSITIONS: EARLIEST})).values()
        (end,) = (await self._offsets({POSITIONS: LATEST}, READ_UNCOMMITTED)).values()
        position: bytes | None = None
        reader = await self.reader({POSITIONS: start})
        try:
            async with asyncio.timeout(CALL_SECONDS):
                while start < end:
                    for batch in await reader.fetch(CALL_SECONDS):
                        start = batch.position
                        mine = [record.value for record in batch.records if record.key == name.encode()]
                        position = mine[-1] if mine else position
                    await give_way()
        except TimeoutError as error:
            raise LogUnavailable(f"Kafka: a transaction in {POSITIONS.topic} is not ended yet") from error
        finally:
            await reader.close()
        return position

    async def _until(self, topic: str, done: Callable[[Topic | None], bool]) -> None:
        """Ask for a topic until it is as it should be. Raises LogUnavailable."""
        deadline = time.monotonic() + CALL_SECONDS
        while not done((await self._cluster.topics([topic])).get(topic)):
            if time.monotonic() > deadline:
                raise LogUnavailable(f"Kafka: the cluster has not settled what becomes of {topic}")
            await asyncio.sleep(RETRY_SECONDS)

    async def _offsets(
        self, times: Mapping[TopicPartition, int], isolation: int = READ_COMMITTED
    ) -> dict[TopicPartition, int]:
        """The first offset at or after a time of each partition, -1 where there is none. Raises TopicAbsent,
        LogUnavailable; asks again while leaders move."""
        found: dict[TopicPartition, int] = {}
        deadline = time.monotonic() + CALL_SECONDS
        while True:
            left = {partition: wanted for partition, wanted in times.items() if partition not in found}
            leaders = await self._cluster.leaders(left)
            trouble = "a partition has no leader"
            for node in {leader for leader in leaders.values() if leader is not None}:
                asked = {partition: wanted for partition, wanted in left.items() if leaders[partition] == node}
                try:
                    found |= await self._list_offsets(node, asked, isolation)
                except LogUnavailable as error:
                    trouble = str(error)
            missing = left.keys() - found.keys()
            if not missing:
                return {partition: found[partition] for partition in times}
            self._cluster.forget(topic for topic, _ in missing)
            if time.monotonic() > deadline:
                raise LogUnavailable(f"Kafka: offsets of {len(missing)} partitions are not to be had: {trouble}")
            await asyncio.sleep(RETRY_SECONDS)

    async def _list_offsets(
        self, node: int, times: Mapping[TopicPartition, int], isolation: int
    ) -> dict[TopicPartition, int]:
        """What one broker knows of its partitions; those that it refuses are left out."""
        topics: dict[str, list[tuple[int, int]]] = {}
        for (topic, partition), wanted in times.items():
            topics.setdefault(topic, []).append((partition, wanted))
        request = OffsetRequest(CONSUMER, isolation, list(topics.items()))
        response = await self._cluster.send(self._cluster.address(node), request)
        return {
            TopicPartition(topic, partition): offset
            for topic, partitions in response.topics
            for partition, code, _, offset in partitions
            if code == 0
        }


def quieten(names: Iterable[str] = ("aiokafka",)) -> None:
    """Silence aiokafka's loggers, unless a level is set: all that matters is raised, and it logs each attempt anew."""
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)

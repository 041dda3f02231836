"""The brokers of a Kafka cluster: connections, metadata, and requests to the leader of a partition.

aiokafka's connections do the work (TLS, SASL, versions); its client and consumer are not used, because they neither
tell that no broker answers nor end in a bounded time once that is so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, for_code

from gateway.certificates import why_refused
from gateway.errors import LogUnavailable, TopicAbsent
from gateway.event import TopicPartition
from gateway.eventlog.kafka_protocol import NO_ID, ClusterMetadata, MetadataRequest, read_metadata

CALL_SECONDS = 5.0
"""A call of the log that has no answer by then raises LogUnavailable."""

ATTEMPT_SECONDS = 2.0
"""One broker may take so long to accept a connection or to answer a small request, then the next one is asked."""

REQUEST_SECONDS = 10.0
"""aiokafka's own bound of a request; the shorter ones here come first."""

RETRY_SECONDS = 0.1
"""Between two attempts, where the cluster is about to elect a leader or to learn of a topic."""

CLOSE_SECONDS = 1.0
"""How long a connection may take to close."""

IDLE_MILLISECONDS = 540_000
"""A connection that nobody uses for so long is closed; a minute before a broker would do it."""

UNKNOWN_TOPIC = 3
INVALID_TOPIC = 17
ABSENT = frozenset({UNKNOWN_TOPIC, INVALID_TOPIC})
"""The error codes of a topic that does not exist."""

FAILURES = (OSError, KafkaError, TimeoutError, EOFError, NotImplementedError)
"""What aiokafka raises where a broker does not answer, refuses, or speaks other versions."""

Result = TypeVar("Result")
Address = tuple[str, int]


class Topic(NamedTuple):
    """A topic as the cluster knows it: the id is NO_ID where the brokers have none."""

    name: str
    topic_id: bytes
    leaders: Mapping[int, int | None]

    @property
    def identity(self) -> str:
        """What differs when the topic is created again; the name alone where the brokers have no ids."""
        return self.name if self.topic_id == NO_ID else self.topic_id.hex()


async def bounded(call: Awaitable[Result], seconds: float, what: str) -> Result:
    """The result of a call to a broker, or LogUnavailable."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        raise LogUnavailable(f"Kafka: {what}: no answer within {seconds:g} s") from error
    except FAILURES as error:
        raise LogUnavailable(f"Kafka: {what}: {why_refused(error) or repr(error)}") from error


async def close_connections(connections: Iterable[Any]) -> None:
    """Close connections; bounded in time, and never raises."""
    closing = [closed for connection in connections if (closed := connection.close()) is not None]
    if closing:
        await asyncio.wait(closing, timeout=CLOSE_SECONDS)


class Cluster:
    """Knows the brokers, and the topics that were asked for. `options` are those of aiokafka's `create_conn`."""

    def __init__(self, bootstrap: Sequence[Address], options: Mapping[str, object]) -> None:
        self._bootstrap = list(bootstrap)
        self._options = options
        self._brokers: dict[int, Address] = {}
        self._controller: int | None = None
        self._topics: dict[str, Topic] = {}
        self._connections: dict[Address, Any] = {}
        self._connecting: dict[Address, asyncio.Lock] = {}

    async def close(self) -> None:
        """Close all connections; bounded in time, and never raises."""
        connections, self._connections = self._connections, {}
        await close_connections(connections.values())

    def cached(self, topic: str) -> Topic | None:
        """The topic as it was when it was asked for last."""
        return self._topics.get(topic)

    def forget(self, topics: Iterable[str]) -> None:
        """Ask again for these topics before they are used."""
        for topic in topics:
            self._topics.pop(topic, None)

    def address(self, node: int) -> Address:
        """Where a node listens. Raises LogUnavailable where the node is gone."""
        if node not in self._brokers:
            raise LogUnavailable(f"Kafka: broker {node} is not known")
        return self._brokers[node]

    async def connect(self, address: Address, on_close: Callable[..., None] | None = None) -> Any:
        """A new connection, which the caller closes; `on_close` is called once when it closes."""
        host, port = address
        call = create_conn(
            host,
            port,
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
            max_idle_ms=IDLE_MILLISECONDS,
            on_close=on_close,
            **self._options,
        )
        return await bounded(call, ATTEMPT_SECONDS, f"connect to {host}:{port}")

    async def send(self, address: Address, request: Any) -> Any:
        """Send a small request over the shared connection, and return the response. Raises LogUnavailable."""
        connection = await self._shared(address)
        try:
            return await bounded(_call(connection, request), ATTEMPT_SECONDS, f"ask {address[0]}:{address[1]}")
        except LogUnavailable:
            connection.close()
            raise

    async def send_to_controller(self, request: Any) -> Any:
        """Send a request that changes the cluster. Raises LogUnavailable."""
        if self._controller is None or self._controller not in self._brokers:
            await self.topics([])
        return await self.send(self.address(-1 if self._controller is None else self._controller), request)

    async def topics(self, names: Collection[str]) -> dict[str, Topic]:
        """Those of the topics that exist, asked of the cluster. Raises LogUnavailable."""
        metadata = await bounded(self._metadata(names), CALL_SECONDS, "metadata")
        self._brokers = dict(metadata.brokers)
        self._controller = metadata.controller
        self.forget(names)
        for name, code in metadata.errors.items():
            if code not in ABSENT:
                raise LogUnavailable(f"Kafka: topic {name}: {for_code(code).__name__}")
        found = {name: Topic(name, *topic) for name, topic in metadata.topics.items()}
        self._topics |= found
        return found

    async def leaders(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The node that leads each partition; None while it has no leader. Raises TopicAbsent, LogUnavailable."""
        wanted = list(partitions)
        unknown = {topic for topic, number in wanted if number not in self._known(topic)}
        if unknown:
            await self.topics(unknown)
        for topic, number in wanted:
            if number not in self._known(topic):
                raise TopicAbsent(topic)
        return {partition: self._topics[partition.topic].leaders[partition.partition] for partition in wanted}

    def _known(self, topic: str) -> Mapping[int, int | None]:
        found = self._topics.get(topic)
        return found.leaders if found is not None else {}

    async def _metadata(self, names: Collection[str]) -> ClusterMetadata:
        """From the first broker that answers: one that is connected, one that is known, or one of the configuration."""
        connected = [address for address, connection in self._connections.items() if connection.connected()]
        candidates = dict.fromkeys([*connected, *self._brokers.values(), *self._bootstrap])
        failure: LogUnavailable | None = None
        for address in candidates:
            try:
                return read_metadata(await self.send(address, MetadataRequest(sorted(names))))
            except LogUnavailable as error:
                failure = error
        raise failure or LogUnavailable("Kafka: no broker is configured")

    async def _shared(self, address: Address) -> Any:
        async with self._connecting.setdefault(address, asyncio.Lock()):
            connection = self._connections.get(address)
            if connection is None or not connection.connected():
                if connection is not None:
                    connection.close()
                connection = self._connections[address] = await self.connect(address)
            return connection


class Connections:
    """Connections of one producer, each used for one request at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._free: dict[int, list[Any]] = {}
        self._all: set[Any] = set()

    async def send(self, node: int, request: Any, seconds: float) -> Any:
        """Send a request to a node, and return the response. Raises LogUnavailable."""
        connection = await self._take(node)
        try:
            response = await bounded(_call(connection, request), seconds, f"ask broker {node}")
        except BaseException:
            self._all.discard(connection)
            connection.close()
            raise
        self._free.setdefault(node, []).append(connection)
        return response

    async def close(self) -> None:
        """Close all; bounded in time, and never raises."""
        connections, self._all, self._free = self._all, set(), {}
        with suppress(Exception):
            await close_connections(connections)

    async def _take(self, node: int) -> Any:
        free = self._free.get(node, [])
        while free:
            connection = free.pop()
            if connection.connected():
                return connection
            self._all.discard(connection)
            connection.close()
        connection = await self._cluster.connect(self._cluster.address(node))
        self._all.add(connection)
        return connection


async def _call(connection: Any, request: Any) -> Any:
    """The connection raises at once, not from the awaitable, where it is closed."""
    return await connection.send(request)

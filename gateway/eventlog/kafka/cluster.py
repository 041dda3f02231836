"""The brokers of a Kafka cluster: metadata, and requests to the leader of a partition.

aiokafka's connections do the work (TLS, SASL, versions). Its client and consumer are not used. They do not report that
no broker answers, and do not end in a bounded time then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from gateway.cooperative import retrieve
from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.calls import (
    CALL_SECONDS,
    FAILURES,
    Together,
    bounded,
    first_answer,
    read,
    within,
)
from gateway.eventlog.kafka.connection import BrokerConnection
from gateway.eventlog.kafka.connections import (
    ATTEMPT_SECONDS,
    BACKOFF_SECONDS,
    CLOSE_SECONDS,
    BrokerConnections,
    Dialer,
    close_connections,
)
from gateway.eventlog.kafka.metadata import Address, ClusterMetadata, Memory, Topic, agree, contradicts
from gateway.eventlog.kafka.protocol import MetadataRequest, read_metadata
from gateway.eventlog.kafka.trouble import no_leader, trouble_of
from gateway.eventlog.trouble import Trouble, absent
from gateway.model.record import TopicPartition
from gateway.observability import telemetry

__all__ = [
    "ABSENT",
    "CALL_SECONDS",
    "CLOSE_SECONDS",
    "FAILURES",
    "RETRY_SECONDS",
    "Address",
    "BrokerConnections",
    "Cluster",
    "Topic",
    "bounded",
    "close_connections",
    "read",
    "within",
]

HEDGE_SECONDS = 0.5
"""Seconds after which a broker is slow: another one is asked too, if any can answer. If only a leader can, the
gateway finds out whether it still is the leader."""

RETRY_SECONDS = 0.1
"""Between two attempts, where the cluster is about to elect a leader or to learn of a topic."""

THROTTLE_SECONDS = 30.0
"""A broker that asks for a longer pause (KIP-219) is asked again after this."""

UNKNOWN_TOPIC = 3
INVALID_TOPIC = 17
ABSENT = frozenset({UNKNOWN_TOPIC, INVALID_TOPIC})
"""The error codes of a topic that does not exist."""

Result = TypeVar("Result")


class Cluster:
    """Knows the brokers, and the topics that were asked for. `options` are those of aiokafka's connections."""

    def __init__(self, bootstrap: Sequence[Address], options: Mapping[str, object]) -> None:
        self._bootstrap = list(bootstrap)
        self._dialer = Dialer(options)
        self._waiting = BrokerConnections(self.connect)
        self._memory = Memory()
        self._brokers: dict[int, Address] = {}
        self._controller: int | None = None
        self._topics: dict[str, Topic] = {}
        self._refused: dict[str, Trouble] = {}
        self._asked: dict[str, float] = {}
        self._connections: dict[Address, Any] = {}
        self._opening: Together[Address, Any] = Together()
        self._refreshing: Together[frozenset[str], dict[str, Topic]] = Together()
        self._paused: dict[Address, float] = {}
        self._turn = 0
        self._untraced_told = False
        self.identity: str | None = None
        """The id of the cluster, once a broker has told it."""

    async def close(self) -> None:
        """Close all connections; bounded in time, and never raises."""
        self._refreshing.cancel()
        self._opening.cancel()
        self._dialer.close()
        connections, self._connections = self._connections, {}
        await asyncio.gather(close_connections(connections.values()), self._waiting.close())

    def cached(self, topic: str) -> Topic | None:
        """The topic as it was when it was asked for last; None once it is to be asked for again."""
        return self._topics.get(topic)

    def forget(self, topics: Iterable[str]) -> None:
        """Ask again for these topics before they are used. Until then the newest facts still count."""
        for topic in topics:
            self._topics.pop(topic, None)

    def address(self, node: int) -> Address:
        """Where a node listens. Raises LogUnavailable where the node is gone."""
        if node not in self._brokers:
            raise LogUnavailable(f"Kafka: broker {node} is not known")
        return self._brokers[node]

    async def connect(self, address: Address, on_close: Callable[..., None] | None = None) -> Any:
        """A new connection, which the caller closes; `on_close` is called once when it closes. Raises LogUnavailable,
        at once where an attempt has just failed. Waits as long as the broker has asked for."""
        await self.pause(address)
        return await self._dialer.connect(address, on_close)

    def tell_untraced(self, where: str) -> None:
        """A broker or its records have no leader epochs. This is reported once, for the first partition."""
        if not self._untraced_told:
            self._untraced_told = True
            telemetry.log_untraced(where)

    # Throttling (KIP-219): the broker has answered, and reads nothing more of this client for a while.

    async def pause(self, address: Address) -> None:
        """Wait until the broker wants to be asked again: not bounded but by THROTTLE_SECONDS."""
        while (left := self.paused(address)) > 0:  # noqa: ASYNC110  # it may be asked for again meanwhile
            await asyncio.sleep(left)

    def paused(self, address: Address) -> float:
        """The seconds that the broker wants to be left alone."""
        return max(0.0, self._paused.get(address, 0.0) - time.monotonic()) if self._paused else 0.0

    def throttle(self, address: Address, milliseconds: int | None) -> None:
        """The broker has asked for a pause of this many seconds in an answer."""
        if milliseconds and milliseconds > 0:
            now = time.monotonic()
            seconds = min(milliseconds / 1000, THROTTLE_SECONDS)
            telemetry.log_throttled(f"{address[0]}:{address[1]}", seconds)
            self._paused = {other: end for other, end in self._paused.items() if end > now}
            self._paused[address] = max(self._paused.get(address, 0.0), now + seconds)

    # Requests.

    async def send(self, address: Address, request: Any) -> Any:
        """Send a small request over the shared connection, and return the response. A caller that is cancelled, or
        has waited for CALL_SECONDS, gives up this request and no other. Raises LogUnavailable."""
        what = f"ask {address[0]}:{address[1]}"
        async with within(CALL_SECONDS, what):
            await self.pause(address)
            connection = await self._shared(address)
            response = await bounded(connection.send(request), CALL_SECONDS, what)
        self.throttle(address, getattr(response, "throttle_time_ms", None))
        return response

    async def send_alone(self, address: Address, request: Any) -> Any:
        """The same for a request that may wait at the broker, which is held up for no other. Raises LogUnavailable."""
        async with within(CALL_SECONDS, f"ask {address[0]}:{address[1]}"):
            response = await self._waiting.send(address, request, CALL_SECONDS)
        self.throttle(address, getattr(response, "throttle_time_ms", None))
        return response

    async def send_to_controller(self, request: Any) -> Any:
        """Send a request that changes the cluster. Raises LogUnavailable."""
        if self._controller is None or self._controller not in self._brokers:
            await self.topics([])
        return await self.send_alone(self.address(-1 if self._controller is None else self._controller), request)

    async def send_to_any(self, request: Any) -> Any:
        """Send a request that any broker answers, and that may be made twice. Raises LogUnavailable."""
        if not self._brokers:
            await self.topics([])
        call = first_answer(self._candidates(), lambda address: self.send_alone(address, request), HEDGE_SECONDS)
        return await bounded(call, CALL_SECONDS, "ask any broker")

    async def while_leads(
        self, node: int, partitions: Collection[TopicPartition], call: Coroutine[Any, Any, Result]
    ) -> Result:
        """The result of a request to the leader of partitions. It is given up with LogUnavailable once that broker
        leads none of them any more. A leader that hangs says nothing, and the others elect another one meanwhile."""
        tasks: list[asyncio.Task[Any]] = [asking := asyncio.create_task(call)]
        try:
            # Most have answered by then, and nobody has to look.
            await asyncio.wait(tasks, timeout=HEDGE_SECONDS)
            if not asking.done():
                tasks.append(moving := asyncio.create_task(self._moved(node, partitions)))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            moving.result()
            raise LogUnavailable(f"Kafka: broker {node} does not lead any more")
        finally:
            for task in tasks:
                task.add_done_callback(retrieve)
                task.cancel()

    def leads(self, node: int, partitions: Iterable[TopicPartition]) -> bool:
        """Whether a node leads any of these partitions, as far as is known."""
        return any(self._known(topic).get(number) == node for topic, number in partitions)

    # Metadata.

    async def topics(self, names: Collection[str]) -> dict[str, Topic]:
        """Those of the topics that exist, asked of the cluster. Raises LogUnavailable."""
        async with within(CALL_SECONDS, "metadata"):
            return await self._ask_topics(names)

    @property
    def brokers(self) -> Mapping[int, Address]:
        """The brokers that are known, by node."""
        return self._brokers

    async def learn_from(self, address: Address) -> None:
        """Ask this broker for the others. Raises LogUnavailable."""
        await self._metadata([], [address])

    async def ask_metadata(self, request: MetadataRequest) -> Any:
        """The first answer of any broker. Raises LogUnavailable."""
        async with within(CALL_SECONDS, "metadata"):
            return await first_answer(self._candidates(), lambda address: self.send(address, request), HEDGE_SECONDS)

    async def refresh(self, names: Collection[str]) -> dict[str, Topic]:
        """The same for those who wait until something changes: they are answered together, and not more often than it
        can change."""
        now = time.monotonic()
        known = {
            name: topic
            for name in names
            if name not in self._refused and (topic := self._memory.topic(name)) is not None
        }
        if len(known) == len(set(names)) and all(now - self._asked.get(name, 0.0) < RETRY_SECONDS for name in names):
            self._topics |= known
            return known
        wanted = frozenset(names)
        return dict(await self._refreshing.ask(wanted, lambda: self.topics(wanted)))

    def refused(self, topic: str) -> Trouble | None:
        """The reason why the cluster refused to describe a topic when it was last asked."""
        return self._refused.get(topic)

    async def leaders(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | Trouble]:
        """The node that leads each partition, or why there is none. Raises LogUnavailable."""
        wanted = list(partitions)
        unknown = {topic for topic, number in wanted if number not in self._known(topic)}
        found = dict(await self.topics(unknown)) if unknown else {}
        # Somebody else may have forgotten them meanwhile.
        found |= {topic: self._topics[topic] for topic, _ in wanted if topic in self._topics}
        return {partition: self._leader(found.get(partition.topic), partition) for partition in wanted}

    def _leader(self, found: Topic | None, partition: TopicPartition) -> int | Trouble:
        topic, number = partition
        if found is None or number not in found.leaders:
            return self.refused(topic) or absent(topic)
        leader = found.leaders[number]
        return no_leader(topic, number) if leader is None else leader

    def _known(self, topic: str) -> Mapping[int, int | None]:
        found = self._topics.get(topic)
        return found.leaders if found is not None else {}

    async def _moved(self, node: int, partitions: Collection[TopicPartition]) -> None:
        """Return once a node leads none of the partitions any more."""
        topics = {topic for topic, _ in partitions}
        while True:
            with suppress(LogUnavailable):
                await self.refresh(topics)
                if not self.leads(node, partitions):
                    return
            await asyncio.sleep(HEDGE_SECONDS)

    async def _ask_topics(self, names: Collection[str]) -> dict[str, Topic]:
        begun = time.monotonic()
        try:
            address, metadata = await self._metadata(names)
        except LogUnavailable:
            # What failed sooner than an attempt takes was begun before this call was made, and may be well by now.
            if time.monotonic() - begun >= ATTEMPT_SECONDS:
                raise
            await asyncio.sleep(BACKOFF_SECONDS)
            address, metadata = await self._metadata(names)
        told = _told(metadata, names)
        refused = {
            name: trouble_of(code, f"topic {name}") for name, code in metadata.errors.items() if code not in ABSENT
        }
        self._refused = {name: told for name, told in self._refused.items() if name not in names} | refused
        doubted = [name for name in told if contradicts(self._memory.topic(name), told[name])]
        if doubted:
            told = await self._confirmed(told, doubted, address)
        now = time.monotonic()
        found = {}
        for name, topic in told.items():
            self._asked[name] = now
            known = self._memory.learn_topic(name, topic, now)
            if known is not None:
                found[name] = known
        self.forget(names)
        self._topics |= found
        return found

    async def _confirmed(
        self, told: Mapping[str, Topic | None], doubted: Collection[str], address: Address
    ) -> dict[str, Topic | None]:
        """Facts that contradict the known ones count if a second broker confirms them, or if none can be asked."""
        others = [other for other in self._candidates() if other != address]
        try:
            async with asyncio.timeout(2 * HEDGE_SECONDS):
                _, metadata = await self._metadata(doubted, others)
                again = _told(metadata, doubted)
        except (LogUnavailable, TimeoutError):
            return dict(told)
        known = {
            name: self._memory.topic(name)
            for name in doubted
            if name not in again or not agree(told[name], again[name])
        }
        return {**told, **known}

    async def _metadata(
        self, names: Collection[str], candidates: Sequence[Address] | None = None
    ) -> tuple[Address, ClusterMetadata]:
        """From the first broker that answers, which it was, and what it says. Raises LogUnavailable."""
        request = MetadataRequest(sorted(names))

        async def ask(address: Address) -> tuple[Address, ClusterMetadata]:
            response = await self.send(address, request)
            told = read("metadata", lambda: read_metadata(response))
            if not told.brokers:
                # One that has just started, and has heard of nothing yet: it takes every topic for absent.
                raise LogUnavailable(f"Kafka: {address[0]}:{address[1]} does not know its cluster yet")
            return address, told

        answer = await first_answer(self._candidates() if candidates is None else candidates, ask, HEDGE_SECONDS)
        self._memory.learn_brokers(answer[1], time.monotonic())
        self._brokers, self._controller = self._memory.brokers, self._memory.controller
        self.identity = answer[1].identity or self.identity
        return answer

    def _candidates(self) -> list[Address]:
        """The brokers to ask, in this order. First come the brokers in turn, so that none is believed for ever. Then
        come the addresses of the configuration, and last the brokers that did not answer, or want to be left alone."""
        brokers = list(dict.fromkeys(self._brokers.values()))
        if brokers:
            self._turn = (self._turn + 1) % len(brokers)
        addresses = dict.fromkeys([*brokers[self._turn :], *brokers[: self._turn], *self._bootstrap])
        return sorted(addresses, key=self._is_unwell)

    def _is_unwell(self, address: Address) -> bool:
        connection = self._connections.get(address)
        late = isinstance(connection, BrokerConnection) and connection.is_late(HEDGE_SECONDS)
        return late or self._dialer.has_failed(address) or self.paused(address) > 0

    async def _shared(self, address: Address) -> Any:
        connection = self._connections.get(address)
        if connection is not None and connection.connected():
            return connection
        return await self._opening.ask(address, lambda: self._open(address))

    async def _open(self, address: Address) -> Any:
        connection = await self._dialer.connect(address)
        gone = [other for other, old in self._connections.items() if not old.connected()]
        for other in gone:
            self._connections.pop(other).close()
        self._connections[address] = connection
        return connection


def _told(metadata: ClusterMetadata, names: Collection[str]) -> dict[str, Topic | None]:
    """The facts about each of these topics in an answer, except those that it refuses; None if a topic does not
    exist. Raises LogUnavailable."""
    if missing := set(names) - metadata.topics.keys() - metadata.errors.keys():
        raise LogUnavailable(f"Kafka: metadata: an answer leaves out {', '.join(sorted(missing))}")
    refused = {name for name, code in metadata.errors.items() if code not in ABSENT}
    told = [name for name in names if name not in refused]
    return {name: Topic(name, *metadata.topics[name]) if name in metadata.topics else None for name in told}

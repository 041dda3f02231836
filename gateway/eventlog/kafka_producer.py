"""Appends to Kafka without repeating itself: batches that are numbered, so that brokers store none twice (KIP-98).

aiokafka's producer is not used, because it does not say which records of a batch a broker refused, loses its numbers
when one was, and tries on for ever what its callers were told has failed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, MutableSequence, Sequence
from contextlib import suppress

from aiokafka.errors import for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from gateway.cooperative import together
from gateway.errors import LogError, LogForbids, LogUnavailable, TopicAbsent
from gateway.event import NewRecord, TopicPartition
from gateway.eventlog.kafka_batch import ProduceRequest, Verdict, build_batch, read_verdict
from gateway.eventlog.kafka_calls import Together, read
from gateway.eventlog.kafka_cluster import RETRY_SECONDS, Cluster
from gateway.eventlog.kafka_connections import Connections
from gateway.eventlog.kafka_partitioner import partition_of
from gateway.eventlog.offer import Fate, refusal
from gateway.eventlog.trouble import LASTING, Trouble, refuse

SEND_SECONDS = 4.0
"""What the brokers have not acknowledged by then is given up; within OFFER_SECONDS, and with time to say so."""

REQUESTS = 16
"""So many batches, each of another partition, are on their way to a broker at once."""

NO_TIMEOUT = 2**31 - 1
"""Brokers want the timeout of a transaction also from those that make none."""

REFUSED = frozenset({10, 18, 32, 87})
"""Nothing of the batch is stored, for what is in it: a record, or all together, too large, a timestamp out of range, or
a record that the topic cannot hold. An error that is in none of these lists may pass."""

UNNUMBERED = frozenset({45, 47, 59})
"""Nothing of the batch is stored: the broker expected another number, or does not know the producer any more."""

FORBIDDEN = frozenset({29, 31})
"""Nothing of the batch is stored, and nothing will be before somebody allows it."""


class Identity:
    """What the brokers know a producer by: an id and an epoch. Each partition counts the records that it sends."""

    def __init__(self, producer_id: int, epoch: int) -> None:
        self.name = (producer_id, epoch)
        self._sequences: dict[TopicPartition, int] = {}

    def sequence(self, partition: TopicPartition) -> int:
        """The number of the next record."""
        return self._sequences.get(partition, 0)

    def count(self, partition: TopicPartition, records: int) -> None:
        """So many were stored. Numbers begin anew after 2^31 - 1."""
        self._sequences[partition] = (self.sequence(partition) + records) & 0x7FFFFFFF


class Producer:
    """Sends one batch of a partition at a time. Whether one that is given up was stored is not known, and so neither is
    the next number; then another identity is taken."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connections = Connections(cluster.connect)
        self._identity: Identity | None = None
        self._identifying: Together[None, Identity] = Together()
        self._turns: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._requests: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(REQUESTS))
        self._keyless = 0

    async def close(self) -> None:
        """Bounded in time, and never raises."""
        self._identifying.cancel()
        await self._connections.close()

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        fates: list[Fate | None] = [refusal(new) for new in records]
        try:
            async with asyncio.timeout(SEND_SECONDS):
                leaders = await self._leaders(topic, records)
                spread = self._spread(topic, records, leaders, fates)
                await together(
                    self._send(TopicPartition(topic, number), records, indices, fates)
                    for number, indices in spread.items()
                )
        except TimeoutError:
            pass  # What has no fate yet has that of `late`.
        late = LogUnavailable(f"Kafka: append to {topic}: not acknowledged within {SEND_SECONDS:g} s")
        known = [late if fate is None else fate for fate in fates]
        if known and all(isinstance(fate, LogUnavailable) for fate in known):
            raise LogUnavailable(str(known[0]))
        if known and all(isinstance(fate, TopicAbsent) for fate in known) and self._cluster.cached(topic) is None:
            raise TopicAbsent(topic)
        return known

    async def _leaders(self, topic: str, records: Sequence[NewRecord]) -> Mapping[int, int | None]:
        """The partitions of the topic, with their leaders; asked for where a record names one that is not known."""
        zero = TopicPartition(topic, 0)
        told = (await self._cluster.leaders([zero]))[zero]
        if isinstance(told, Trouble) and told.kind in LASTING:
            refuse({zero: told})
        found = self._cluster.cached(topic)
        if found is None or any(new.partition is not None and new.partition not in found.leaders for new in records):
            found = (await self._cluster.topics([topic])).get(topic)
        if found is None:
            raise TopicAbsent(topic)
        return found.leaders

    def _spread(
        self,
        topic: str,
        records: Sequence[NewRecord],
        leaders: Mapping[int, int | None],
        fates: MutableSequence[Fate | None],
    ) -> dict[int, list[int]]:
        """The indices of the records by partition. Those without key and partition take turns among the led ones."""
        led = [number for number, leader in leaders.items() if leader is not None] or list(leaders)
        spread: dict[int, list[int]] = {}
        for index, new in enumerate(records):
            if fates[index] is not None:
                continue
            if new.partition is not None:
                number = new.partition
            elif new.key is not None:
                number = partition_of(new.key, len(leaders))
            else:
                self._keyless += 1
                number = led[self._keyless % len(led)]
            if number in leaders:
                spread.setdefault(number, []).append(index)
            else:
                fates[index] = TopicAbsent(topic)
        return spread

    async def _send(
        self,
        partition: TopicPartition,
        records: Sequence[NewRecord],
        indices: list[int],
        fates: MutableSequence[Fate | None],
    ) -> None:
        """Send the records at these indices, batch after batch, and set their fates."""
        async with self._turns[partition]:
            waiting = deque([indices])
            while waiting:
                group = waiting.popleft()
                try:
                    identity = await self._identified()
                except LogForbids as error:
                    for index in group:
                        fates[index] = error
                    continue
                offered = (records[index] for index in group)
                batch, count = build_batch(offered, identity.name, identity.sequence(partition))
                if count < len(group):
                    waiting.appendleft(group[count:])
                try:
                    verdict = await self._deliver(partition, batch)
                except LogError as error:
                    self._forget(identity)
                    for index in group[:count]:
                        fates[index] = error
                    continue
                except asyncio.CancelledError:
                    self._forget(identity)
                    raise
                if verdict.code == 0:
                    identity.count(partition, count)
                    for place, index in enumerate(group[:count], verdict.offset):
                        fates[index] = (partition, place)
                elif verdict.code in UNNUMBERED:
                    self._forget(identity)
                    waiting.appendleft(group[:count])
                else:
                    waiting.extendleft(reversed(_refuse(partition, verdict, group[:count], fates)))

    async def _deliver(self, partition: TopicPartition, batch: bytes) -> Verdict:
        """Send a batch until its partition's leader has stored it, or will not. Raises TopicAbsent, LogUnavailable."""
        request = ProduceRequest(partition, batch, SEND_SECONDS)
        unanswered = False
        while True:
            verdict = None
            with suppress(LogUnavailable):
                leader = await self._leader(partition)
                async with self._requests[leader]:
                    before, unanswered = unanswered, True
                    verdict = await self._cluster.while_leads(leader, [partition], self._ask(leader, request))
                    unanswered = before
            if verdict is not None:
                settled = verdict.code in REFUSED or verdict.code in UNNUMBERED
                if verdict.code == 0 or (settled and not unanswered):
                    return verdict
                if verdict.code in FORBIDDEN and not unanswered:
                    raise LogForbids(_complaint(partition, verdict))
                # What is refused now may have been stored when there was no answer.
                if settled or verdict.code in FORBIDDEN:
                    raise LogUnavailable(_complaint(partition, verdict))
            self._cluster.forget([partition.topic])
            await asyncio.sleep(RETRY_SECONDS)

    async def _leader(self, partition: TopicPartition) -> int:
        leader = (await self._cluster.leaders([partition]))[partition]
        if isinstance(leader, Trouble):
            if leader.kind in LASTING:
                refuse({partition: leader})
            raise LogUnavailable(leader.detail)
        return leader

    async def _ask(self, leader: int, request: ProduceRequest) -> Verdict:
        """Send a batch once. Raises LogUnavailable, after which nobody knows what became of it."""
        address = self._cluster.address(leader)
        await self._cluster.pause(address)
        response = await self._connections.send(address, request, SEND_SECONDS)
        self._cluster.throttle(address, getattr(response, "throttle_time_ms", None))
        return read("append", lambda: read_verdict(response))

    async def _identified(self) -> Identity:
        """The identity; one that is asked for is given to all who wait for it."""
        while self._identity is None:
            try:
                self._identity = await self._identifying.ask(None, self._identify)
            except LogUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
        return self._identity

    async def _identify(self) -> Identity:
        """Given by any broker; so one that hangs keeps nobody from writing to the others."""
        given = await self._cluster.send_to_any(InitProducerIdRequest(None, NO_TIMEOUT))
        if given.error_code in FORBIDDEN:
            reason = for_code(given.error_code).__name__
            raise LogForbids(f"Kafka: the gateway may not write (IdempotentWrite on the cluster): {reason}")
        if given.error_code != 0:
            raise LogUnavailable(f"Kafka: a producer is refused: {for_code(given.error_code).__name__}")
        return Identity(given.producer_id, given.producer_epoch)

    def _forget(self, identity: Identity) -> None:
        if self._identity is identity:
            self._identity = None


def _refuse(
    partition: TopicPartition, verdict: Verdict, sent: list[int], fates: MutableSequence[Fate | None]
) -> list[list[int]]:
    """Set the fates of those of the records sent that are at fault. Returns what is to be sent again, in groups: where
    the broker does not say who is at fault, each half for itself."""
    faulty = set(range(len(sent))) if len(sent) == 1 else set(verdict.faulty)
    for place in faulty:
        fates[sent[place]] = LogError(_complaint(partition, verdict))
    if not faulty:
        half = len(sent) // 2
        return [sent[:half], sent[half:]]
    left = [index for place, index in enumerate(sent) if place not in faulty]
    return [left] if left else []


def _complaint(partition: TopicPartition, verdict: Verdict) -> str:
    reason = verdict.reason or for_code(verdict.code).__name__
    return f"Kafka: {partition.topic}/{partition.partition} does not take a record: {reason}"

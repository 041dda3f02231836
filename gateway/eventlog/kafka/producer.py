"""Appends to Kafka without repeating itself: batches are numbered, so that brokers store none twice (KIP-98).

aiokafka's producer is not used. It does not say which records of a batch a broker refused, and it loses its numbers
when one was. It also retries for ever what it has reported as failed.
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
from gateway.eventlog.kafka.batch import BatchVerdict, ProduceRequest, build_batch, read_verdict
from gateway.eventlog.kafka.calls import Together, read
from gateway.eventlog.kafka.cluster import RETRY_SECONDS, Cluster
from gateway.eventlog.kafka.connections import CLOSE_SECONDS, BrokerConnections
from gateway.eventlog.kafka.partitioner import partition_of
from gateway.eventlog.kafka.trouble import (
    BATCH_TOO_LARGE,
    CLUSTER_FORBIDDEN,
    INVALID_RECORD,
    INVALID_TIMESTAMP,
    MESSAGE_TOO_LARGE,
    NOT_ENOUGH_REPLICAS,
    TOPIC_FORBIDDEN,
    trouble_of,
)
from gateway.eventlog.offer import Fate, refusal
from gateway.eventlog.trouble import LASTING, Kind, Trouble, refuse, trouble_with
from gateway.model.record import NewRecord, TopicPartition

SEND_SECONDS = 4.0
"""Seconds after which a record that is not acknowledged is late: within OFFER_SECONDS, and with time to say so."""

REQUESTS = 16
"""The most batches, each of another partition, that are on their way to a broker at once."""

LATE_PAUSE = 2.0
"""The longest pause between two attempts for what is late."""

NO_TIMEOUT = 2**31 - 1
"""Brokers want the timeout of a transaction also from those that make none."""

REFUSED = frozenset({MESSAGE_TOO_LARGE, BATCH_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD})
"""Errors that mean nothing of the batch is stored, because of its content. It may be too large, as a record or as a
whole; a timestamp may be out of range; or the topic cannot hold a record. Errors in none of these lists may pass."""

UNNUMBERED = frozenset({45, 47, 59})
"""Nothing of the batch is stored: the broker expected another number, or does not know the producer any more."""

FORBIDDEN = frozenset({TOPIC_FORBIDDEN, CLUSTER_FORBIDDEN})
"""Nothing of the batch is stored, and nothing will be before somebody allows it."""

NOT_STORED = REFUSED | UNNUMBERED | FORBIDDEN | {NOT_ENOUGH_REPLICAS}
"""Nothing of the batch is stored. With any other error it may be: a leader that resigns once it has appended a batch
says that it does not lead. Another batch of the same number would then pass for a repetition, and be lost."""


class ProducerIdentity:
    """The identity of a producer for the brokers: an id and an epoch. Each partition numbers the records that it
    sends."""

    def __init__(self, producer_id: int, epoch: int) -> None:
        self.name = (producer_id, epoch)
        self._sequences: dict[TopicPartition, int] = {}

    def sequence(self, partition: TopicPartition) -> int:
        """The number of the next record."""
        return self._sequences.get(partition, 0)

    def count(self, partition: TopicPartition, records: int) -> None:
        """Count stored records. Numbers start at 0 again after 2^31 - 1."""
        self._sequences[partition] = (self.sequence(partition) + records) & 0x7FFFFFFF


class Parcel:
    """A batch on its way: `count` records, numbered by this identity. `unanswered`: it may be stored, or may still be.
    `late`: nobody waits for it any more."""

    __slots__ = ("batch", "count", "identity", "late", "partition", "unanswered")

    def __init__(self, partition: TopicPartition, batch: bytes, identity: ProducerIdentity, count: int) -> None:
        self.partition = partition
        self.batch = batch
        self.identity = identity
        self.count = count
        self.unanswered = False
        self.late = False


class KafkaProducer:
    """Sends one batch of a partition at a time.

    A batch that was sent and not answered may be taken at any time: by a broker that was paused, out of its socket. So
    it is sent again under the same number until a broker says what became of it, though nobody waits for it any more;
    then no copy of it can be stored later. What comes for the partition meanwhile waits, and is not sent in vain.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connections = BrokerConnections(cluster.connect)
        self._identity: ProducerIdentity | None = None
        self._identifying: Together[None, ProducerIdentity] = Together()
        self._turns: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._late: dict[TopicPartition, asyncio.Task[None]] = {}
        """The work for a partition that continues after its caller has learned that it is late."""
        self._requests: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(REQUESTS))
        self._keyless = 0
        self._troubles: dict[TopicPartition, Trouble] = {}
        """The reasons why the batches of a partition are not stored, as of the last try."""
        self._unnamed: Trouble | None = None
        """Why there is no identity, as of the last try."""
        self._closed = False

    async def close(self) -> None:
        """Bounded in time, and never raises."""
        self._closed = True
        self._identifying.cancel()
        late = list(self._late.values())
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CLOSE_SECONDS)
        self._late.clear()  # one that was cancelled before it began has not done that itself
        await self._connections.close()

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        fates: list[Fate | None] = [refusal(new) for new in records]
        spread: dict[int, list[int]] = {}
        try:
            async with asyncio.timeout(SEND_SECONDS):
                leaders = await self._leaders(topic, records)
                spread = self._spread(topic, records, leaders, fates)
                sends = [
                    self._send(TopicPartition(topic, number), records, indices, fates)
                    for number, indices in spread.items()
                ]
                if len(sends) == 1:
                    await sends[0]
                else:
                    await together(sends)
        except TimeoutError:
            pass  # What has no fate yet has that of `late`.
        late = self._late_error(topic, [number for number, indices in spread.items() if fates[indices[-1]] is None])
        known = [late if fate is None else fate for fate in fates]
        unavailable = [fate for fate in known if isinstance(fate, LogUnavailable)]
        if known and len(unavailable) == len(known):
            raise LogUnavailable(str(unavailable[0]), unavailable[0].kind)
        if known and all(isinstance(fate, TopicAbsent) for fate in known) and self._cluster.cached(topic) is None:
            raise TopicAbsent(topic)
        return known

    def _late_error(self, topic: str, numbers: Sequence[int]) -> LogUnavailable:
        """The error for records of these partitions that were not acknowledged in time, with the reason if it is
        known."""
        partitions = (TopicPartition(topic, number) for number in numbers)
        trouble = next((self._troubles[each] for each in partitions if each in self._troubles), self._unnamed)
        detail = f"Kafka: append to {topic}: not acknowledged within {SEND_SECONDS:g} s"
        return (
            LogUnavailable(detail) if trouble is None else LogUnavailable(f"{detail}: {trouble.detail}", trouble.kind)
        )

    async def settle(self, topic: str) -> None:
        """See EventLog."""
        late = {task for partition, task in self._late.items() if partition.topic == topic}
        if late:
            _, late = await asyncio.wait(late, timeout=SEND_SECONDS)
        if late:
            raise LogUnavailable(f"Kafka: the outcome of an append to {topic} is not known yet")

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
        """Send the records at these indices, batch after batch, and set their fates. If the caller is cancelled,
        batches already sent are left to `_late`."""
        async with self._turns[partition]:
            if partition in self._late:
                await asyncio.wait([self._late[partition]])
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
                    verdict = await self._deliver(Parcel(partition, batch, identity, count))
                except LogError as error:
                    for index in group[:count]:
                        fates[index] = error
                    continue
                if verdict.code == 0:
                    for offset, index in enumerate(group[:count], verdict.offset):
                        fates[index] = (partition, offset)
                elif verdict.code in UNNUMBERED:
                    waiting.appendleft(group[:count])
                else:
                    waiting.extendleft(reversed(_refuse(partition, verdict, group[:count], fates)))

    async def _deliver(self, parcel: Parcel) -> BatchVerdict:
        """Send a batch until its partition's leader has stored it, or will not. Raises TopicAbsent, LogUnavailable."""
        try:
            verdict = await self._try(parcel)
        except LogError:
            self._forget(parcel.identity)
            raise
        except asyncio.CancelledError:
            if parcel.unanswered and not parcel.late and not self._closed:
                parcel.late = True
                self._late[parcel.partition] = asyncio.create_task(self._go_on(parcel))
            raise
        if verdict.code == 0:
            parcel.identity.count(parcel.partition, parcel.count)
        elif verdict.code in UNNUMBERED:
            self._forget(parcel.identity)
        return verdict

    async def _go_on(self, parcel: Parcel) -> None:
        """Find out the fate of a batch, for the batches that follow, and for clients that send it again."""
        try:
            with suppress(LogError):
                await self._deliver(parcel)
        finally:
            del self._late[parcel.partition]

    async def _try(self, parcel: Parcel) -> BatchVerdict:
        partition = parcel.partition
        request = ProduceRequest(partition, parcel.batch, SEND_SECONDS)
        pause = RETRY_SECONDS
        self._troubles.pop(partition, None)
        while True:
            verdict = None
            try:
                leader = await self._leader(partition)
                async with self._requests[leader]:
                    before, parcel.unanswered = parcel.unanswered, True
                    verdict = await self._cluster.while_leads(leader, [partition], self._ask(leader, request))
                    parcel.unanswered = before or verdict.code not in NOT_STORED
            except LogUnavailable as error:
                self._troubles[partition] = trouble_with(error)
            if verdict is not None:
                trouble = _complaint(partition, verdict)
                if verdict.code == 0:
                    self._troubles.pop(partition, None)
                else:
                    self._troubles[partition] = trouble
                settled = verdict.code in REFUSED or verdict.code in UNNUMBERED
                if verdict.code == 0 or (settled and not parcel.unanswered):
                    return verdict
                if verdict.code in FORBIDDEN and not parcel.unanswered:
                    raise LogForbids(trouble.detail, trouble.kind)
                # What is refused now may have been stored when there was no answer.
                if settled or verdict.code in FORBIDDEN:
                    raise LogUnavailable(trouble.detail, trouble.kind)
            self._cluster.forget([partition.topic])
            await asyncio.sleep(pause)
            if parcel.late:
                pause = min(2 * pause, LATE_PAUSE)

    async def _leader(self, partition: TopicPartition) -> int:
        leader = (await self._cluster.leaders([partition]))[partition]
        if isinstance(leader, Trouble):
            if leader.kind in LASTING:
                refuse({partition: leader})
            raise LogUnavailable(leader.detail, leader.kind)
        return leader

    async def _ask(self, leader: int, request: ProduceRequest) -> BatchVerdict:
        """Send a batch once. Raises LogUnavailable, after which nobody knows what became of it."""
        address = self._cluster.address(leader)
        await self._cluster.pause(address)
        response = await self._connections.send(address, request, SEND_SECONDS)
        self._cluster.throttle(address, getattr(response, "throttle_time_ms", None))
        return read("append", lambda: read_verdict(response))

    async def _identified(self) -> ProducerIdentity:
        """The identity; one that is asked for is given to all who wait for it."""
        while self._identity is None:
            try:
                self._identity = await self._identifying.ask(None, self._identify)
                self._unnamed = None
            except LogUnavailable as error:
                self._unnamed = trouble_with(error)
                await asyncio.sleep(RETRY_SECONDS)
        return self._identity

    async def _identify(self) -> ProducerIdentity:
        """Given by any broker; so one that hangs keeps nobody from writing to the others."""
        given = await self._cluster.send_to_any(InitProducerIdRequest(None, NO_TIMEOUT))
        if given.error_code in FORBIDDEN:
            reason = for_code(given.error_code).__name__
            detail = f"Kafka: the gateway may not write (IdempotentWrite on the cluster): {reason}"
            raise LogForbids(detail, Kind.NO_RIGHT)
        if given.error_code != 0:
            raise LogUnavailable(f"Kafka: a producer is refused: {for_code(given.error_code).__name__}")
        return ProducerIdentity(given.producer_id, given.producer_epoch)

    def _forget(self, identity: ProducerIdentity) -> None:
        if self._identity is identity:
            self._identity = None


def _refuse(
    partition: TopicPartition, verdict: BatchVerdict, sent: list[int], fates: MutableSequence[Fate | None]
) -> list[list[int]]:
    """Set the fates of those of the records sent that are at fault. Returns what is to be sent again, in groups: where
    the broker does not say who is at fault, each half for itself."""
    faulty = set(range(len(sent))) if len(sent) == 1 else set(verdict.faulty)
    for position in faulty:
        trouble = _complaint(partition, verdict)
        fates[sent[position]] = LogError(trouble.detail, trouble.kind)
    if not faulty:
        half = len(sent) // 2
        return [sent[:half], sent[half:]]
    left = [index for position, index in enumerate(sent) if position not in faulty]
    return [left] if left else []


def _complaint(partition: TopicPartition, verdict: BatchVerdict) -> Trouble:
    what = f"{partition.topic}/{partition.partition} does not take a record"
    return trouble_of(verdict.code, what, verdict.reason)

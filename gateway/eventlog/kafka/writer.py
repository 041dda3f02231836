"""Appends to Kafka in transactions that also hold a position: a record of the gateway's own compacted topic.

The name of a writer gives its transactional id. Opening a writer ends what an earlier one with that id has begun, and
fences it off (KIP-98). So the position that is read after that is the one that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, MessageSizeTooLargeError, ProducerFenced, RecordTooLargeError

from gateway.errors import LogError, LogUnavailable, WriterFenced
from gateway.eventlog.kafka.calls import CALL_SECONDS, FAILURES, within
from gateway.eventlog.kafka.cluster import Cluster
from gateway.eventlog.kafka.connections import CLOSE_SECONDS
from gateway.eventlog.kafka.transactions import producer_options, send_all, stop_producer
from gateway.eventlog.trouble import demand
from gateway.model.record import NewRecord, TopicPartition
from gateway.outbound.certificates import why_refused

POSITIONS = TopicPartition("gateway.positions", 0)
"""Where the positions are: the key of a record is the writer's name, its value the position."""

POSITIONS_SETTINGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(4 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
}
"""Small segments: a writer that is opened reads them all, and the newest is never compacted."""

TRANSACTION_SECONDS = 30.0
"""Brokers abort a transaction that is not ended by then; until then its writer's death holds up the readers of what
stands behind it. A new writer of the same name ends it at once."""

APPEND_SECONDS = CALL_SECONDS - CLOSE_SECONDS
"""A transaction that is not ended by then is given up, with time to let go of its producer."""
LONGEST_APPEND = 20.0
"""The same after several in a row that were given up; before the brokers abort it."""

FENCED = (ProducerFenced, InvalidProducerEpoch)
TOO_LARGE = (MessageSizeTooLargeError, RecordTooLargeError)


def make_producer(bootstrap: Sequence[str], options: Mapping[str, object], name: str) -> Any:
    """A producer with the transactional id of this name; its maker stops it."""
    return AIOKafkaProducer(
        transactional_id=f"gateway.{name}",
        transaction_timeout_ms=int(TRANSACTION_SECONDS * 1000),
        **producer_options(bootstrap, options),
    )


async def start_producer(producer: Any, name: str) -> None:
    """Fence off every other producer of this name. Raises LogUnavailable; not bounded in time."""
    try:
        await producer.start()
    except FAILURES as error:
        raise LogUnavailable(f"Kafka: open the writer {name!r}: {why_refused(error) or repr(error)}") from error


class Patience:
    """The seconds that an append of one name is given: twice as many after each that was given up. What is given up is
    begun anew, and brokers that have just started are slow: with the same time it might never end."""

    def __init__(self) -> None:
        self.seconds = APPEND_SECONDS

    def grow(self) -> None:
        """One was given up."""
        self.seconds = min(2 * self.seconds, LONGEST_APPEND)

    def reset(self) -> None:
        """One has ended."""
        self.seconds = APPEND_SECONDS


class KafkaWriter:
    """A LogWriter over Kafka. Every append is a transaction. All writers of a name share its patience."""

    def __init__(
        self, cluster: Cluster, name: str, producer: Any, position: bytes | None, patience: Patience | None = None
    ) -> None:
        self._cluster = cluster
        self._name = name
        self._producer = producer
        self._patience = patience or Patience()
        self.position = position

    async def append(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        """See LogWriter. After an error, other than TopicAbsent and Refused, this writer is of no more use."""
        if self._producer is None:
            raise LogUnavailable(f"Kafka: the writer {self._name!r} has failed; open another")
        named = {TopicPartition(topic, new.partition or 0) for topic, new in records}
        where = ", ".join(sorted({topic for topic, _ in named})) or POSITIONS.topic
        seconds = self._patience.seconds
        deadline = asyncio.get_running_loop().time() + seconds
        async with within(seconds, f"append to {where}"):
            demand(await self._cluster.leaders(named))
        try:
            async with asyncio.timeout_at(deadline):
                locations = await self._transact(records, position)
        except TOO_LARGE as error:
            await self.close()
            raise LogError(f"Kafka: a record for {where} is too large: {error}") from error
        except FENCED as error:
            await self.close()
            raise WriterFenced(self._name) from error
        except FAILURES as error:
            late = isinstance(error, TimeoutError)
            if late:
                self._patience.grow()
            await self.close()
            why = f"not done within {seconds:g} s" if late else repr(error)
            raise LogUnavailable(f"Kafka: append to {where}: {why}") from error
        except BaseException:
            await self.close()
            raise
        self._patience.reset()
        self.position = position
        return locations

    async def close(self) -> None:
        """See LogWriter. A transaction under way is ended by the next writer of this name, or by the brokers."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)

    async def _transact(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        producer = self._producer
        await producer.begin_transaction()
        try:
            new = NewRecord(position, self._name.encode(), partition=POSITIONS.partition)
            *locations, _ = await send_all(producer, [*records, (POSITIONS.topic, new)])
        except TOO_LARGE:
            await producer.abort_transaction()
            raise
        await producer.commit_transaction()
        return locations

"""Builds the numbered batches of records for Kafka, and reads what a broker answers to one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from aiokafka.protocol.api import Request
from aiokafka.protocol.produce import ProduceRequest_v3, ProduceRequest_v7, ProduceRequest_v8
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from gateway.model.record import NewRecord, TopicPartition

BATCH_BYTES = 256 * 1024
"""Records of one partition are sent together up to this; a larger one is alone in its batch."""

MAGIC = 2
"""The version of Kafka's record batches (0.11 and later)."""

UNCOMPRESSED = 0

ALL_REPLICAS = -1

ProduceStruct: TypeAlias = ProduceRequest_v3 | ProduceRequest_v7 | ProduceRequest_v8


class ProduceRequest(Request[ProduceStruct]):  # type: ignore[misc]  # aiokafka is not typed
    """One batch of one partition, for all replicas in sync. From version 8 on (KIP-467) a broker says which records of
    a batch it refuses, and aiokafka's own request stops at 7."""

    API_KEY = 0

    def __init__(self, partition: TopicPartition, batch: bytes, seconds: float) -> None:
        topic, number = partition
        self._fields = (None, ALL_REPLICAS, int(seconds * 1000), [(topic, [(number, batch)])])

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request in the version that aiokafka has agreed on with the broker."""
        return request_struct_class(*self._fields)


class BatchVerdict(NamedTuple):
    """A broker's verdict on a batch: Kafka's error code, the offset of its first record, the records at fault
    (if the broker names them), and the reason."""

    code: int
    offset: int
    faulty: tuple[int, ...] = ()
    reason: str | None = None


def read_verdict(response: Any) -> BatchVerdict:
    """The verdict out of a response of any version."""
    ((_, ((_, code, offset, *more),)),) = response.topics
    errors, reason = more[2:] or ((), None)
    said = [why for _, why in errors or () if why]
    return BatchVerdict(code, offset, tuple(index for index, _ in errors or ()), said[0] if said else reason)


def build_batch(records: Iterable[NewRecord], producer: tuple[int, int], sequence: int) -> tuple[bytes, int]:
    """A batch of the first of these records (at least one), and how many they are. `producer` is its id and epoch, and
    `sequence` the number of the first record among all that it sends to the partition."""
    builder = DefaultRecordBatchBuilder(
        MAGIC,
        UNCOMPRESSED,
        is_transactional=False,
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=sequence,
        batch_size=BATCH_BYTES,
    )
    append = builder.append
    count = 0
    for new in records:
        if append(count, new.timestamp, new.key, new.value, list(new.headers)) is None:
            break
        count += 1
    return builder.build(), count

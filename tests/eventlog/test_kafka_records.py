"""Batches of records as a broker sends them: what is unpacked, and what is refused."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from gateway.event import TopicPartition
from gateway.eventlog.kafka_fetch import Fetched
from gateway.eventlog.kafka_records import PartitionBuffer

PARTITION = TopicPartition("topic", 0)
BATCH = 10
HEAD = 61
"""Bytes of a batch before its first record."""


def batch(first: int, codec: int = 0, epoch: int = 0) -> bytes:
    """A batch with the records from an offset on, taken by the leader of this epoch."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for index in range(BATCH):
        builder.append(index, 1_690_000_000_000, b"key", b"%d" % (first + index) * 20, [])
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")
    data[12:16] = epoch.to_bytes(4, "big", signed=True)
    return bytes(data)


def fetched(data: bytes, end: int = 0) -> Fetched:
    return Fetched(PARTITION, 0, end, [], data)


def offsets(buffer: PartitionBuffer) -> list[int]:
    return [record.offset for record in buffer.take(1000)[0]]


@pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("place", [HEAD - 40, HEAD, -1], ids=["head", "first record", "last record"])
def test_a_corrupt_batch_is_refused(codec: int, place: int) -> None:
    sound, broken, behind = batch(0, codec), bytearray(batch(BATCH, codec)), batch(2 * BATCH, codec)
    broken[place] ^= 1
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(sound + broken + behind)) is not None
    assert buffer.ahead == BATCH
    assert offsets(buffer) == list(range(BATCH))
    assert buffer.add(fetched(bytes(broken))) is not None
    assert buffer.position == BATCH
    assert buffer.add(fetched(batch(BATCH, codec) + behind)) is None
    assert offsets(buffer) == list(range(BATCH, 3 * BATCH))


def test_whether_there_is_more_is_known_once_the_broker_has_said_where_the_end_is() -> None:
    buffer = PartitionBuffer(PARTITION, 0)
    known = [buffer.unfetched]
    for first in (0, BATCH):
        assert buffer.add(fetched(batch(first), end=2 * BATCH)) is None
        known.append(buffer.unfetched)
    assert known == [False, True, False]


def test_a_position_has_the_epoch_of_what_was_read_before_it() -> None:
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(batch(0, epoch=3) + batch(BATCH, epoch=5))) is None
    told = [(buffer.position, buffer.stamp, buffer.ahead, buffer.epoch)]
    for count in (4, 6, 1):
        assert len(buffer.take(count)[0]) == count
        told.append((buffer.position, buffer.stamp, buffer.ahead, buffer.epoch))
    assert told == [(0, -1, 20, 5), (4, 3, 20, 5), (10, 3, 20, 5), (11, 5, 20, 5)]
    buffer.drop()
    assert (buffer.position, buffer.stamp, buffer.ahead, buffer.epoch, buffer.size) == (11, 5, 11, 5, 0)
    assert buffer.add(fetched(batch(BATCH, epoch=7))) is None
    assert (offsets(buffer), buffer.stamp) == (list(range(11, 20)), 7)


def test_a_batch_that_was_cut_is_left_for_the_next_response() -> None:
    buffer = PartitionBuffer(PARTITION, 5)
    assert buffer.add(fetched(batch(0) + batch(BATCH)[:-1])) is None
    assert offsets(buffer) == list(range(5, BATCH))
    assert buffer.ahead == BATCH

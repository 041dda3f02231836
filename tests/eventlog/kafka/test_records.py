"""Batches of records as a broker sends them: what is unpacked, and what is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from gateway.eventlog.kafka.codecs import EXPANDED_BYTES
from gateway.eventlog.kafka.fetch import Fetched
from gateway.eventlog.kafka.records import PartitionBuffer
from gateway.eventlog.trouble import Kind
from gateway.model.record import Record, TopicPartition

PARTITION = TopicPartition("topic", 0)
BATCH = 10
HEAD = 61
"""Bytes of a batch before its first record."""
ENCODERS: list[Callable[[bytes], bytes]] = [bytes, gzip_encode, snappy_encode, lz4_encode, zstd_encode]


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
@pytest.mark.parametrize("position", [HEAD - 40, HEAD, -1], ids=["head", "first record", "last record"])
def test_a_corrupt_batch_is_refused(codec: int, position: int) -> None:
    sound, broken, behind = batch(0, codec), bytearray(batch(BATCH, codec)), batch(2 * BATCH, codec)
    broken[position] ^= 1
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


@pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("taken", [1, 3, 1000])
def test_a_header_whose_name_is_no_text_costs_no_record(codec: int, taken: int) -> None:
    """A broker takes it, and aiokafka raises for the whole batch."""
    buffer = PartitionBuffer(PARTITION, 2)
    assert buffer.add(fetched(strange(codec, b"\x06a\xffc", b"\x06abc") + batch(BATCH, codec))) is None
    records: list[Record] = []
    while buffer.position < 2 * BATCH:
        found, _, wrong = buffer.take(taken)
        assert wrong is None
        records += found
    assert [record.offset for record in records] == list(range(2, 2 * BATCH))
    assert [record.value for record in records[:BATCH]] == [b"%d" % n * 20 for n in range(2, BATCH + 2)]
    assert {record.timestamp for record in records} == {1_690_000_000_000}
    headers = [record.headers for record in records if record.headers]
    assert headers == [(("a\\xffc", b"content"), ("empty", b""))]


def test_a_record_that_cannot_be_read_is_there_without_a_value() -> None:
    """The length of a header's name goes beyond the record."""
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(strange(0, b"\x7eabc", b"\x06abc"))) is None
    records, _, wrong = buffer.take(1000)
    assert wrong is None
    assert [(record.offset, record.value is None) for record in records] == [(n, n == 5) for n in range(BATCH)]


def test_a_batch_whose_records_cannot_be_told_apart_is_refused_with_its_end() -> None:
    data = bytearray(batch(0))
    data[HEAD] = 0x01  # the length of the first record is -1
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(signed(data) + batch(BATCH))) is None
    records, _, wrong = buffer.take(1000)
    assert records == []
    assert wrong is not None
    assert (wrong.kind, wrong.offset, wrong.beyond) == (Kind.UNREADABLE, 0, BATCH)


def test_where_a_damaged_batch_ends_is_told_as_far_as_its_head_can_be_true() -> None:
    for position, beyond in ((-1, 2 * BATCH), (HEAD - 38, -1)):  # a record, and the number of the last one
        data = bytearray(batch(BATCH))
        data[position] ^= 0x7F
        buffer = PartitionBuffer(PARTITION, BATCH)
        wrong = buffer.add(fetched(bytes(data), end=2 * BATCH))
        assert wrong is not None
        assert (wrong.kind, wrong.offset, wrong.beyond) == (Kind.UNREADABLE, BATCH, beyond)


def strange(codec: int, name: bytes, instead_of: bytes) -> bytes:
    """A batch of which one record has a header with this name, its length before it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for index in range(BATCH):
        headers = [("abc", b"content"), ("empty", None)] if index == 5 else []
        builder.append(index, 1_690_000_000_000, b"key", b"%d" % index * 20, headers)
    data = bytearray(builder.build())
    at = data.index(instead_of)
    data[at : at + len(instead_of)] = name
    data[HEAD:] = ENCODERS[codec](bytes(data[HEAD:]))
    data[22] |= codec
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    return signed(data)


def signed(data: bytearray) -> bytes:
    """With the right checksum."""
    data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


CODECS = pytest.mark.parametrize("codec", range(1, 5), ids=["gzip", "snappy", "lz4", "zstd"])


def large(codec: int, first: int, values: list[bytes]) -> bytes:
    """A compressed batch with these values."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for index, value in enumerate(values):
        builder.append(index, 1_690_000_000_000, None, value, [])
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")
    return bytes(data)


@pytest.mark.long
@CODECS
def test_a_batch_that_holds_too_much_is_not_expanded(codec: int) -> None:
    """Some kilobytes stand for more than a process should hold: it is passed over, and told."""
    bomb = large(codec, 0, [bytes(8 << 20)] * 5)
    assert codec == 2 or len(bomb) < 1 << 18
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(bomb + large(codec, 5, [b"after"]))) is None
    tracemalloc.start()
    try:
        records, _, wrong = buffer.take(1000)
        assert tracemalloc.get_traced_memory()[1] < EXPANDED_BYTES
    finally:
        tracemalloc.stop()
    assert not records
    assert wrong is not None
    assert (wrong.kind, wrong.offset, wrong.beyond) == (Kind.UNREADABLE, 0, 5)
    assert "more than 33,554,432 bytes" in wrong.detail


@pytest.mark.long
@CODECS
def test_a_large_batch_is_read_in_parts(codec: int) -> None:
    values = [bytes([index]) * (3 << 20) for index in range(10)]
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(large(codec, 0, values))) is None
    found: list[bytes | None] = []
    while buffer.position < 10:
        records, size, wrong = buffer.take(1000, 1 << 20)
        assert (len(records), wrong) == (1, None)
        assert size < 4 << 20
        assert buffer.expanded == 0 if buffer.position == 10 else 30 << 20 < buffer.expanded < EXPANDED_BYTES
        found += [record.value for record in records]
        if buffer.position == 4:
            buffer.fold()
    assert found == values


@CODECS
def test_what_was_compressed_waits_where_enough_is_expanded(codec: int) -> None:
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(batch(0) + batch(BATCH, codec))) is None
    assert [record.offset for record in buffer.take(1000, expand=False)[0]] == list(range(BATCH))
    assert not buffer.take(1000, expand=False)[0]
    assert len(buffer.take(3)[0]) == 3
    assert len(buffer.take(1000, expand=False)[0]) == BATCH - 3, "it is expanded already"


@pytest.mark.long
@pytest.mark.parametrize("magic", [0, 1])
def test_an_old_message_that_holds_too_much_is_not_expanded(magic: int) -> None:
    for size, expected in ((1 << 20, 5), (8 << 20, 0)):
        buffer = PartitionBuffer(PARTITION, 0)
        buffer.add(fetched(old(magic, size)))
        assert len(buffer.take(1000, 1 << 30)[0]) == expected


@pytest.mark.parametrize("magic", [0, 1])
def test_what_an_old_message_holds_expanded_is_counted(magic: int) -> None:
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(old(magic, 100_000))) is None
    assert not buffer.take(1000, expand=False)[0]
    assert len(buffer.take(2)[0]) == 2
    assert 500_000 < buffer.expanded < 501_000
    assert len(buffer.take(1000, expand=False)[0]) == 3, "it is expanded already"
    assert (buffer.position, buffer.expanded) == (5, 0)


def old(magic: Any, size: int) -> bytes:
    """A compressed message of an old format, with five records of so many bytes."""
    builder = LegacyRecordBatchBuilder(magic, 1, 1 << 30)
    for index in range(5):
        builder.append(index, None if magic == 0 else 1_690_000_000_000, b"key", bytes(size))
    # The broker writes the offset of the last record into the wrapper.
    return (4).to_bytes(8, "big") + bytes(builder.build())[8:]


def placed(offsets: Sequence[int], codec: int = 0, *, last: int = 2, count: int | None = None) -> bytearray:
    """A batch with records at these offsets, of which the head names the last one, and says how many there are."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for offset in offsets:
        builder.append(offset, 1_690_000_000_000, b"key", b"value", [("abc", b"content")])
    data = bytearray(builder.build())
    data[23:27] = last.to_bytes(4, "big")
    data[57:61] = (len(offsets) if count is None else count).to_bytes(4, "big", signed=True)
    return data


@pytest.mark.parametrize("codec", [0, 1], ids=["none", "gzip"])
@pytest.mark.parametrize("odd", [False, True], ids=["aiokafka", "salvage"])
@pytest.mark.parametrize(
    ("given", "read"),
    [((0, 1_000_000, 2), 1), ((0, 2, 2), 1), ((0, 0, 2), 1), ((1, 0, 2), 0), ((0, 1, 3), 2), ((-1, 1, 2), 0)],
)
@pytest.mark.parametrize("most", [1, 1000])
def test_a_record_whose_offset_cannot_be_true_hides_no_other(
    codec: int, given: tuple[int, ...], read: int, most: int, *, odd: bool
) -> None:
    """A broker looks at the offsets within a batch only if it is compressed. Behind one of 1000000 nothing else would
    be new."""
    data = placed(given)
    if odd:
        data = data.replace(b"\x06abc", b"\x06a\xffc", 1)
    data[HEAD:] = ENCODERS[codec](bytes(data[HEAD:]))
    data[22] |= codec
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(signed(data) + signed(moved(placed((0, 1, 2)), 3)))) is None
    found: list[int] = []
    wrong = None
    while wrong is None and buffer.position < buffer.ahead:
        records, _, wrong = buffer.take(most)
        found += [record.offset for record in records]
    assert found == list(range(read))
    assert wrong is not None
    assert (wrong.kind, wrong.offset, wrong.beyond) == (Kind.UNREADABLE, read, 3)
    assert "cannot be true" in wrong.detail
    assert buffer.take(most) == ([], 0, wrong), "and it is told again"


@pytest.mark.parametrize("count", [0, 1, -1, 4, 2**31 - 1])
def test_a_batch_that_miscounts_its_records_hides_none(count: int) -> None:
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(signed(placed((0, 1, 2), count=count)))) is None
    records, _, wrong = buffer.take(1000)
    assert [record.offset for record in records] == ([0] if count == 1 else [])
    assert wrong is not None
    assert (wrong.kind, wrong.offset, wrong.beyond) == (Kind.UNREADABLE, len(records), 3)


def test_a_compacted_batch_has_holes() -> None:
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(signed(placed((1, 4), last=7)) + signed(moved(placed((), last=1), 8)))) is None
    records, _, wrong = buffer.take(1000)
    assert ([record.offset for record in records], wrong, buffer.position) == ([1, 4], None, 10)


def test_what_stands_behind_the_last_offset_of_a_batch_is_passed_over() -> None:
    data = placed((0, 1, 2)) + b"more"
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(signed(data) + signed(moved(placed((0, 1, 2)), 3)))) is None
    records, _, wrong = buffer.take(1000)
    assert ([record.offset for record in records], wrong) == (list(range(6)), None)


def moved(data: bytearray, first: int) -> bytearray:
    """The batch at another offset, which its checksum does not cover."""
    data[:8] = first.to_bytes(8, "big")
    return data


def test_a_number_that_goes_beyond_its_record_is_read_no_further() -> None:
    """There, aiokafka takes whatever the memory holds."""
    data = placed((0, 1, 2))
    at = data.index(b"\x02\x06abc")
    last = bytes(data[at : at + 13])
    assert last == b"\x02\x06abc\x0econtent"
    # The first record ends with the count of its headers, which goes on.
    data[at : at + len(last)] = b"\x80"
    data[HEAD] -= 2 * (len(last) - 1)
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    buffer = PartitionBuffer(PARTITION, 0)
    assert buffer.add(fetched(signed(data))) is None
    records, _, wrong = buffer.take(1000)
    assert wrong is None
    assert [(record.offset, record.value) for record in records] == [(0, None), (1, b"value"), (2, b"value")]


def marker(codec: int, key: bytes | None = b"\0\0\0\0") -> bytes:
    """The end of an aborted transaction."""
    builder = DefaultRecordBatchBuilder(2, codec, 1, 7, 0, -1, 1 << 20)
    builder.append(0, 1_690_000_000_000, key, bytes(1 << 12), [])
    data = bytearray(builder.build())
    data[22] |= 0x20
    return signed(moved(data, BATCH))


def test_a_marker_of_a_transaction_is_not_expanded() -> None:
    """It is looked at as soon as it arrives, and aiokafka knows no bound."""
    for data, expected in ((marker(0), None), (marker(1), "compressed"), (marker(0, None), ""), (marker(0, b"x"), "")):
        buffer = PartitionBuffer(PARTITION, 0)
        wrong = buffer.add(fetched(batch(0) + data, end=BATCH + 1))
        assert offsets(buffer) == list(range(BATCH))
        if expected is None:
            assert wrong is None
            continue
        assert wrong is not None
        assert (wrong.kind, wrong.offset, wrong.beyond) == (Kind.UNREADABLE, BATCH, BATCH + 1)
        assert expected in wrong.detail

"""The fetch request and its answer: the same bytes that aiokafka's schemas make and read, and nothing but answers."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v4, FetchResponse_v11
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.fetch import Fetched, FetchLimits, FetchPosition, FetchRequest
from gateway.eventlog.kafka.protocol import Uuid
from gateway.model.record import TopicPartition

CORRELATION = 7
NEW = {1: (4, 17)}
IDS = {"a": b"A" * 16, "b": b"B" * 16}
NAMES = {1: (4, 12)}
POSITIONS = {
    TopicPartition("a", 0): FetchPosition(5, 2, 3),
    TopicPartition("b", 2): FetchPosition(1 << 40),
    TopicPartition("a", 1): FetchPosition(0),
}

HEADER = Schema(
    ("size", Int32),
    ("key", Int16),
    ("version", Int16),
    ("correlation", Int32),
    ("client_length", Int16),
    ("client", Int16),
    ("tags", TaggedFields),
)
ASKED = (
    ("partition", Int32),
    ("current_leader_epoch", Int32),
    ("fetch_offset", Int64),
    ("last_fetched_epoch", Int32),
    ("log_start_offset", Int64),
    ("max_bytes", Int32),
    ("tags", TaggedFields),
)
REQUEST = Schema(
    ("replica_id", Int32),
    ("max_wait_time", Int32),
    ("min_bytes", Int32),
    ("max_bytes", Int32),
    ("isolation_level", Int8),
    ("session_id", Int32),
    ("session_epoch", Int32),
    ("topics", CompactArray(("topic_id", Uuid), ("partitions", CompactArray(*ASKED)), ("tags", TaggedFields))),
    ("forgotten", CompactArray(("topic_id", Uuid), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))),
    ("rack_id", CompactString("utf-8")),
    ("tags", TaggedFields),
)
ABORTED = (("producer_id", Int64), ("first_offset", Int64), ("tags", TaggedFields))
ANSWERED = (
    ("partition", Int32),
    ("error_code", Int16),
    ("high_watermark", Int64),
    ("last_stable_offset", Int64),
    ("log_start_offset", Int64),
    ("aborted_transactions", CompactArray(*ABORTED)),
    ("preferred_read_replica", Int32),
    ("records", CompactBytes),
    ("tags", TaggedFields),
)
RESPONSE = Schema(
    ("correlation", Int32),
    ("header_tags", TaggedFields),
    ("throttle_time_ms", Int32),
    ("error_code", Int16),
    ("session_id", Int32),
    ("topics", CompactArray(("topic_id", Uuid), ("partitions", CompactArray(*ANSWERED)), ("tags", TaggedFields))),
    ("tags", TaggedFields),
)


def request(versions: dict[int, tuple[int, int]] | None = None) -> tuple[FetchRequest, bytes]:
    """A request that has been sent, and what was."""
    made = FetchRequest(POSITIONS, IDS, FetchLimits(500, 4000, 1000))
    return made, made.encode(versions or NEW, CORRELATION, b"me")


def answer(error: int = 0, correlation: int = CORRELATION, topic_id: bytes = IDS["a"], partition: int = 0) -> bytes:
    """An answer with what every field may be: long, empty, none."""
    one: Any = (partition, 0, 9, 8, 1, [(3, 4, {}), (5, 6, {})], -1, b"r" * 300, {})
    two: Any = (1, 6, -1, -1, -1, None, -1, None, {})
    three: Any = (2, 0, 9, 7, 2, [], -1, b"", {})
    topics: Any = [(topic_id, [one, two], {}), (IDS["b"], [three], {})]
    return bytes(RESPONSE.encode((correlation, {}, 0, error, 0, topics, {})))


def test_the_request_is_that_of_the_protocol() -> None:
    _, sent = request()
    stream = BytesIO(sent)
    size, *header = HEADER.decode(stream)
    assert (size, header) == (len(sent) - 4, [1, 13, CORRELATION, 2, int.from_bytes(b"me", "big"), {}])
    *fields, topics, forgotten, rack, tags = REQUEST.decode(stream)
    assert fields == [-1, 500, 1, 4000, 1, 0, -1]
    assert [(topic, list(partitions)) for topic, partitions, _ in topics] == [
        (IDS["a"], [(0, 3, 5, 2, -1, 1000, {}), (1, -1, 0, -1, -1, 1000, {})]),
        (IDS["b"], [(2, -1, 1 << 40, -1, -1, 1000, {})]),
    ]
    assert (forgotten, rack, tags, stream.read()) == ([], "", {}, b"")


def test_the_request_of_many_partitions() -> None:
    positions = {TopicPartition("a", number): FetchPosition(number) for number in range(300)}
    sent = FetchRequest(positions, IDS, FetchLimits(500, 4000, 1000)).encode(NEW, CORRELATION, b"")
    ((_, partitions, _),) = REQUEST.decode(BytesIO(sent[4 + 10 + 1 :]))[7]
    assert [(number, offset) for number, _, offset, *_ in partitions] == [(n, n) for n in range(300)]


def test_the_answer_is_read() -> None:
    sent, _ = request()
    assert sent.read(answer(), CORRELATION) == [
        Fetched(TopicPartition("a", 0), 0, 8, [(3, 4), (5, 6)], b"r" * 300, 1),
        Fetched(TopicPartition("a", 1), 6, -1, [], b"", -1),
        Fetched(TopicPartition("b", 2), 0, 7, [], b"", 2),
    ]


DIVERGING = b"\2" + b"\0\x0d" + (2).to_bytes(4, "big") + (4).to_bytes(8, "big") + b"\0" + b"\1\x09" + bytes(9)
"""Tagged fields (which aiokafka does not write): the log parts from what was read after epoch 2, at 4; the leader."""


def test_where_the_log_parts_from_what_was_read_is_told() -> None:
    sent, _ = request()
    one: Any = (0, 0, 9, 8, 1, [], -1, b"", {})
    plain = bytes(RESPONSE.encode((CORRELATION, {}, 0, 0, 0, [(IDS["a"], [one], {})], {})))
    frame = plain[:-3] + DIVERGING + plain[-2:]
    assert sent.read(frame, CORRELATION) == [Fetched(TopicPartition("a", 0), 0, 8, [], b"", 1, (2, 4))]
    for end in range(len(frame)):
        with pytest.raises(LogUnavailable):
            sent.read(frame[:end], CORRELATION)


def test_brokers_without_ids_are_asked_by_name_and_told_the_epochs_all_the_same() -> None:
    sent, data = request(NAMES)
    by_name = ("topic", CompactString("utf-8"))
    asked = CompactArray(by_name, ("partitions", CompactArray(*ASKED)), ("tags", TaggedFields))
    stream = BytesIO(data)
    _, key, version, *_ = HEADER.decode(stream)
    assert (key, version) == (1, 12)
    stream.read(4 * 4 + 1 + 2 * 4)
    topics = asked.decode(stream)
    assert [(topic, list(partitions)) for topic, partitions, _ in topics] == [
        ("a", [(0, 3, 5, 2, -1, 1000, {}), (1, -1, 0, -1, -1, 1000, {})]),
        ("b", [(2, -1, 1 << 40, -1, -1, 1000, {})]),
    ]
    one: Any = (0, 0, 9, 8, 1, [], -1, b"", {})
    head = CORRELATION.to_bytes(4, "big") + bytes(1 + 4 + 2 + 4)
    answered = CompactArray(by_name, ("partitions", CompactArray(*ANSWERED)), ("tags", TaggedFields))
    frame = head + bytes(answered.encode([("a", [one], {})]))[:-2] + DIVERGING + bytes(2)
    assert sent.read(frame, CORRELATION) == [Fetched(TopicPartition("a", 0), 0, 8, [], b"", 1, (2, 4))]


PLAIN: Any = (0, 0, 9, 8, 1, [], -1, b"r" * 300, {})
FAILED: Any = (1, 6, -1, -1, -1, None, -1, None, {})
EMPTY: Any = (1, 0, 9, 9, 1, None, 2, b"", {})
ABORTS: Any = (0, 0, 9, 8, 1, [(3, 4, {})], -1, b"r", {})


@pytest.mark.parametrize(
    ("topics", "is_lone"),
    [
        ([(IDS["a"], [PLAIN], {})], True),
        ([(IDS["a"], [FAILED], {})], True),
        ([(IDS["a"], [EMPTY], {})], True),
        ([(IDS["a"], [ABORTS], {})], False),
        ([(IDS["a"], [PLAIN, FAILED], {})], False),
        ([(IDS["a"], [PLAIN], {}), (IDS["b"], [(2, 0, 9, 8, 1, [], -1, b"r", {})], {})], False),
        ([], False),
    ],
)
def test_an_answer_about_one_partition_says_the_same_by_the_short_way(topics: list[Any], is_lone: bool) -> None:
    frame = bytes(RESPONSE.encode((CORRELATION, {}, 300, 0, 0, topics, {})))
    short, long = request()[0], request()[0]
    assert short._unpack_lone(frame) == (long._unpack(frame) if is_lone else None)
    assert long._unpack(frame) == (0, short.read(frame, CORRELATION))
    assert short.throttled == long.throttled == 300
    for end in range(len(frame)):
        with pytest.raises(LogUnavailable):
            short.read(frame[:end], CORRELATION)
    for tagged in (frame[:4] + b"\1\0\2xy" + frame[5:], frame[:-1] + b"\1\0\2xy"):
        assert short._unpack_lone(tagged) is None
        assert short.read(tagged, CORRELATION) == short.read(frame, CORRELATION)


def test_tagged_fields_are_passed_over() -> None:
    sent, _ = request()
    plain = answer()
    assert plain[-1] == 0
    tagged = plain[:4] + b"\x01\x00\x02xy" + plain[5:-1] + b"\x02\x00\x00\x05\x03abc"
    assert sent.read(tagged, CORRELATION) == sent.read(plain, CORRELATION)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (answer(correlation=8), "another request"),
        (answer(topic_id=b"C" * 16), "malformed"),
        (answer(partition=9), "not requested"),
        (answer(error=70), "FetchSessionIdNotFound|Error"),
        (answer()[:4] + b"\xff" * 40, "too long"),
        (b"", "malformed"),
    ],
)
def test_what_is_no_answer_is_refused(frame: bytes, why: str) -> None:
    sent, _ = request()
    with pytest.raises(LogUnavailable, match=why):
        sent.read(frame, CORRELATION)


def test_an_answer_that_is_cut_off_anywhere_is_refused() -> None:
    sent, _ = request()
    whole = answer()
    for end in range(len(whole)):
        with pytest.raises(LogUnavailable):
            sent.read(whole[:end], CORRELATION)


def test_an_answer_that_is_altered_is_refused_or_read() -> None:
    sent, _ = request()
    whole = answer()
    read = 0
    for index in range(len(whole)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            try:
                read += len(sent.read(whole[:index] + bytes([value]) + whole[index + 1 :], CORRELATION)) <= 3
            except LogUnavailable:
                continue
    assert read


@pytest.mark.parametrize(("version", "response"), [(4, FetchResponse_v4), (11, FetchResponse_v11)])
def test_older_brokers_are_asked_by_name(version: int, response: Any) -> None:
    sent, data = request({1: (0, version)})
    assert data[4:8] == bytes([0, 1, 0, version])
    if version == 11:
        body = FetchRequest_v11.decode(BytesIO(data[4 + 10 + 2 :]))
        assert [topic for topic, _ in body.topics] == ["a", "b"]
    more = [0] if version == 11 else []
    fields = (0, 0, 9, 8, *more, [(3, 4)], *[-1 for _ in more], b"records")
    head = (0, 0, 0) if version == 11 else (0,)
    frame = CORRELATION.to_bytes(4, "big") + response(*head, [("a", [fields])]).encode()
    told = [Fetched(TopicPartition("a", 0), 0, 8, [(3, 4)], b"records", 0 if more else -1, traced=False)]
    assert sent.read(frame, CORRELATION) == told
    with pytest.raises(LogUnavailable):
        sent.read(frame[:-1], CORRELATION)

"""The promises of the Kafka log beyond those of every log: transactions, codecs, a broker that goes and comes."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from gateway.catalog.stream import Retention
from gateway.errors import LogError, LogUnavailable, WriterFenced
from gateway.eventlog.kafka import log as kafka_log
from gateway.eventlog.kafka.batch import ProduceRequest, read_verdict
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.kafka.reader import LONG_POLL_SECONDS
from gateway.eventlog.port import Batch, Bounds, LogReader
from gateway.eventlog.trouble import Kind, Refusal, demand
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.eventlog.kafka.test_records import BATCH, strange
from tests.eventlog.kit import WAIT, batches_of, create_topic, patiently, take, to
from tests.eventlog.unhurried import without_haste
from tests.kit.stopwatch import stopwatch
from tests.services.kafka import KafkaBroker, free_port

pytestmark = pytest.mark.kafka

LARGE = 10_000_000
"""Bytes of the largest record that is tried."""


@pytest.fixture
async def log(kafka: str, no_haste: None) -> AsyncIterator[KafkaLog]:
    log = KafkaLog([kafka])
    await log.open()
    yield log
    await log.close()


@pytest.fixture
async def own_log(broker: KafkaBroker) -> AsyncIterator[KafkaLog]:
    log = KafkaLog([broker.bootstrap])
    await log.open()
    yield log
    await log.close()
    gc.collect()


async def drain(reader: LogReader, position: int) -> tuple[list[bytes | None], int]:
    """The values up to a position of one partition."""
    values: list[bytes | None] = []
    at = -1
    while at < position:
        for batch in batches_of(await reader.fetch(WAIT)):
            values += [record.value for record in batch.records]
            assert batch.position > at
            at = batch.position
    return values, at


async def transaction(producer: AIOKafkaProducer, topic: str, values: list[bytes], commit: bool) -> None:
    await producer.begin_transaction()
    for value in values:
        await producer.send_and_wait(topic, value, partition=0)
    await (producer.commit_transaction() if commit else producer.abort_transaction())


async def test_aborted_records_and_markers_are_passed_over(kafka: str, log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic))
    partition = TopicPartition(topic, 0)
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic) as producer:
        await transaction(producer, topic, [b"a", b"b"], commit=True)  # 0, 1 and the marker 2
        await transaction(producer, topic, [b"lost"], commit=False)  # 3 and the marker 4
        await log.append(topic, [NewRecord(b"plain", partition=0)])  # 5
        reader = await log.reader({partition: 0})
        assert await drain(reader, 6) == ([b"a", b"b", b"plain"], 6)
        await transaction(producer, topic, [b"lost", b"lost"], commit=False)  # 6, 7 and the marker 8
        assert await drain(reader, 9) == ([], 9)
        await reader.assign({partition: 4})
        assert await drain(reader, 9) == ([b"plain"], 9)
        await transaction(producer, topic, [b"c"], commit=True)
        assert await drain(reader, 11) == ([b"c"], 11)
    await reader.close()


async def test_the_end_is_before_an_open_transaction(kafka: str, log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic))
    partition = TopicPartition(topic, 0)
    await log.append(topic, [NewRecord(b"first", partition=0)])
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open", partition=0)
        await log.append(topic, [NewRecord(b"behind", partition=0)])
        assert await log.bounds([partition]) == {partition: Bounds(0, 1)}
        reader = await log.reader({partition: 0})
        assert await drain(reader, 1) == ([b"first"], 1)
        assert await reader.fetch(0.05) == []
        await producer.commit_transaction()
        assert await drain(reader, 4) == ([b"open", b"behind"], 4)
        assert await log.bounds([partition]) == {partition: Bounds(0, 4)}
    await reader.close()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(kafka: str, log: KafkaLog, topic: str, codec: str) -> None:
    await patiently(lambda: log.create(topic))
    async with AIOKafkaProducer(bootstrap_servers=kafka, compression_type=codec, linger_ms=20) as producer:
        sent = [await producer.send(topic, b"%d" % number * 50, partition=0) for number in range(200)]
        await asyncio.gather(*sent)
    reader = await log.reader({TopicPartition(topic, 0): 150})
    records = await take(reader, 50, max_records=7)
    assert [(record.offset, record.value) for record in records] == [(n, b"%d" % n * 50) for n in range(150, 200)]
    await reader.close()


@pytest.mark.usefixtures("no_haste")
async def test_a_compacted_topic_has_holes(own_log: KafkaLog, broker: KafkaBroker, topic: str) -> None:
    await create_topic(
        broker.bootstrap, topic, cleanup_policy="compact", segment_ms="50", min_cleanable_dirty_ratio="0.0"
    )
    partition = TopicPartition(topic, 0)
    await own_log.append(topic, [NewRecord(b"%d" % number, b"%d" % (number % 3), partition=0) for number in range(30)])
    reader = await own_log.reader({partition: 0})
    async with asyncio.timeout(2 * WAIT):
        while True:
            await asyncio.sleep(0.1)
            ((_, end),) = await own_log.append(topic, [NewRecord(b"end", b"end", partition=0)])
            await reader.assign({partition: 5})
            values, position = await drain(reader, end + 1)
            if len(values) < 10:
                break
    assert position == end + 1
    assert values[:3] == [b"27", b"28", b"29"]
    await reader.close()


@pytest.mark.usefixtures("no_haste")
async def test_records_larger_than_a_fetch(own_log: KafkaLog, broker: KafkaBroker, topic: str) -> None:
    await create_topic(broker.bootstrap, topic, 2, max_message_bytes=str(2 * LARGE))
    given = [NewRecord(bytes([number]) * LARGE, partition=number % 2) for number in range(2)]
    small = [NewRecord(b"small", partition=number % 2) for number in range(10)]
    for new in [*given, *small]:
        await own_log.append(topic, [new])
    reader = await own_log.reader({TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0})
    records = await take(reader, 12)
    assert sorted(len(record.value or b"") for record in records) == [5] * 10 + [LARGE] * 2
    await reader.close()


async def test_a_record_that_is_too_large_is_refused(log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic))
    with pytest.raises(LogError) as refused:
        await log.append(topic, [NewRecord(bytes(20_000_000))])
    assert not isinstance(refused.value, LogUnavailable)
    await log.append(topic, [NewRecord(b"small")])


async def test_retention_is_given_to_the_topic(kafka: str, log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic, retention=Retention(milliseconds=1000, size=None)))
    await log.append(topic, [NewRecord(b"old", timestamp=1, partition=0)])
    partition = TopicPartition(topic, 0)
    async with asyncio.timeout(6 * WAIT):  # a broker before 3.5 looks half a minute after its start
        while demand(await log.bounds([partition]))[partition].start == 0:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.1)


async def test_a_compacted_topic(kafka: str, log: KafkaLog, topic: str) -> None:
    bounded, lasting = f"{topic}.bounded", f"{topic}.lasting"
    await patiently(lambda: log.create(lasting, retention=Retention(compacted=True)))
    await patiently(lambda: log.create(bounded, retention=Retention(milliseconds=1000, compacted=True)))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        found = {}
        for name in (lasting, bounded):
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
            found[name] = {key: value for key, value, *_ in answer.resources[0][4]}
    finally:
        await admin.close()
    assert found[lasting]["cleanup.policy"] == "compact"
    assert found[bounded]["cleanup.policy"] == "compact,delete"
    assert {one["min.compaction.lag.ms"] for one in found.values()} == {"86400000"}
    with pytest.raises(LogError):
        await log.append(lasting, [NewRecord(b"without a key")])
    await log.append(lasting, [NewRecord(None, b"key")])


async def test_a_broker_that_stops_and_starts_again(own_log: KafkaLog, broker: KafkaBroker, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    with without_haste():
        await own_log.create(topic)
        await own_log.append(topic, [NewRecord(b"before")])
        reader = await own_log.reader({partition: 0})
        assert len(await take(reader, 1)) == 1
    # A broker may take half a minute to stop.
    waiting = asyncio.create_task(reader.fetch(3 * WAIT))
    await asyncio.to_thread(broker.stop)
    with pytest.raises(LogUnavailable):
        await waiting
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            await reader.fetch(WAIT)
    for call in (
        own_log.describe([topic]),
        own_log.bounds([partition]),
        own_log.find({partition: 0}),
        own_log.create("other"),
        own_log.append(topic, [NewRecord(b"lost")]),
        own_log.reader({partition: 0}),
    ):
        started = time.monotonic()
        with pytest.raises(LogUnavailable):
            await call
        assert time.monotonic() - started < WAIT
    await asyncio.to_thread(broker.start)
    # For a while it says that it does not lead the partition; what was given up then may be stored later.
    await patiently(lambda: own_log.append(topic, [NewRecord(b"after")]))
    bounds = (await patiently(lambda: own_log.bounds([partition])))[partition]
    assert isinstance(bounds, Bounds)
    assert bounds.end >= 2
    assert [record.value for record in await patient(reader, 1)][:1] == [b"after"]
    await reader.close()


async def patient(reader: LogReader, count: int) -> list[Record]:
    """Like `take`, for a log that may still be away."""
    async with asyncio.timeout(3 * WAIT):
        while True:
            try:
                return await take(reader, count)
            except LogUnavailable:
                await asyncio.sleep(0.05)


async def nothing_comes(reader: LogReader) -> None:
    """Read until the log says that it is away. What was on its way before, such as a position, may come first."""
    async with asyncio.timeout(3 * WAIT):
        while True:
            assert not [record for batch in batches_of(await reader.fetch(2 * WAIT)) for record in batch.records]


async def test_a_broker_that_hangs(own_log: KafkaLog, broker: KafkaBroker, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    with without_haste():
        await own_log.create(topic)
        await own_log.append(topic, [NewRecord(b"before")])
    # Its requests have the time that they have in a gateway.
    reader = await patiently(lambda: own_log.reader({partition: 1}))
    assert await reader.fetch(0.01) == []
    broker.pause()
    try:
        started = time.monotonic()
        with pytest.raises(LogUnavailable):
            await nothing_comes(reader)
        with pytest.raises(LogUnavailable):
            await reader.fetch(0.01)
        results = await asyncio.gather(
            own_log.describe([topic]),
            own_log.bounds([partition]),
            own_log.append(topic, [NewRecord(b"lost")]),
            return_exceptions=True,
        )
        assert all(isinstance(result, LogUnavailable) for result in results)
        assert time.monotonic() - started < 3 * WAIT
    finally:
        broker.resume()
    # It may be out of its cluster for a while, and then its partitions have no leader.
    with without_haste():
        assert demand(await patiently(lambda: own_log.bounds([partition])))[partition].start == 0
        await patiently(lambda: own_log.append(topic, [NewRecord(b"after", b"after")]))
    assert await patient(reader, 1)
    await reader.close()


@pytest.mark.usefixtures("no_haste")
async def test_a_batch_that_is_corrupt_on_the_brokers_disk(own_log: KafkaLog, broker: KafkaBroker, topic: str) -> None:
    await patiently(lambda: own_log.create(topic))
    for value in (b"before", b"the value", b"behind"):
        await own_log.append(topic, [NewRecord(value, partition=0)])
    reader = await own_log.reader({TopicPartition(topic, 0): 0})
    (segment,) = broker.segments(topic)
    stored = segment.read_bytes()
    with segment.open("r+b") as file:
        file.seek(stored.index(b"the value"))
        file.write(b"The")
    await reader.assign({TopicPartition(topic, 0): 0})
    # What is whole, and what is wrong behind it, may come together.
    found: list[Batch | Refusal] = []
    while not any(isinstance(one, Refusal) for one in found):
        found += await reader.fetch(WAIT)
    *batches, told = found
    assert [record.value for batch in batches_of(batches) for record in batch.records] == [b"before"]
    assert isinstance(told, Refusal)
    assert (told.trouble.kind, told.trouble.offset) == (Kind.UNREADABLE, 1)
    segment.write_bytes(stored)
    await reader.add({TopicPartition(topic, 0): 1})
    assert [record.value for record in await patient(reader, 2)] == [b"the value", b"behind"]
    await reader.close()


@pytest.mark.usefixtures("no_haste")
async def test_a_header_whose_name_is_no_text_is_taken_by_a_broker_and_costs_no_record(
    own_log: KafkaLog, topic: str
) -> None:
    await patiently(lambda: own_log.create(topic))
    partition = TopicPartition(topic, 0)
    cluster = own_log._cluster
    leader = (await cluster.leaders([partition]))[partition]
    assert isinstance(leader, int)
    batch = strange(1, b"\x06a\xffc", b"\x06abc")
    answer = await cluster.send_alone(cluster.address(leader), ProduceRequest(partition, batch, 5.0))
    assert read_verdict(answer).code == 0
    await own_log.append(topic, [NewRecord(b"behind", partition=0)])
    reader = await own_log.reader({partition: 0})
    records = await patient(reader, BATCH + 1)
    assert [record.offset for record in records] == list(range(BATCH + 1))
    assert [record.headers for record in records if record.headers] == [(("a\\xffc", b"content"), ("empty", b""))]
    await reader.close()


async def test_everything_closes_while_the_broker_is_gone(broker: KafkaBroker, topic: str) -> None:
    await create_topic(broker.bootstrap, topic)
    log = KafkaLog([broker.bootstrap])
    with without_haste():
        await log.open()
        await log.append(topic, [NewRecord(b"x")])
        reader = await log.reader({TopicPartition(topic, 0): 0})
    await asyncio.to_thread(broker.kill)
    async with stopwatch() as watch:
        await reader.close()
        await log.close()
        assert watch.seconds < 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del reader, log
        gc.collect()
    assert await left_over() == []


async def left_over() -> list[object]:
    """What goes on beside the test, once what was told to end has had its turns."""
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT):
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # nobody holds them
                await asyncio.sleep(0.01)
    return [task.get_coro() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_a_log_that_is_not_there_yet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = KafkaLog([f"127.0.0.1:{free_port()}"])
    await log.open()
    async with stopwatch() as watch:
        with pytest.raises(LogUnavailable):
            await log.describe(["x"])
        with pytest.raises(LogUnavailable):
            await log.reader({TopicPartition("x", 0): 0})
        assert watch.seconds < 2
    await log.close()
    assert not [record for record in caplog.records if record.name.startswith("aiokafka")]


async def test_a_position_behind_an_open_transaction_is_waited_for(kafka: str, log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic))
    writer = await patiently(lambda: log.writer(topic))
    await writer.append([], b"1")
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{topic}.other") as other:
        await other.begin_transaction()
        await other.send_and_wait("gateway.positions", b"open", b"other", partition=0)
        await writer.append(to(topic, [NewRecord(b"x")]), b"2")
        await writer.close()
        with pytest.MonkeyPatch.context() as hurried:
            hurried.setattr(kafka_log, "CALL_SECONDS", 5.0)
            said = ""
            async with asyncio.timeout(3 * WAIT):
                # On a busy machine it may be over before it has come to the position.
                while "gateway.positions" not in said:
                    with pytest.raises(LogUnavailable) as told:
                        await log.writer(topic)
                    said = str(told.value)
        opening = asyncio.create_task(log.writer(topic))
        await other.commit_transaction()
    again = await opening
    assert again.position == b"2"
    await again.close()


async def test_a_writer_of_a_broker_that_goes_and_comes(own_log: KafkaLog, broker: KafkaBroker, topic: str) -> None:
    with without_haste():
        await own_log.create(topic)
        writer = await own_log.writer(topic)
        await writer.append(to(topic, [NewRecord(b"0", partition=0)]), b"0")
    writer._patience.reset()
    await asyncio.to_thread(broker.kill)
    with pytest.raises(LogUnavailable):
        await writer.append(to(topic, [NewRecord(b"lost", partition=0)]), b"lost")
    with pytest.raises(LogUnavailable):
        await own_log.writer(topic)
    await asyncio.to_thread(broker.start)

    async def go_on() -> None:
        """Nobody knows what became of an append that was given up; the position tells."""
        again = await own_log.writer(topic)
        try:
            if again.position != b"1":
                assert again.position == b"0"
                await again.append(to(topic, [NewRecord(b"1", partition=0)]), b"1")
        finally:
            await again.close()

    await patiently(go_on)
    reader = await own_log.reader({TopicPartition(topic, 0): 0})
    assert [record.value for record in await take(reader, 2)] == [b"0", b"1"]
    await reader.close()


async def test_a_record_too_large_for_a_writer_leaves_nothing_open(log: KafkaLog, topic: str) -> None:
    await patiently(lambda: log.create(topic))
    partition = TopicPartition(topic, 0)
    for size in (13_000_000, 20_000_000):
        writer = await patiently(lambda: log.writer(topic))
        with pytest.raises(LogError) as refused:
            await writer.append(
                to(topic, [NewRecord(b"small", partition=0), NewRecord(bytes(size), partition=0)]), b"lost"
            )
        assert not isinstance(refused.value, LogUnavailable)
        ((_, offset),) = await log.append(topic, [NewRecord(b"other", partition=0)])
        reader = await log.reader({partition: offset})
        assert [record.value for record in await take(reader, 1)] == [b"other"]
        await reader.close()
    again = await patiently(lambda: log.writer(topic))
    assert again.position is None
    await again.append(to(topic, [NewRecord(b"small", partition=0)]), b"1")
    reader = await log.reader({partition: 0})
    assert [record.value for record in await take(reader, 3)] == [b"other", b"other", b"small"]
    await reader.close()
    await again.close()


async def test_writers_that_fail_leave_nothing_behind(
    broker: KafkaBroker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    await create_topic(broker.bootstrap, topic)
    log = KafkaLog([broker.bootstrap])
    with without_haste():
        await log.open()
        fenced, writer = await log.writer(topic), await log.writer(topic)
        with pytest.raises(WriterFenced):
            await fenced.append(to(topic, [NewRecord(b"x")]), b"1")
        await writer.append(to(topic, [NewRecord(b"x")]), b"1")
    writer._patience.reset()
    await asyncio.to_thread(broker.kill)
    with pytest.raises(LogUnavailable):
        await writer.append(to(topic, [NewRecord(b"x")]), b"2")
    with pytest.raises(LogUnavailable):
        await log.append(topic, [NewRecord(b"x")])
    with pytest.raises(LogUnavailable):
        await log.writer(topic)
    await log.close()
    del fenced, writer, log
    gc.collect()
    assert await left_over() == []
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_an_idle_reader_asks_seldom(log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await patiently(lambda: log.create(topic))
    reader = await log.reader({TopicPartition(topic, 0): 0})
    sent, send, started = 0, reader._connections.send, time.process_time()

    def counted(*given: Any) -> None:
        nonlocal sent
        sent += 1
        send(*given)

    monkeypatch.setattr(reader._connections, "send", counted)
    assert await reader.fetch(1.0) == []
    # Each waits for half a second; the first was sent before, and one may end late.
    assert sent <= 1.0 / LONG_POLL_SECONDS + 1
    assert time.process_time() - started < 0.5, "nor of the others' time"
    await reader.close()

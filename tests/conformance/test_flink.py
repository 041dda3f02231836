"""The same declarations in the gateway and in Flink, over the same records: equal rows, each as often."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import NewTopic

from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.derive.engine import Engine, event_of
from gateway.derive.flink import Script
from gateway.derive.flink_tables import Broker, Source, Unsayable
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.conformance import cases
from tests.conformance.flink import JARS_VARIABLE, bounded, jars, run
from tests.conftest import absent
from tests.eventlog.kit import kafka_admin

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.long]

SEED = int(os.environ.get("GATEWAY_CONFORMANCE_SEED", "1"))
RANDOM_DECLARATIONS = int(os.environ.get("GATEWAY_CONFORMANCE_DECLARATIONS", "6"))
EVENTS = 2_000
KEPT = {"retention.ms": "-1"}

Told = tuple[str | None, bytes | None, int]
"""A row: its JSON in one form, its key and its time."""


@pytest.fixture(scope="session")
def flink_jars() -> Path:
    """The directory of Flink's jars."""
    return jars() or absent(f"{JARS_VARIABLE} names no directory with Flink's jars")


def canonical(value: bytes | None) -> str | None:
    """The JSON in one form: a number that is whole is written so by one and not by the other."""

    def whole(number: str) -> int | float:
        found = float(number)
        return int(found) if found.is_integer() else found

    return None if value is None else json.dumps(json.loads(value, parse_float=whole), sort_keys=True)


def declared(prefix: str) -> dict[str, Derivation]:
    """Those that are known to be hard, and some that chance has made."""
    random = Random(SEED)
    found = {f"{prefix}.{name}": derivation for name, derivation in cases.fixed().items()}
    for number in range(RANDOM_DECLARATIONS):
        found[f"{prefix}.random-{number}"] = cases.random_derivation(random)
    return found


async def fill(producer: AIOKafkaProducer, topic: str, records: Iterable[NewRecord]) -> list[Record]:
    """Append the records, which have their partitions. As the log holds them."""
    sent = []
    for record in records:
        future = await producer.send(
            topic, record.value, key=record.key, partition=record.partition, timestamp_ms=record.timestamp
        )
        sent.append((record, future))
    return [
        Record(topic, record.partition or 0, (await future).offset, record.timestamp or 0, record.key, record.value)
        for record, future in sent
    ]


async def rows_in(consumer: AIOKafkaConsumer, topic: str) -> Counter[Told]:
    """All that a topic of one partition holds."""
    partition, found = KafkaPartition(topic, 0), Counter[Told]()
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    (end,) = (await consumer.end_offsets([partition])).values()
    # The end of a transaction has an offset too, so that of the last row is not known.
    while await consumer.position(partition) < end:
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            found.update((canonical(one.value), one.key, one.timestamp) for one in batch)
    return found


def embedded(
    name: str, derivation: Derivation, streams: dict[str, Stream], logs: dict[str, list[Record]]
) -> Counter[Told]:
    """What the gateway makes of the records."""
    topics = {topic for stream in derivation.inputs for topic in streams[stream].topics}
    partitions = sorted({TopicPartition(one.topic, one.partition) for topic in topics for one in logs[topic]})
    engine = Engine(name, derivation, streams, partitions)
    for partition in partitions:
        records = [one for one in logs[partition.topic] if one.partition == partition.partition]
        engine.take(partition, [(one, event_of(one)) for one in records])
    return Counter((canonical(row.value), row.key, row.timestamp) for row in engine.results.rows)


async def test_flink_gives_what_the_gateway_gives(
    kafka: str, topic: str, flink_jars: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    described = cases.streams(topic)
    streams = {name: stream for name, (stream, _) in described.items()}
    scripts: dict[str, str] = {}
    derivations: dict[str, Derivation] = {}
    sources = [Source(stream, schema) for stream, schema in described.values()]
    for name, derivation in declared(topic).items():
        stream = Stream(name, (name,), derive=derivation)
        try:
            scripts[name] = bounded(Script(stream, sources, Broker(kafka), None, None).text())
            derivations[name] = derivation
        except Unsayable as error:
            assert "random" in name, error
    async with kafka_admin(kafka) as admin:
        inputs = [NewTopic(stream.topics[0], stream.partitions, 1, topic_configs=KEPT) for stream in streams.values()]
        await admin.create_topics([*inputs, *(NewTopic(name, 1, 1, topic_configs=KEPT) for name in scripts)])
    random = Random(SEED)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        logs = {
            f"{topic}.change": await fill(producer, f"{topic}.change", cases.changes(random, EVENTS, 2)),
            f"{topic}.page": await fill(producer, f"{topic}.page", cases.pages(random, EVENTS // 4)),
            f"{topic}.state": await fill(producer, f"{topic}.state", cases.states(random, EVENTS // 8)),
        }
    finally:
        await producer.stop()
    run(list(scripts.values()), tmp_path, flink_jars)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed")
    await consumer.start()
    differences: list[Any] = []
    rows = 0
    try:
        for name, derivation in derivations.items():
            expected, found = embedded(name, derivation, streams, logs), await rows_in(consumer, name)
            rows += expected.total()
            if expected != found:
                missing, wrong = expected - found, found - expected
                counts = f"{expected.total()} rows, {missing.total()} are missing, {wrong.total()} wrong"
                differences.append((name, counts, derivation, list(missing)[:2], list(wrong)[:2]))
    finally:
        await consumer.stop()
    assert not differences, "\n\n".join(map(str, differences))
    told = f"{len(scripts)} declarations, {sum(map(len, logs.values()))} records, {rows} rows, 0 differ"
    record_property("conformance", told)
    print(told)  # noqa: T201
    assert rows > 2_000

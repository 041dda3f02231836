"""The same declarations in the gateway and in Flink, over the same records: equal rows, each as often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import NewTopic

from gateway.catalog.stream import Stream
from gateway.derive.flink import Script
from gateway.derive.flink_tables import Broker, Unsayable
from gateway.model.record import NewRecord, Record
from tests.conformance.declarations import Case, Told, canonical, declared, embedded, from_examples
from tests.conformance.flink import JARS_VARIABLE, bounded, jars, run
from tests.conformance.late import LateScript, Place, late_of
from tests.conftest import absent
from tests.eventlog.kit import kafka_admin

# Alone: it takes both processors of a small machine for a minute.
pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.long, pytest.mark.alone]

KEPT = {"retention.ms": "-1"}


@pytest.fixture(scope="session")
def flink_jars() -> Path:
    """The directory of Flink's jars."""
    return jars() or absent(f"{JARS_VARIABLE} names no directory with Flink's jars")


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


async def records_in(consumer: AIOKafkaConsumer, topic: str) -> list[Any]:
    """All that a topic of one partition holds."""
    partition, found = KafkaPartition(topic, 0), list[Any]()
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    (end,) = (await consumer.end_offsets([partition])).values()
    # The end of a transaction has an offset too, so that of the last row is not known.
    while await consumer.position(partition) < end:
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            found += batch
    return found


async def rows_in(consumer: AIOKafkaConsumer, topic: str) -> Counter[Told]:
    """The rows of a topic."""
    return Counter((canonical(one.value), one.key, one.timestamp) for one in await records_in(consumer, topic))


async def late_in(consumer: AIOKafkaConsumer, name: str) -> Counter[Place]:
    """The late events of a derived stream."""
    found = [orjson.loads(one.value) for one in await records_in(consumer, LateScript.topic(name))]
    return Counter((one["topic"], one["partition"], one["offset"]) for one in found)


def scripts_of(declarations: Mapping[str, Case], broker: Broker) -> tuple[dict[str, str], dict[str, str]]:
    """The scripts of those that Flink can say the same, and those that print their late events."""
    found, late = {}, {}
    for name, case in declarations.items():
        stream, schema = Stream(name, (name,), derive=case.derivation), case.schema
        document, uri = (None, None) if schema is None else (schema.document, schema.uri)
        inputs = list(case.inputs.values())
        try:
            found[name] = bounded(Script(stream, inputs, broker, document, uri).text())
        except Unsayable:
            if not case.may_fail:
                raise
            continue
        if case.derivation.operator != "select":
            late[name] = bounded(LateScript(stream, inputs, broker, document, uri).text())
    return found, late


async def test_flink_gives_what_the_gateway_gives(
    kafka: str, topic: str, flink_jars: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (made, records), (written, examples) = declared(topic), from_examples(f"{topic}.case")
    declarations, records = made | written, records | examples
    scripts, late_scripts = scripts_of(declarations, Broker(kafka))
    async with kafka_admin(kafka) as admin:
        inputs = [NewTopic(name, 2, 1, topic_configs=KEPT) for name in records]
        written_to = [*scripts, *map(LateScript.topic, late_scripts)]
        await admin.create_topics([*inputs, *(NewTopic(name, 1, 1, topic_configs=KEPT) for name in written_to)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        logs = {name: await fill(producer, name, one) for name, one in records.items()}
    finally:
        await producer.stop()
    run([*scripts.values(), *late_scripts.values()], tmp_path, flink_jars)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed")
    await consumer.start()
    differences: list[Any] = []
    rows: Counter[str] = Counter()
    late = 0
    try:
        for name in scripts:
            engine = embedded(name, declarations[name], logs)
            expected, found = engine.rows, await rows_in(consumer, name)
            rows[name] = expected.total()
            if name in late_scripts:
                derivation, inputs_of = declarations[name].derivation, declarations[name].inputs
                topics = {topic for one in derivation.sources for topic in inputs_of[one].stream.topics}
                wanted, told_late = late_of(engine.refused, topics), await late_in(consumer, name)
                late += wanted.total()
                if wanted != told_late:
                    differences.append((name, "late", derivation, wanted - told_late, told_late - wanted))
            if expected != found:
                missing, wrong = expected - found, found - expected
                counts = f"{expected.total()} rows, {missing.total()} are missing, {wrong.total()} wrong"
                differences.append((name, counts, declarations[name].derivation, list(missing)[:2], list(wrong)[:2]))
    finally:
        await consumer.stop()
    assert not differences, "\n\n".join(map(str, differences))
    assert late > 100
    assert all(rows[name] for name in scripts if not declarations[name].may_fail), rows
    records_read = sum(map(len, logs.values()))
    told = f"{len(scripts)} declarations, {records_read} records, {rows.total()} rows, {late} late, 0 differ"
    record_property("conformance", told)
    print(told)  # noqa: T201

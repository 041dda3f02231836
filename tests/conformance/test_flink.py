"""The same declarations in the gateway and in Flink, over the same records: equal rows, each as often."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import NewTopic

from gateway.app.composition import open_schemas
from gateway.catalog.derivation import Derivation
from gateway.catalog.document import Findings
from gateway.catalog.stream import Stream
from gateway.derive.engine import Engine, event_of
from gateway.derive.example import read_examples, record_of
from gateway.derive.flink import Script
from gateway.derive.flink_tables import Broker, Source, Unsayable
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.schemas.shape import merged
from gateway.settings.configuration import configure
from tests.conformance import cases
from tests.conformance.flink import JARS_VARIABLE, bounded, jars, run
from tests.conftest import absent
from tests.eventlog.kit import kafka_admin

# Alone: it takes both processors of a small machine for a minute.
pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.long, pytest.mark.alone]

SEED = int(os.environ.get("GATEWAY_CONFORMANCE_SEED", "1"))
RANDOM_DECLARATIONS = int(os.environ.get("GATEWAY_CONFORMANCE_DECLARATIONS", "4"))
EVENTS = 2_000
KEPT = {"retention.ms": "-1"}

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(__file__).parents[1] / "derive/cases"

Told = tuple[str | None, bytes | None, int]
"""A row: its JSON in one form, its key and its time."""


@dataclass(frozen=True, slots=True)
class Case:
    """A declaration, what it reads, and the schema of its rows. `may_fail`: Flink may refuse it, and rows may be
    missing."""

    derivation: Derivation
    inputs: Mapping[str, Source]
    schema: Schema | None = None
    may_fail: bool = False


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


def declared(prefix: str) -> tuple[dict[str, Case], dict[str, list[NewRecord]]]:
    """Declarations that are known to be hard, and some that chance has made; and records by topic."""
    random = Random(SEED)
    inputs = {name: Source(stream, schema) for name, (stream, schema) in cases.streams(prefix).items()}
    found = {f"{prefix}.{name}": Case(derivation, inputs) for name, derivation in cases.fixed().items()}
    for number in range(RANDOM_DECLARATIONS):
        found[f"{prefix}.random-{number}"] = Case(cases.random_derivation(random), inputs, may_fail=True)
    return found, {
        f"{prefix}.change": cases.changes(random, EVENTS, 2),
        f"{prefix}.page": cases.pages(random, EVENTS // 4),
        f"{prefix}.state": cases.states(random, EVENTS // 8),
    }


def from_examples(prefix: str) -> tuple[dict[str, Case], dict[str, list[NewRecord]]]:
    """The declarations that have tests beside them, each over all events that these give."""
    schemas = [str(EXAMPLES / "schemas"), str(ROOT / "config/schemas")]
    configured = configure({"config": str(EXAMPLES / "gateway.yaml"), "schema_repositories": schemas}, {})
    repository = open_schemas(configured.settings)
    findings, streams = Findings(EXAMPLES), configured.catalog.streams
    found: dict[str, Case] = {}
    records: dict[str, list[NewRecord]] = {}
    for path in sorted(EXAMPLES.glob("*.test.yaml")):
        for example in read_examples(path.read_text(), configured.catalog, findings):
            name = f"{prefix}.{example.stream.name}"
            inputs = {
                one: Source(
                    replace(streams[one], topics=(f"{name}.of.{one}",), partitions=2),
                    document_of(one, streams, repository),
                )
                for one in example.derivation.inputs
            }
            found[name] = Case(
                example.derivation, inputs, repository.taken_by(example.stream), example.derivation.passes
            )
            for stream, event in example.given:
                if not is_of_its_types(event, inputs[stream].document):
                    # Flink reads it in its own way: 5 as "5".
                    continue
                given = dict(event)
                place = TopicPartition(inputs[stream].stream.topics[0], given.pop("$partition", 0))
                record = record_of(streams[stream], given, place, 0)
                records.setdefault(place.topic, []).append(
                    NewRecord(record.value, record.key, timestamp=record.timestamp, partition=place.partition)
                )
    assert not findings.mistakes
    for case in found.values():
        for source in case.inputs.values():
            end = [cases.canary(source.document, partition) for partition in range(2)]
            records.setdefault(source.stream.topics[0], []).extend(end)
    return found, records


def is_of_its_types(event: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether the members of an event that is given are valid, though some are left out."""
    return jsonschema_rs.is_valid(_loosened(merged(document)), event)


def _loosened(schema: Any) -> Any:
    """The schema as far as it says the types of members."""
    if not isinstance(schema, dict):
        return schema
    parts = {name: _loosened(part) for name, part in schema.get("properties", {}).items()}
    return {"type": schema["type"], "properties": parts} if "type" in schema else {"properties": parts}


def document_of(name: str, streams: Mapping[str, Stream], repository: SchemaRepository) -> dict[str, Any]:
    """The schema of a stream's events."""
    schema = repository.taken_by(streams[name])
    assert schema is not None
    return schema.document


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


def embedded(name: str, case: Case, logs: Mapping[str, list[Record]]) -> Counter[Told]:
    """What the gateway makes of the records."""
    streams = {stream: source.stream for stream, source in case.inputs.items()}
    partitions = [
        TopicPartition(topic, partition)
        for stream in case.derivation.inputs
        for topic in streams[stream].topics
        for partition in range(streams[stream].partitions)
    ]
    schema = case.schema
    engine = Engine(
        name, case.derivation, streams, partitions,
        uri=None if schema is None else schema.uri, faults=None if schema is None else schema.faults,
    )  # fmt: skip
    for partition in partitions:
        records = [one for one in logs[partition.topic] if one.partition == partition.partition]
        engine.take(partition, [(one, event_of(one)) for one in records])
    return Counter((canonical(row.value), row.key, row.timestamp) for row in engine.results.rows)


def scripts_of(declarations: Mapping[str, Case], broker: Broker) -> dict[str, str]:
    """The scripts of those that Flink can say the same."""
    found = {}
    for name, case in declarations.items():
        stream, schema = Stream(name, (name,), derive=case.derivation), case.schema
        document, uri = (None, None) if schema is None else (schema.document, schema.uri)
        try:
            found[name] = bounded(Script(stream, list(case.inputs.values()), broker, document, uri).text())
        except Unsayable:
            if not case.may_fail:
                raise
    return found


async def test_flink_gives_what_the_gateway_gives(
    kafka: str, topic: str, flink_jars: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (made, records), (written, examples) = declared(topic), from_examples(f"{topic}.case")
    declarations, records = made | written, records | examples
    scripts = scripts_of(declarations, Broker(kafka))
    async with kafka_admin(kafka) as admin:
        inputs = [NewTopic(name, 2, 1, topic_configs=KEPT) for name in records]
        await admin.create_topics([*inputs, *(NewTopic(name, 1, 1, topic_configs=KEPT) for name in scripts)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        logs = {name: await fill(producer, name, one) for name, one in records.items()}
    finally:
        await producer.stop()
    run(list(scripts.values()), tmp_path, flink_jars)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed")
    await consumer.start()
    differences: list[Any] = []
    rows: Counter[str] = Counter()
    try:
        for name in scripts:
            expected, found = embedded(name, declarations[name], logs), await rows_in(consumer, name)
            rows[name] = expected.total()
            if expected != found:
                missing, wrong = expected - found, found - expected
                counts = f"{expected.total()} rows, {missing.total()} are missing, {wrong.total()} wrong"
                differences.append((name, counts, declarations[name].derivation, list(missing)[:2], list(wrong)[:2]))
    finally:
        await consumer.stop()
    assert not differences, "\n\n".join(map(str, differences))
    assert all(rows[name] for name in scripts if not declarations[name].may_fail), rows
    told = f"{len(scripts)} declarations, {sum(map(len, logs.values()))} records, {rows.total()} rows, 0 differ"
    record_property("conformance", told)
    print(told)  # noqa: T201

"""Declarations, what they read, and what the engine alone makes of it: the same for Flink and for the gateway."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs

from gateway.app.composition import open_schemas
from gateway.catalog.derivation import Derivation
from gateway.catalog.document import Findings
from gateway.catalog.stream import Stream
from gateway.derive.engine import Engine, event_of
from gateway.derive.example import read_examples, record_of
from gateway.derive.flink_tables import Source
from gateway.derive.row import Refused
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.schemas.shape import merged
from gateway.settings.configuration import Configured, configure
from tests.conformance import cases

SEED = int(os.environ.get("GATEWAY_CONFORMANCE_SEED", "1"))
RANDOM_DECLARATIONS = int(os.environ.get("GATEWAY_CONFORMANCE_DECLARATIONS", "4"))
EVENTS = 2_000

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(__file__).parents[1] / "derive/cases"

Told = tuple[str | None, bytes | None, int]
"""A row: its JSON in one form, its key and its time."""


@dataclass(frozen=True, slots=True)
class Case:
    """A declaration, what it reads, and the schema of its rows with its title. `may_fail`: Flink may refuse it, and
    rows may be missing."""

    derivation: Derivation
    inputs: Mapping[str, Source]
    schema: Schema | None = None
    title: str | None = None
    may_fail: bool = False


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


def read_schemas() -> tuple[Configured, SchemaRepository]:
    """The configuration of the examples, and the schemas that it and the gateway have."""
    schemas = [str(EXAMPLES / "schemas"), str(ROOT / "config/schemas")]
    configured = configure({"config": str(EXAMPLES / "gateway.yaml"), "schema_repositories": schemas}, {})
    return configured, open_schemas(configured.settings)


def from_examples(prefix: str) -> tuple[dict[str, Case], dict[str, list[NewRecord]]]:
    """The declarations that have tests beside them, each over all events that these give."""
    configured, repository = read_schemas()
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
                example.derivation,
                inputs,
                repository.taken_by(example.stream),
                example.stream.schema_title,
                example.derivation.passes,
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


@dataclass(frozen=True, slots=True)
class Made:
    """What the engine makes of records, all of one partition after those of another."""

    rows: Counter[Told]
    refused: list[Refused]


def embedded(name: str, case: Case, logs: Mapping[str, list[Record]]) -> Made:
    """What the engine makes of the records."""
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
    rows = Counter((canonical(row.value), row.key, row.timestamp) for row in engine.results.rows)
    return Made(rows, engine.results.refused)

"""The gateway's own runner stores what the engine alone makes of the same records, on each log, killed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import Record
from tests.conformance.declarations import SEED, declared, embedded, from_examples, read_schemas
from tests.conformance.runner import Stored, differences, refusals, run_all
from tests.eventlog.kit import patiently


async def conforms(log: EventLog, prefix: str, record_property: Callable[[str, object], None]) -> None:
    """All declarations give equal rows and equal errors."""
    (made, records), (written, examples) = declared(prefix), from_examples(f"{prefix}.case")
    declarations, records = made | written, records | examples
    _, schemas = read_schemas()
    logs: dict[str, list[Record]] = {}
    for topic, some in records.items():
        await patiently(partial(log.create, topic, 2))
        places = await log.append(topic, some)
        logs[topic] = [
            Record(topic, place.partition, offset, one.timestamp or 0, one.key, one.value)
            for one, (place, offset) in zip(some, places, strict=True)
        ]
    expected = {}
    for name, case in declarations.items():
        engine = embedded(name, case, logs)
        expected[name] = Stored(engine.rows, refusals(name, case, engine, schemas))
    counts = {name: one.rows.total() + one.refused.total() for name, one in expected.items()}
    found = await run_all(log, declarations, schemas, counts, Random(SEED))
    assert not (told := differences(expected, found, list(declarations))), "\n".join(told)
    rows = sum(one.rows.total() for one in expected.values())
    late = sum(count for one in expected.values() for (_, kind, _), count in one.refused.items() if kind == "late")
    refused = sum(one.refused.total() for one in expected.values())
    assert rows > 1_000
    assert late > 100
    assert refused > late
    record_property("conformance", f"{len(declarations)} declarations, {rows} rows, {refused} errors, {late} late")


@pytest.mark.long
async def test_the_runner_on_sqlite_stores_what_the_engine_makes(
    tmp_path: Path, topic: str, record_property: Callable[[str, object], None]
) -> None:
    log = SqliteLog(tmp_path / "events.db")
    await log.open()
    try:
        await conforms(log, topic, record_property)
    finally:
        await log.close()


@pytest.mark.kafka
async def test_the_runner_on_kafka_stores_what_the_engine_makes(
    kafka: str, topic: str, record_property: Callable[[str, object], None]
) -> None:
    log = KafkaLog([kafka])
    await log.open()
    try:
        await conforms(log, topic, record_property)
    finally:
        await log.close()

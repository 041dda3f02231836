"""Events, streams and records for the tests of derived streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.derive.engine import Engine, event_of
from gateway.model.record import Record, TopicPartition
from gateway.times import read_time

SOURCE = "wiki.change"


def configured(tmp_path: Path, *derived: str) -> Catalog:
    """The catalogue of `wiki.change` and of these streams, each `name: {derive: …}` on a line of its own."""
    path = tmp_path / "gateway.yaml"
    titled = [one.replace("{derive:", "{schema_title: row, derive:") for one in derived]
    path.write_text("streams:\n  wiki.change: {}\n" + "".join(f"  {one}\n" for one in titled))
    return load(path).catalog


def engine(catalog: Catalog, name: str, partitions: int = 1, **more: Any) -> Engine:
    """The engine of a stream, over so many partitions of each of its inputs."""
    derivation = catalog.streams[name].derive
    assert derivation is not None
    topics = [topic for stream in derivation.inputs for topic in catalog.streams[stream].topics]
    places = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
    return Engine(name, derivation, catalog.streams, places, **more)


def at(clock: str, **members: Any) -> dict[str, Any]:
    """An event of 1 January at this time of day."""
    return {"meta": {"dt": f"2026-01-01T{clock}.000Z"}, **members}


def record(event: dict[str, Any], offset: int, partition: int = 0, topic: str = SOURCE) -> Record:
    """The record of an event."""
    time = read_time(event["meta"]["dt"])
    return Record(topic, partition, offset, time, None, orjson.dumps(event))


def give(
    engine: Engine, events: list[dict[str, Any]], partition: int = 0, offset: int = 0, topic: str = SOURCE
) -> None:
    """Give the engine these events of one partition."""
    records = [record(event, offset + number, partition, topic) for number, event in enumerate(events)]
    engine.take(TopicPartition(topic, partition), [(one, event_of(one)) for one in records])


def rows(engine: Engine) -> list[dict[str, Any]]:
    """The rows that have come out, without `meta`."""
    found = [orjson.loads(row.value or b"{}") for row in engine.results.rows]
    return [{name: value for name, value in row.items() if name != "meta"} for row in found]


def refused(engine: Engine) -> list[tuple[str, int | None]]:
    """What was refused: its kind, and the offset of the record."""
    return [(one.kind, None if one.record is None else one.record.offset) for one in engine.results.refused]

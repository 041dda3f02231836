"""Producing from lines."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from gateway import cooperative
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.errors import ConfigurationError, LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, TopicPartition
from gateway.produce import production as produce
from gateway.produce.entry import Entry
from gateway.produce.lines import Input
from gateway.produce.packed import InputError
from gateway.produce.production import Complaints, Production, excerpt, with_fields
from gateway.schemas.repository import SchemaRepository
from tests.eventlog.kit import batches_of
from tests.kit.events import numbered

STREAM = Stream("thing", ("thing",), schema_title="thing")
SCHEMA = """
title: thing
$id: /thing/1.0.0
type: object
properties: {$schema: {type: string}, meta: {type: object}, n: {type: integer}, who: {type: object}}
required: [n]
"""


class FailingLog(MemoryLog):
    """Takes so many appends, then is away."""

    left = 0

    async def append(self, topic: str, records: list[NewRecord]) -> list[tuple[TopicPartition, int]]:  # type: ignore[override]
        """See EventLog."""
        self.available = self.left > 0
        self.left -= 1
        return await super().append(topic, records)


@pytest.fixture
def schemas(tmp_path: Path) -> SchemaRepository:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "1.0.0.yaml").write_text(SCHEMA)
    return SchemaRepository([tmp_path])


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def event(number: object, **more: object) -> bytes:
    return numbered(number, **{"$schema": "/thing/1.0.0"}, **more)


async def parts(*given: list[bytes]) -> AsyncIterator[list[Entry]]:
    """Lines in the parts in which they come."""
    number = 0
    for part in given:
        lines = []
        for data in part:
            number += 1
            lines.append(Entry(number, data, len(data)))
        yield lines


class Told:
    """The complaints."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, place: str, reason: str) -> None:
        self.lines.append((place, reason))


def production(
    log: MemoryLog, schemas: SchemaRepository, stream: Stream = STREAM, max_errors: int | None = None
) -> tuple[Production, Told]:
    told = Told()
    return Production(stream, Catalog([stream]), schemas, log, SystemClock(), told, max_errors), told


async def records(log: MemoryLog) -> list[tuple[bytes | None, int, int]]:
    """Key, timestamp and number of each record."""
    partition = TopicPartition("thing", 0)
    reader = await log.reader({partition: 0})
    found = batches_of(await reader.fetch(0))
    return [
        (record.key, record.timestamp, orjson.loads(record.value or b"")["n"])
        for batch in batches_of(found)
        for record in batch.records
    ]


async def test_lines_are_stored_in_order_and_the_others_told(log: MemoryLog, schemas: SchemaRepository) -> None:
    run, told = production(log, schemas)
    await run.run(
        parts([event(0), b"", b"no", event("x")], [b"  " + event(1) + b"\r", b"[]", event(2)]), asyncio.Event()
    )
    assert [number for _, _, number in await records(log)] == [0, 1, 2]
    assert (run.stored, run.invalid, run.settled) == (3, 3, 7)
    assert [place for place, _ in told.lines] == ["line 3", "line 4", "line 6"]
    assert told.lines[0][1].endswith(": no")
    assert "/n" in told.lines[1][1]
    assert "the event is not a JSON object" in told.lines[2][1]


async def test_a_line_that_is_too_long(log: MemoryLog, schemas: SchemaRepository) -> None:
    run, told = production(log, schemas)

    async def long() -> AsyncIterator[list[Entry]]:
        yield [Entry(1, b"begin", 100_000_000)]

    await run.run(long(), asyncio.Event())
    assert told.lines == [("line 1", "longer than 16,777,216 bytes: it has 100,000,000: begin")]


async def test_key_and_timestamp_of_a_field(log: MemoryLog, schemas: SchemaRepository) -> None:
    stream = with_fields(STREAM, "who.name", "who.at")
    run, told = production(log, schemas, stream)
    given = [
        event(0, who={"name": "a", "at": "2026-01-02T03:04:05.678Z"}),
        event(1, who={"name": 7, "at": 1_700_000_000_123}),
        event(2, who={"name": "a"}),
        event(3, who={"at": 1_700_000_000_123}),
    ]
    await run.run(parts(given), asyncio.Event())
    assert await records(log) == [(b"a", 1_767_323_045_678, 0), (b"7", 1_700_000_000_123, 1)]
    assert [(place, reason.split(":")[0]) for place, reason in told.lines] == [
        ("line 3", "/who/at"),
        ("line 4", "/who/name"),
    ]


@pytest.mark.parametrize("path", ["", ".", "a..b", "a."])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(ConfigurationError, match="--key"):
        with_fields(STREAM, path, None)
    with pytest.raises(ConfigurationError, match="--timestamp"):
        with_fields(STREAM, None, path)


async def test_too_many_errors_end_a_run(log: MemoryLog, schemas: SchemaRepository) -> None:
    run, told = production(log, schemas, max_errors=2)
    await run.run(parts([event(0), b"a", event(1), b"b", event(2)], [event(3)]), asyncio.Event())
    assert run.too_many_errors
    assert (run.stored, run.invalid, run.settled) == (2, 2, 4)
    assert len(told.lines) == 2


async def test_a_signal_is_seen_between_two_lines(
    log: MemoryLog, schemas: SchemaRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooperative, "YIELD_SECONDS", -1.0)
    run, _ = production(log, schemas)
    stop = asyncio.Event()
    given = parts([event(number) for number in range(1000)])
    lines = await anext(given)
    asyncio.get_running_loop().call_soon(stop.set)

    async def one() -> AsyncIterator[list[Entry]]:
        yield lines

    await run.run(one(), stop)
    assert run.settled == run.stored == 1
    assert [number for _, _, number in await records(log)] == [0]


async def test_a_log_that_goes_away(schemas: SchemaRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "BATCH_RECORDS", 3)
    log = FailingLog()
    log.left = 2
    run, _ = production(log, schemas)
    with pytest.raises(LogUnavailable):
        await run.run(parts([event(number) for number in range(20)]), asyncio.Event())
    assert (run.stored, run.settled) == (6, 6)
    log.left, log.available = 100, True
    again, _ = production(log, schemas)
    await again.run(parts([event(number) for number in range(run.settled, 20)]), asyncio.Event())
    assert [number for _, _, number in await records(log)] == list(range(20))


def test_only_the_first_complaints_are_said() -> None:
    said: list[str] = []
    complaints = Complaints(said.append, 2)
    for number in range(1, 100):
        complaints(f"line {number}", "x" * 10_000)
    assert len(said) == 3
    assert said[1].startswith("line 2: xxx")
    assert all(len(line) < 700 for line in said)
    assert "only counted" in said[2]


def test_an_excerpt_is_short() -> None:
    assert excerpt(b"abc") == "abc"
    assert len(excerpt("ü".encode() * 1000)) == 81
    assert excerpt(b"\xff" * 5) == "�" * 5


async def test_events_over_several_lines_are_stored_as_they_are(log: MemoryLog, schemas: SchemaRepository) -> None:
    text = json.dumps([json.loads(event(number)) for number in range(3)], indent=2).encode()
    run, told = production(log, schemas)
    await run.run(Input(io.BytesIO(text)).parts(asyncio.Event()), asyncio.Event())
    assert (run.stored, run.invalid, run.settled, told.lines) == (3, 0, 3, [])
    assert [number for _, _, number in await records(log)] == [0, 1, 2]


async def test_what_comes_before_a_mistake_of_the_input_is_stored(log: MemoryLog, schemas: SchemaRepository) -> None:
    text = b"[\n%b,\n{}\n%b]" % (event(0), event(1))
    run, told = production(log, schemas)
    with pytest.raises(InputError, match="line 4: neither a comma"):
        await run.run(Input(io.BytesIO(text)).parts(asyncio.Event()), asyncio.Event())
    assert (run.stored, run.invalid, run.settled) == (1, 1, 2)
    assert told.lines[0][0] == "event 2 (line 3)"

"""The past week of the demo, in an archive on the disk behind an embedded log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from gateway.archive.log import ArchivedLog
from gateway.archive.open import open_archive
from gateway.archive.options import ArchiveOptions
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.demo import past
from gateway.demo.feed import SampleFeed
from gateway.demo.past import WEEK, begin_past, directory_of, write_aside
from gateway.demo.sample import SAMPLE
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Bounds, EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import Record, TopicPartition
from gateway.schemas.repository import SchemaRepository
from tests.eventlog.kit import batches_of
from tests.kit.clock import HandClock

NOW = 1_772_357_213_007
HISTORY = 60_000
EVENTS = 300
CHANGES = TopicPartition("changes", 0)
CREATIONS = TopicPartition("creations", 0)
SCHEMAS = SchemaRepository([SAMPLE / "schemas"])
CATALOG = Catalog(
    [
        Stream("changes", ("changes",), schema_title="wiki/change", message_key_fields=("wiki",), archive=True),
        Stream("creations", ("creations",), schema_title="wiki/page-create"),
    ]
)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "EVENTS", EVENTS)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(tmp_path / "demo.db")
    await log.open()
    yield log
    await log.close()


@pytest.fixture
def options(tmp_path: Path) -> ArchiveOptions:
    return ArchiveOptions(archive=str(tmp_path / "archive"))


def feed_into(log: EventLog, clock: HandClock, seed: int = 1, catalog: Catalog = CATALOG) -> SampleFeed:
    return SampleFeed(log, catalog, clock, seed=seed, history=HISTORY)


async def fill(log: EventLog, options: ArchiveOptions, clock: HandClock, seed: int = 1, writes: bool = True) -> bool:
    """What the demo does at its start; whether there was a week to be written."""
    feed = feed_into(log, clock, seed)
    week = await begin_past(log, feed, options, SCHEMAS, clock)
    await feed.fill()
    if week is not None and writes:
        await week.write(clock)
    return week is not None


async def read(log: SqliteLog, options: ArchiveOptions, partition: TopicPartition = CHANGES) -> list[Record]:
    """All records, as a client that asks for a week gets them."""
    archived = ArchivedLog(log, partial(open_archive, options))
    archived.follow(CATALOG)
    offset = (await archived.find({partition: NOW - WEEK}))[partition]
    assert isinstance(offset, int)
    reader = await archived.reader({partition: offset})
    found: list[Record] = []
    while batches := batches_of(await reader.fetch(0.1, max_records=100_000)):
        found += [record for batch in batches for record in batch.records]
    await reader.close()
    archived.threads.close()
    return found


def events(records: list[Record]) -> list[dict[str, object]]:
    return [orjson.loads(record.value or b"") for record in records]


async def test_a_week_lies_in_the_archive_alone_and_is_read_as_one(log: SqliteLog, options: ArchiveOptions) -> None:
    assert await fill(log, options, HandClock(NOW))
    bounds = (await log.bounds([CHANGES]))[CHANGES]
    assert isinstance(bounds, Bounds)
    assert bounds.start == EVENTS
    found = await read(log, options)
    assert [record.offset for record in found] == list(range(bounds.end))
    assert all(first.timestamp <= second.timestamp for first, second in pairwise(found))
    assert NOW - WEEK <= found[0].timestamp < NOW - WEEK * 0.99
    assert found[EVENTS - 1].timestamp < NOW - HISTORY <= found[EVENTS].timestamp
    assert {event["meta"]["stream"] for event in events(found)} == {"changes"}  # type: ignore[index]


async def test_pages_continue_from_the_week_into_the_log(log: SqliteLog, options: ArchiveOptions) -> None:
    await fill(log, options, HandClock(NOW))
    left: dict[object, object] = {}
    continued = 0
    for number, event in enumerate(events(await read(log, options))):
        if event["type"] == "log":
            continue
        page, revision = (event["wiki"], event["title"]), event["revision"]
        assert isinstance(revision, dict)
        continued += number >= EVENTS and page in left
        assert left.get(page, revision["old"]) == revision["old"]
        left[page] = revision["new"]
    assert continued > 20


async def test_the_creations_of_the_week_are_in_the_log(log: SqliteLog, options: ArchiveOptions) -> None:
    await fill(log, options, HandClock(NOW))
    made = {event["page"]["title"] for event in events(await read(log, options, CREATIONS))}  # type: ignore[index]
    assert made == {event["title"] for event in events(await read(log, options)) if event["type"] == "new"}


@pytest.mark.long
async def test_equal_seeds_make_equal_weeks(tmp_path: Path) -> None:
    weeks: list[list[tuple[int, bytes | None]]] = []
    for seed in (1, 1, 2):
        place = tmp_path / str(len(weeks))
        log, options = SqliteLog(place / "demo.db"), ArchiveOptions(archive=str(place / "archive"))
        await log.open()
        await fill(log, options, HandClock(NOW), seed)
        weeks.append([(record.timestamp, record.value) for record in await read(log, options)])
        await log.close()
    assert weeks[0] == weeks[1] != weeks[2]


async def test_another_start_makes_no_other_week(log: SqliteLog, options: ArchiveOptions) -> None:
    await fill(log, options, HandClock(NOW))
    before = await read(log, options)
    assert not await fill(log, options, HandClock(NOW + 5_000), seed=2)
    assert (await read(log, options))[: len(before)] == before


@pytest.mark.long
async def test_a_demo_that_was_killed_makes_the_week_at_its_next_start(log: SqliteLog, options: ArchiveOptions) -> None:
    await fill(log, options, HandClock(NOW), writes=False)
    creations = len(await read(log, options, CREATIONS))
    # Hours later: the week still ends where the log begins.
    later = NOW + 6 * 3_600_000
    assert await fill(log, options, HandClock(later), seed=2)
    found = await read(log, options)
    assert [record.offset for record in found] == list(range(len(found)))
    assert all(first.timestamp <= second.timestamp for first, second in pairwise(found))
    assert creations <= len(await read(log, options, CREATIONS)) < creations + 100
    (table,) = [each.name for each in directory_of(options).iterdir()]
    assert table == "changes"


async def test_a_write_that_fails_leaves_nothing(log: SqliteLog, options: ArchiveOptions) -> None:
    feed = feed_into(log, HandClock(NOW))
    week = await begin_past(log, feed, options, SCHEMAS, HandClock(NOW))
    assert week is not None
    directory_of(options).write_text("no directory")
    with pytest.raises(OSError, match="exists"):
        await week.write(HandClock(NOW))
    assert directory_of(options).is_file()


async def test_where_there_can_be_none(tmp_path: Path, log: SqliteLog, options: ArchiveOptions) -> None:
    clock = HandClock(NOW)

    async def begins(log: EventLog, stream: Stream, options: ArchiveOptions = options) -> bool:
        feed = feed_into(log, clock, catalog=Catalog([stream]))
        return await begin_past(log, feed, options, SCHEMAS, clock) is not None

    assert not await begins(log, Stream("a", ("a",), schema_title="wiki/change"))
    assert not await begins(log, Stream("b", ("b",), schema_title="wiki/change", archive=True, partitions=2))
    one = Stream("c", ("c",), schema_title="wiki/change", archive=True)
    assert not await begins(log, one, ArchiveOptions(archive="s3://bucket/prefix"))
    assert not await begins(MemoryLog(), one)
    # A table of another log of that name is left as it is, and so is a log that has begun.
    (directory_of(options) / "c").mkdir(parents=True)
    assert not await begins(log, one)
    await feed_into(log, clock).fill()
    assert not await begins(log, CATALOG.streams["changes"])
    assert (await log.bounds([CHANGES]))[CHANGES].start == 0  # type: ignore[union-attr]


@pytest.mark.long
async def test_another_process_writes_it(log: SqliteLog, options: ArchiveOptions) -> None:
    feed = feed_into(log, HandClock(NOW))
    week = await begin_past(log, feed, options, SCHEMAS, HandClock(NOW))
    assert week is not None
    async with asyncio.timeout(60):
        assert await write_aside(week)
    await feed.fill()
    assert [record.value for record in await read(log, options)][:EVENTS] == [new.value for new in week.records]
    # And says so where it cannot.
    assert not await write_aside(week._replace(options=ArchiveOptions(archive="/dev/null")))

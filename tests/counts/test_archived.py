"""Counts of an archive and the log behind it are those of the log with nothing taken away."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.archive.archive import Archive
from gateway.archive.files import OpenFile
from gateway.archive.log import ArchivedLog
from gateway.archive.upkeep import compact
from gateway.clock import SystemClock
from gateway.counts import counting as module
from gateway.counts.counting import Counting, Query
from gateway.counts.grid import Grid
from gateway.counts.options import CountOptions
from gateway.counts.tally import Counted
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import EventLog
from gateway.feed.selection import Selection
from gateway.filters.compile import compile_filter
from gateway.hub.past import Past
from gateway.model.record import NewRecord, TopicPartition
from tests.archive.kit import START, Desk

TOPIC = "changes"
CANARY = b'{"n":1,"meta":{"domain":"canary"}}'
NO_EVENTS = (None, b"", b"7", b"[]", b"{", b'{"n":\xff}', b'{"n":NaN}', b"[" * 2000)
FAR = (-1, -START, 0, 2**63 - 1, START + 10**9)


class Twins:
    """The same records twice: in a log that keeps all, and in one that forgets what is archived."""

    def __init__(self, path: Path, partitions: int = 1, file_bytes: int = 1 << 20) -> None:
        self.whole, self.short = MemoryLog(), MemoryLog()
        for log in (self.whole, self.short):
            log.create_topic(TOPIC, partitions)
        self.desk = Desk(path / "table", self.short, TOPIC, file_bytes=file_bytes)
        self.log = ArchivedLog(self.short, lambda _: self.desk.archive)
        self.log.archives = {TOPIC: self.desk.archive}
        self.scan = counting(self.whole)
        self.counting = counting(self.log)

    def put(self, *records: NewRecord) -> None:
        for log in (self.whole, self.short):
            log.append_now(TOPIC, list(records))

    async def archive(self, partition: int = 0, kept: int = 0) -> None:
        """Archive all, and let the log forget it, but for so many records."""
        await self.desk.copy()
        bounds = await self.short.bounds([TopicPartition(TOPIC, partition)])
        end: Any = bounds[TopicPartition(TOPIC, partition)]
        self.short.truncate(TOPIC, partition, max(0, end.end - kept))

    async def both(self, query: Query) -> tuple[Counted, Counted]:
        return await self.counting.count(query), await self.scan.count(query)


def counting(log: EventLog) -> Counting:
    return Counting(log, Past(log, 2, 1 << 20), SystemClock(), CountOptions(counts_records=10**7, counts_seconds=60.0))


def query(grid: Grid, text: str | None = None, by: tuple[str, ...] | None = None) -> Query:
    return Query(Selection(frozenset({TOPIC}), compile_filter(text) if text else None), grid, by)


def event(number: int, time: int | None = None, partition: int = 0) -> NewRecord:
    return NewRecord(json.dumps({"n": number}).encode(), None, START + number if time is None else time, partition)


@pytest.fixture
def no_values(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the values of an archive be read no more."""

    def deny() -> None:
        def denied(*_: object) -> None:
            raise AssertionError("the values of an archive were read")

        monkeypatch.setattr(OpenFile, "records", denied)

    return deny


@pytest.mark.parametrize("seed", range(6))
async def test_they_are_those_of_a_scan(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    twins = Twins(tmp_path, partitions=2, file_bytes=1 << 14)
    for _ in range(12):
        for _ in range(chance.randrange(1, 250)):
            number, partition = chance.randrange(4000), chance.randrange(2)
            record = event(number, partition=partition)
            if chance.random() < 0.1:
                record = record._replace(value=chance.choice((CANARY, *NO_EVENTS)))
            if chance.random() < 0.02:
                record = record._replace(timestamp=chance.choice(FAR))
            twins.put(record)
        if chance.random() < 0.6:
            await twins.archive(chance.randrange(2), kept=chance.choice((0, 0, 30)))
        if chance.random() < 0.3:
            table = twins.desk.table
            compact(table, twins.desk.archive, table.prepare({}), 1 << 20, everything=True)
        step = chance.choice((1, 7, 100, 1000, 3_600_000))
        start = (START + chance.randrange(-100, 3000)) // step * step
        grid = Grid(start, start + chance.randrange(1, min(step * 900, 10**7)), step)
        archived, scanned = await twins.both(query(grid))
        assert archived == scanned
        assert archived.exact


async def test_the_times_of_an_archive_are_counted_without_its_values(
    tmp_path: Path, no_values: Callable[[], None]
) -> None:
    twins = Twins(tmp_path)
    twins.put(*(event(number) for number in range(5000)))
    await twins.archive(kept=10)
    no_values()
    archived, scanned = await twins.both(query(Grid(START, START + 5000, 1000)))
    assert archived == scanned
    assert archived.counts == [1000] * 5


@pytest.mark.parametrize(("text", "by"), [("event.n < 100", None), (None, ("n",)), ("event.n < 100", ("n",))])
async def test_what_asks_for_the_event_is_counted_from_the_values(
    tmp_path: Path, text: str | None, by: tuple[str, ...] | None
) -> None:
    twins = Twins(tmp_path)
    twins.put(*(event(number % 150, START + number) for number in range(600)))
    await twins.archive(kept=50)
    archived, scanned = await twins.both(query(Grid(START, START + 600, 100), text, by))
    assert archived == scanned
    assert archived.exact


async def test_a_file_of_an_earlier_gateway_is_read_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = Twins(tmp_path)
    twins.put(*(event(number) for number in range(300)), NewRecord(CANARY, timestamp=START))
    with monkeypatch.context() as earlier:
        earlier.setattr("gateway.archive.files._MARK", {})
        earlier.setattr("gateway.archive.files._seen", lambda _: None)
        await twins.archive()
    twins.put(*(event(number) for number in range(300, 500)))
    await twins.archive()
    archived, scanned = await twins.both(query(Grid(START, START + 500, 100)))
    assert archived == scanned
    assert archived.counts == [100] * 5


async def test_a_file_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = Twins(tmp_path)
    twins.put(*(event(number) for number in range(300)))
    await twins.archive()
    grid = Grid(START, START + 1000, 100)
    first = await twins.counting.count(query(grid))
    monkeypatch.setattr(Archive, "count", lambda *_: pytest.fail("counted again"))
    assert await twins.counting.count(query(grid)) == first


async def test_a_store_that_is_slow_leaves_the_rest_to_an_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = Twins(tmp_path)
    twins.put(*(event(number) for number in range(3000)))
    await twins.archive()

    async def away(*_: object) -> None:
        raise LogUnavailable("the archive does not answer")

    monkeypatch.setattr(ArchivedLog, "count", away)
    archived, scanned = await twins.both(query(Grid(START, START + 3000, 1000)))
    assert archived == scanned


async def test_what_it_takes_is_paid_for(tmp_path: Path) -> None:
    twins = Twins(tmp_path)
    twins.put(*(event(number) for number in range(3000)))
    await twins.archive()
    spent: list[int] = []

    def charge(steps: int) -> float:
        spent.append(steps)
        return 0.0

    await twins.counting.count(query(Grid(START, START + 3000, 1000)), charge=charge)
    assert sum(spent) > 0
    assert module.MOST == 2

"""Several processes derive one stream in lanes: whoever is killed, paused or joins, each row is stored once."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.definitions import Definitions
from gateway.derive.lanes import LANES, Work, divisible, whole_name
from gateway.derive.run import Runner
from gateway.eventlog.memory.log import MemoryLog, MemoryWriter
from gateway.eventlog.memory.membership import MemoryMembership
from gateway.process.processing import Declared, Processing
from gateway.settings.table import Settings
from gateway.times import iso_time
from tests.derive import oracle
from tests.derive.events import SOURCE
from tests.derive.test_run import LATE, PASS, SCHEMAS, START, WINDOW, event, runner, running, stored, until
from tests.end_to_end.process import WAIT, eventually

PARTITIONS = 4
BROKEN_SECONDS = 20.0
"""Where a bug is planted, some rows may never come."""


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.derive.run.WAIT", 0.01)
    monkeypatch.setattr("gateway.derive.run.FIRST_DELAY", 0.01)
    monkeypatch.setattr("gateway.derive.run.POLL", 0.01)
    monkeypatch.setattr("gateway.process.pieces.FENCED_SECONDS", 0.01)
    monkeypatch.setattr("gateway.process.processing.PLAN_SECONDS", 0.05)


def catalog_of(folder: Path, *derived: str, partitions: int = PARTITIONS) -> Catalog:
    path = folder / "gateway.yaml"
    source = f"  wiki.change: {{partitions: {partitions}, message_key_fields: [key]}}\n"
    titled = [one.replace("{derive:", "{schema_title: row, derive:") for one in derived]
    path.write_text("streams:\n" + source + "".join(f"  {one}\n" for one in titled))
    return load(path).catalog


class Stopped:
    """A writer of a process that may be paused before any append."""

    def __init__(self, writer: MemoryWriter, going: asyncio.Event) -> None:
        self._writer, self._going = writer, going

    @property
    def position(self) -> bytes | None:
        return self._writer.position

    async def append(self, records: Any, position: bytes) -> Any:
        await self._going.wait()
        return await self._writer.append(records, position)

    async def close(self) -> None:
        await self._writer.close()


class Process:
    """One of several over one log: can be killed, and be paused for longer than the others wait for it."""

    def __init__(self, log: MemoryLog, catalog: Catalog) -> None:
        self._log = log
        self.going = asyncio.Event()
        self.going.set()
        self._membership: MemoryMembership | None = None
        self.processing = Processing(Settings(), self)
        declared = Declared(Definitions(catalog, SCHEMAS), ())
        self._task = asyncio.create_task(self.processing.run(declared, asyncio.Event()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def close(self) -> None:
        """The log is the others' too."""

    async def writer(self, name: str) -> Stopped:
        return Stopped(await self._log.writer(name), self.going)

    async def join(self, on_change: Any) -> MemoryMembership:
        self._membership = await self._log.join(on_change)
        return self._membership

    def pause(self) -> None:
        self.going.clear()
        if self._membership is not None:
            self._membership.expel()

    def go_on(self) -> None:
        self.going.set()
        if self._membership is not None:
            self._membership.rejoin()

    async def kill(self) -> None:
        """Without a word, and in the middle of whatever it does."""
        jobs = [job.task for job in self.processing._pieces._jobs.values()]
        while not all(task.done() for task in (*jobs, self._task)):
            for task in (*jobs, self._task):
                task.cancel()
            await asyncio.wait([*jobs, self._task], timeout=0.05)
        if self._membership is not None:
            self._membership.expel()  # as when it has been silent for long enough


def partition_of(key: str) -> int:
    return zlib.crc32(key.encode()) % PARTITIONS


async def differences(folder: Path, seed: int, seconds: float = WAIT) -> tuple[Counter[Any], Counter[Any]]:
    """Rows that are missing after so long, and rows that are too many."""
    chance, log = random.Random(seed), MemoryLog(spans_hosts=True)
    catalog = catalog_of(folder, WINDOW)
    await log.create(SOURCE, PARTITIONS)
    parts: list[list[oracle.Event]] = [[] for _ in range(PARTITIONS)]
    processes = [Process(log, catalog)]
    now = START
    for _ in range(25):
        for _ in range(chance.randrange(12)):
            now += chance.choice([0, 500, 3_000])
            key = chance.choice(["a", "b", "c", "d", "e", oracle.REFUSED])
            one = (now - chance.choice([0, 3_000, 15_000]), key, chance.choice([1, 2, None]))
            parts[partition_of(key)].append(one)
            await log.append(SOURCE, [event(*one)._replace(partition=partition_of(key))])
        await asyncio.sleep(chance.random() * 0.03)
        choice, which = chance.randrange(5), chance.choice(processes)
        if choice == 0 and len(processes) < 4:
            processes.append(Process(log, catalog))
        elif choice == 1 and len(processes) > 1:
            processes.remove(which)
            await which.kill()
        elif choice == 2:
            which.pause()
        elif choice == 3:
            which.go_on()
    for one_process in processes:
        one_process.go_on()
    for number, part in enumerate(parts):
        part.append((now + 60_000, oracle.CANARY, None))
        await log.append(SOURCE, [event(now + 60_000, "canary", None)._replace(partition=number)])
    expected, _ = oracle.windows(parts, LATE, 20_000, 20_000)
    wanted = Counter((key, iso_time(start), *rest) for key, start, _, *rest in expected.elements())

    async def found() -> Counter[Any]:
        rows = [orjson.loads(record.value or b"") for record in await stored(log, "a")]
        rows = [row for row in rows if row["meta"].get("domain") != "canary"]
        return Counter((row["key"], row["window_start"], row["count"], row.get("sum"), row.get("most")) for row in rows)

    async def are_all_there() -> bool:
        return not wanted - await found()

    with suppress(AssertionError):
        await eventually(are_all_there, "all rows", seconds)
    await asyncio.sleep(0.05)
    rows = await found()
    for one_process in processes:
        await one_process.kill()
    return wanted - rows, rows - wanted


@pytest.mark.parametrize("seed", range(8))
async def test_each_row_is_stored_once_whoever_is_killed_or_paused(tmp_path: Path, seed: int) -> None:
    missing, repeated = await differences(tmp_path, seed)
    assert not missing
    assert not repeated


@pytest.mark.long
async def test_without_the_fence_rows_would_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: a writer that was taken over may append."""

    async def append(self: MemoryWriter, records: Any, position: bytes) -> Any:
        self.position = position
        newest = self._log.writers[self._name]
        newest.position = position
        return self._log.append_to_topics(records)

    monkeypatch.setattr(MemoryWriter, "append", append)
    repeated = Counter[Any]()
    for seed in range(8):
        repeated += (await differences(tmp_path, seed, BROKEN_SECONDS))[1]
    assert repeated


@pytest.mark.long
async def test_a_lane_that_begins_without_its_position_would_repeat_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: who takes a lane over begins anew."""

    async def position(self: Runner, writer: Any) -> None:
        return None

    monkeypatch.setattr(Runner, "_position", position)
    repeated = Counter[Any]()
    for seed in range(4):
        repeated += (await differences(tmp_path, seed, BROKEN_SECONDS))[1]
    assert repeated


async def test_processes_divide_the_lanes_and_one_that_stays_has_them_all(tmp_path: Path) -> None:
    log, catalog = MemoryLog(spans_hosts=True), catalog_of(tmp_path, PASS)
    await log.create(SOURCE, PARTITIONS)
    first, second = Process(log, catalog), Process(log, catalog)

    async def shared() -> bool:
        return [len(one.processing.doing) for one in (first, second)] == [2, 2]

    async def alone() -> bool:
        return len(first.processing.doing) == PARTITIONS

    await eventually(shared, "two lanes each")
    assert not first.processing.doing & second.processing.doing
    second.pause()
    await eventually(alone, "all lanes")
    second.go_on()
    await eventually(shared, "two lanes each")
    await first.kill()
    await second.kill()


async def test_on_one_host_a_stream_is_one_piece(tmp_path: Path) -> None:
    log, catalog = MemoryLog(), catalog_of(tmp_path, PASS)
    await log.create(SOURCE, PARTITIONS)
    first = Process(log, catalog)

    async def begun() -> bool:
        return first.processing.doing == {"derive a"}

    await eventually(begun, "the stream")
    await first.kill()


async def test_new_partitions_get_lanes_and_a_lane_keeps_to_its_own(tmp_path: Path) -> None:
    """Of more partitions than lanes each lane has several."""
    log, catalog = MemoryLog(spans_hosts=True), catalog_of(tmp_path, PASS, partitions=1)
    await log.create(SOURCE, 1)
    first = Process(log, catalog)
    await log.append(SOURCE, [event(START, "a", 0)._replace(partition=0)])
    await until(log, "a", 1)
    log.add_partitions(SOURCE, LANES + 2)
    log.add_partitions("a", LANES + 2)
    await log.append(SOURCE, [event(START, "a", number)._replace(partition=number) for number in range(1, LANES + 2)])

    async def planned() -> bool:
        return len(first.processing.doing) == LANES

    await eventually(planned, "the lanes")
    # Those that a lane has already are seen at its next look.
    await first.kill()
    second = Process(log, catalog)
    found = await until(log, "a", LANES + 2)
    assert sorted((record.partition, orjson.loads(record.value or b"")["n"]) for record in found) == [
        (number, number) for number in range(LANES + 2)
    ]
    await second.kill()


async def test_lanes_go_on_where_the_whole_stream_was_and_never_back(tmp_path: Path) -> None:
    log, said = MemoryLog(spans_hosts=True), list[str]()
    catalog = catalog_of(tmp_path, PASS)
    await log.create(SOURCE, PARTITIONS)
    await log.append(SOURCE, [event(START, "a", number)._replace(partition=number) for number in range(PARTITIONS)])
    async with running(runner(catalog, log, said)):
        await until(log, "a", PARTITIONS)
    process = Process(log, catalog)
    await log.append(
        SOURCE, [event(START, "a", 10 + number)._replace(partition=number) for number in range(PARTITIONS)]
    )
    found = await until(log, "a", 2 * PARTITIONS)
    await process.kill()
    numbers = sorted(orjson.loads(record.value or b"")["n"] for record in found)
    assert numbers == [*range(PARTITIONS), *range(10, 10 + PARTITIONS)]
    with pytest.raises(Exception, match="it was derived in lanes"):
        await runner(catalog, log, said).run(asyncio.Event())


async def test_the_rows_of_a_lane_are_in_partitions_of_its_own(tmp_path: Path) -> None:
    """So that in each partition times rise, and nobody who reads them takes a row to be late."""
    log, catalog = MemoryLog(spans_hosts=True), catalog_of(tmp_path, WINDOW)
    await log.create(SOURCE, PARTITIONS)
    for number in range(PARTITIONS):
        # The key of a row may hash to another partition than that of its events.
        some = [event(START + at, f"k{number}-{at}", 1)._replace(partition=number) for at in (0, 60_000, 120_000)]
        await log.append(SOURCE, some)
    first = Process(log, catalog)
    found = await until(log, "a", 2 * PARTITIONS)
    await first.kill()
    rows = [(record.partition, orjson.loads(record.value or b"")["key"][1]) for record in found]
    assert {partition for partition, key in rows if str(partition) != key} == set()


def test_what_can_be_divided(tmp_path: Path) -> None:
    by_key = "a: {derive: {from: [wiki.change], window: {every: 1m}, by: {key: event.key}, select: {n: count()}}}"
    more = [
        by_key,
        by_key.replace("a:", "b:").replace("by: {key: event.key}", "by: {other: event.n}"),
        "c: {partitions: 2, schema_title: row, derive: {from: [wiki.change], select: {n: event.n}}}",
        "d: {derive: {from: [wiki.change], latest: {key: event.key}, select: {n: event.n}}}",
        "e: {derive: {from: [wiki.change, a], select: {n: event.n}}}",
        "f: {derive: {from: [wiki.change], lookup: {d: {in: d, key: [event.key]}}, select: {n: d.n}}}",
        "g: {derive: {from: [a], window: {every: 1m}, by: {key: event.key}, select: {n: count()}}}",
    ]
    streams = catalog_of(tmp_path, *more).streams
    assert {name: divisible(one, streams)[0] for name, one in streams.items() if one.derive is not None} == {
        "a": True, "b": False, "c": False, "d": False, "e": False, "f": False, "g": True
    }  # fmt: skip
    assert Work(streams["a"], 3).name == f"{whole_name(streams['a'])} lane 3"

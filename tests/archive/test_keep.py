"""Archives beside derived streams and rules: begun, kept going and ended with the declarations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Event

import pytest

from gateway.archive import keep as keep_room
from gateway.archive import upkeep
from gateway.archive.erasure import erase
from gateway.archive.keep import Keeper
from gateway.archive.log import ArchivedLog
from gateway.archive.open import open_archive
from gateway.archive.options import ArchiveOptions
from gateway.archive.threads import Threads
from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError
from gateway.eventlog.memory.log import MemoryLog
from gateway.forms.frame import framed
from gateway.model.record import NewRecord, Record
from gateway.observability import telemetry
from gateway.process import processing as processing_room
from gateway.process.processing import Declared, Processing
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.archive.kit import DAY, SHAPES, START, Desk, dataset, event, hours_ago
from tests.kit.clock import HandClock
from tests.kit.waiting import becomes
from tests.routes.forms import Converting
from tests.services.registry import small_registry

LABEL = (("stream", "t"),)
ARCHIVED, BARE = Stream("t", ("t",), archive=True), Stream("t", ("t",))


def declared(stream: Stream) -> Declared:
    return Declared(Definitions(Catalog([stream]), SchemaRepository([])), ())


@pytest.fixture
def log() -> MemoryLog:
    memory = MemoryLog()
    memory.create_topic("t")
    memory.append_now("t", [event(n) for n in range(30)])
    return memory


def rows(place: Path) -> int:
    uri = place / "t"
    return int(dataset(str(uri)).count_rows()) if (uri / "_delta_log").is_dir() else 0


def counted() -> float:
    return telemetry.own_figures().counts.get(("gateway_archive_records", "gateway_archive_records_total", LABEL), 0.0)


@pytest.mark.long
async def test_an_archive_begins_and_ends_with_its_declaration(log: MemoryLog, tmp_path: Path) -> None:
    before = counted()
    settings = Settings(archive=str(tmp_path), archive_interval=1.0)
    archived = ArchivedLog(log, lambda name: open_archive(settings.of(ArchiveOptions), name))
    processing, stop = Processing(settings, archived), asyncio.Event()
    task = asyncio.create_task(processing.run(declared(BARE), stop))
    await processing.take(declared(ARCHIVED))
    await becomes(lambda: rows(tmp_path) == 30)
    assert list(archived.archives) == ["t"], "replays reach back at once"
    log.append_now("t", [event(n) for n in range(30, 40)])
    await becomes(lambda: rows(tmp_path) == 40)
    await becomes(lambda: counted() == before + 40)
    assert b'gateway_archive_waiting_records{stream="t"} 0.0' in telemetry.exposition()
    await processing.take(declared(BARE))
    assert archived.archives == {}
    assert b'gateway_archive_waiting_records{stream="t"}' not in telemetry.exposition()
    stop.set()
    await task


async def test_a_failure_is_counted_and_tried_again(log: MemoryLog, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("no directory")
    options = ArchiveOptions(archive=str(place))
    keeper = Keeper(ARCHIVED, SchemaRepository([]), log, options, SystemClock(), Threads(1, "test"))
    assert not await keeper.turn(asyncio.Event())
    place.unlink()
    assert await keeper.turn(asyncio.Event())
    assert rows(place) == 30


async def test_no_turn_begins_beside_one_that_goes_on(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge that nobody waits for any more still works on the table."""
    ending, begun, threads = Event(), list[int](), Threads(2, "test")

    def slow(*_: object) -> upkeep.Compacted:
        begun.append(1)
        ending.wait()
        return upkeep.Compacted(0, 0)

    keeper = Keeper(ARCHIVED, SchemaRepository([]), log, ArchiveOptions(archive=str(tmp_path)), SystemClock(), threads)
    assert await keeper.copy(asyncio.Event())
    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "compact", slow)
        patch.setattr(keep_room, "UPKEEP_SECONDS", 5.0)
        assert not await keeper.turn(asyncio.Event())
        assert not await keeper.turn(asyncio.Event())
    ending.set()
    both = Barrier(2)  # for which both threads must be free
    await asyncio.gather(threads.run(60, both.wait), threads.run(60, both.wait))
    assert len(begun) == 1
    assert await keeper.turn(asyncio.Event())


class SlowClock(HandClock):
    """Each look at it takes 500 seconds."""

    def monotonic(self) -> float:
        self.advance(500)
        return super().monotonic()


@pytest.mark.parametrize(("everything", "left"), [(False, 6), (True, 4)])
async def test_merges_end_in_time_for_new_records(log: MemoryLog, tmp_path: Path, everything: bool, left: int) -> None:
    """But for an operator, who waits for all of them."""
    desk = Desk(tmp_path / "t", log, "t")
    for turn in range(6):
        log.append_now("t", [event(turn, START + (1 + turn // 2) * DAY)])
        await desk.copy()
    assert len(desk.table.rows()) == 7
    options, threads = ArchiveOptions(archive=str(tmp_path)), Threads(1, "test")
    keeper = Keeper(ARCHIVED, SchemaRepository([]), log, options, SlowClock(), threads)
    await keeper.upkeep(asyncio.Event(), everything)
    desk.table.refresh()
    assert len(desk.table.rows()) == left


def _at(offset: int) -> Callable[[Record], bool]:
    return lambda record: record.offset == offset


def stored(uri: str) -> int:
    """The number of files that are there, in the table or not."""
    return len(list(Path(uri).glob("*/*.parquet")))


async def test_what_was_erased_goes_at_the_first_turn(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the log cannot be copied."""
    desk = Desk(tmp_path / "t", log, "t")
    await desk.copy()
    columns = desk.table.prepare(SHAPES)
    for offset, hours in ((3, 30), (5, 0)):
        with monkeypatch.context() as patch:
            patch.setattr("gateway.archive.table.time", hours_ago(hours))
            assert erase(desk.table, desk.archive, columns, _at(offset)) == (1, 1)
    assert stored(desk.uri) == 3
    log.cut("t", 0, 20)
    options = ArchiveOptions(archive=str(tmp_path), archive_vacuum=7200.0)
    keeper = Keeper(ARCHIVED, SchemaRepository([]), log, options, SystemClock(), Threads(1, "test"))
    assert not await keeper.turn(asyncio.Event()), "the log has lost records"
    assert stored(desk.uri) == 2, "readers of older versions may have the younger one"
    assert rows(tmp_path) == 28


@pytest.mark.parametrize(
    ("keys", "archive", "keep"),
    [
        ("archive: true", True, None),
        ("archive: false", False, None),
        ("keep: 5y", True, 5 * 365 * 86_400_000),
        ("{archive: true, keep: 2d}", True, 2 * 86_400_000),
    ],
)
def test_a_stream_says_that_it_is_archived(tmp_path: Path, keys: str, archive: bool, keep: int | None) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"streams:\n  t:\n    {keys.strip('{}').replace(', ', chr(10) + '    ')}\n")
    stream = load(path).catalog.streams["t"]
    assert (stream.archive, stream.keep) == (archive, keep)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("archive: yes please", "archive is"),
        ("keep: soon", "the time to keep is"),
        ("keep: 0d", "the time to keep is"),
        ("keep: 5y\n    archive: false", "leave one out"),
    ],
)
def test_a_mistake_in_it_is_told(tmp_path: Path, keys: str, told: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"streams:\n  t:\n    {keys}\n")
    with pytest.raises(ConfigurationError, match=told):
        load(path)


async def test_the_columns_of_a_stream_in_avro_are_those_that_its_registry_describes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing_room, "PLAN_SECONDS", 0.05)
    stream = Stream("t", ("t",), archive=True, form="avro")
    fields = [{"name": "n", "type": "int"}, {"name": "price", "type": ["null", "double"]}]
    memory, settings = MemoryLog(), Settings(archive=str(tmp_path), archive_interval=1.0)
    memory.create_topic("t")
    with small_registry() as registry:
        registry.add("t-value", {"type": "record", "name": "R", "fields": fields})
        memory.append_now("t", [NewRecord(framed(1, bytes([2 * n, 0]))) for n in range(30)])
        converting = Converting(memory, registry, [stream])
        archived = ArchivedLog(converting, lambda name: open_archive(settings.of(ArchiveOptions), name))
        processing, stop = Processing(settings, archived), asyncio.Event()
        task = asyncio.create_task(processing.run(declared(stream), stop))

        def columns() -> list[int]:
            uri = tmp_path / "t"
            if not (uri / "_delta_log").is_dir() or "n" not in (found := dataset(str(uri))).schema.names:
                return []
            return sorted(found.to_table(["n"]).column("n").drop_null().to_pylist())

        def newer() -> bool:
            memory.append_now("t", [NewRecord(framed(1, b"\x0e\0"))])
            return bool(columns())

        await becomes(newer)
        stop.set()
        await task

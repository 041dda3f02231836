"""Archives beside derived streams and rules: begun, kept going and ended with the declarations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

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
from gateway.model.record import NewRecord
from gateway.observability import telemetry
from gateway.process import processing as processing_room
from gateway.process.processing import Declared, Processing
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.archive.kit import dataset, event
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

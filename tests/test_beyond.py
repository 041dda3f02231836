"""docs/BEYOND.md: its configuration is checked, and what it says of states holds: a view and a changelog agree."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from click.testing import CliRunner

from gateway.app.composition import define
from gateway.commands.cli import main
from gateway.definitions import Definitions
from gateway.demo.wiki import WikiSample
from gateway.eventlog.memory.log import MemoryLog
from gateway.intake.validate import key_of
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.process.processing import Declared, Processing
from gateway.settings.configuration import Configured, configure
from gateway.state.files import path_of
from gateway.state.key import read
from gateway.state.lookup import Lookup
from gateway.state.place import cut_of
from tests.archive.kit import dataset
from tests.end_to_end.process import eventually

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "BEYOND.md").read_text()
(CONFIGURATION,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(STATE,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SOURCE, ROWS = "wiki.change", "wiki.pages"
PARTITIONS = 6
BEGIN = 1_790_000_000_000
EVENTS = 1_500
END = BEGIN + EVENTS * 100
Pages = dict[tuple[Any, ...], Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's, with the configuration of the page."""
    shutil.copytree(ROOT / "config" / "schemas", tmp_path / "config" / "schemas")
    (tmp_path / "config" / "gateway.yaml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["derive", "schema", ROWS])
    assert result.exit_code == 0, result.output
    return tmp_path


@pytest.mark.long
def test_the_configuration_has_no_mistake(folder: Path) -> None:
    result = CliRunner().invoke(main, ["check"])
    assert (result.exit_code, "no mistakes" in result.output) == (0, True), result.output


class KeptLog(MemoryLog):
    """A log whose records outlive its closing."""

    async def close(self) -> None:
        pass


async def fill(log: MemoryLog, definitions: Definitions) -> None:
    """Changes of pages, of which each tenth is a deletion; and then time that passes in every partition."""
    log.create_topic(SOURCE, PARTITIONS)
    stream, sample = definitions.catalog.streams[SOURCE], WikiSample(3, BEGIN)
    records = []
    for number in range(EVENTS):
        time = BEGIN + number * 100
        event, _ = sample.next(time)
        if number % 10 == 0:
            event = {**event, "type": "log", "log_action": "delete"}
        records.append(NewRecord(orjson.dumps(event), key_of(event, stream), time))
    await log.append(SOURCE, records)
    for partition in range(PARTITIONS):
        event, _ = sample.next(END + 60_000)
        event |= {"title": "later", "wiki": f"w{partition}"}
        await log.append(SOURCE, [NewRecord(orjson.dumps(event), b"w", END + 60_000, partition)])


async def records_of(log: MemoryLog, topic: str) -> list[Record]:
    state = (await log.describe([topic])).get(topic)
    partitions = range(getattr(state, "partitions", 0))
    reader = await log.reader({TopicPartition(topic, number): 0 for number in partitions})
    found: list[Record] = []
    while batches := await reader.fetch(0.0):
        found += [record for batch in batches for record in getattr(batch, "records", ())]
    await reader.close()
    return found


async def changelog(log: MemoryLog) -> Pages:
    """What a reader of the compacted topic holds."""
    rows: dict[bytes | None, bytes | None] = {record.key: record.value for record in await records_of(log, ROWS)}
    return shown({(row["wiki"], row["title"]): row for row in map(orjson.loads, filter(None, rows.values()))})


def view(directory: Path, definitions: Definitions) -> Pages:
    """What the view holds."""
    (declared,) = definitions.views
    if not path_of(directory, declared).exists():
        return {}
    with closing(Lookup(path_of(directory, declared))) as lookup:
        state = lookup.state()
        assert state is not None
        found, after = lookup.rows(cut_of(state.places), b"", False, None, 10_000, 10_000)
        while after is not None:
            more, after = lookup.rows(cut_of(state.places), after, True, None, 10_000, 10_000)
            found += more
    return shown({read(one.key, 2): orjson.loads(one.value or b"") for one in found})


def shown(pages: Mapping[tuple[Any, ...], Any]) -> Pages:
    wanted = ("id", "user", "comment")
    return {key: [page[name] for name in wanted] for key, page in pages.items() if key[1] != "later"}


def configured_here(folder: Path) -> tuple[Configured, Definitions]:
    """The same with a place on the disk."""
    text = CONFIGURATION.replace("s3://events/archive", "var/archive")
    (folder / "config" / "gateway.yaml").write_text(re.sub(r"archive_options:\n(  .*\n)+", "", text))
    configured = configure({"view_directory": str(folder / "views")}, {})
    definitions, _ = define(configured)
    return configured, definitions


@pytest.mark.long
async def test_a_view_a_changelog_and_a_table_agree(folder: Path) -> None:
    configured, definitions = configured_here(folder)
    log, stop = KeptLog(), asyncio.Event()
    await fill(log, definitions)
    running = asyncio.create_task(Processing(configured.settings, log).run(Declared(definitions, ()), stop))
    expected: Pages = {}
    for record in await records_of(log, SOURCE):
        event = orjson.loads(record.value or b"")
        expected.pop((event["wiki"], event["title"]), None)
        if event.get("log_action") != "delete":
            expected[event["wiki"], event["title"]] = event
    wanted = shown(expected)
    assert len(wanted) > 500

    async def agree() -> bool:
        return await changelog(log) == wanted

    async def is_built() -> bool:
        return view(folder / "views", definitions) == wanted

    async def is_archived() -> bool:
        return (folder / "var" / "archive" / SOURCE / "_delta_log" / f"{PARTITIONS:020}.json").exists()

    try:
        await eventually(agree, "the changelog holds the state")
        await eventually(is_archived, "every partition is archived")
        await eventually(is_built, "the view holds the state")
    finally:
        stop.set()
        await running

    changes = dataset(str(folder / "var" / "archive" / SOURCE))
    asked = STATE.replace("delta_scan('var/archive/wiki.change')", "changes").replace("2026-09-21'", "2027-01-01'")
    with duckdb.connect() as connection:
        connection.register("changes", changes)
        found = connection.execute(asked)
        names = [name for name, *_ in found.description or ()]
        pages = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    rows = {(page["wiki"], page["title"]): page for page in pages if page["log_action"] != "delete"}
    assert shown(rows) == wanted

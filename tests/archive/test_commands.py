"""`gateway archive` and `gateway erase`, and foreign readers of what they leave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from gateway.commands.cli import main
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord, TopicPartition
from tests.archive.kit import DAY, START, dataset, hours_ago

SCHEMA = """
title: place/visit
$id: /place/visit/1.0.0
$schema: http://json-schema.org/draft-07/schema#
type: object
properties:
  $schema: {type: string}
  who: {type: string}
  count: {type: integer}
  where: {type: object, properties: {city: {type: string}}}
  note: {}
"""
PEOPLE = ("Ada", "Bob", "Cyd")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration with an archived stream of two partitions."""
    version = tmp_path / "schemas" / "place" / "visit"
    version.mkdir(parents=True)
    (version / "1.0.0.yaml").write_text(SCHEMA)
    configuration = f"""
archive: {tmp_path}/archive
log: sqlite:///{tmp_path}/events.db
schema_repositories: [{tmp_path}/schemas]
streams:
  visits: {{schema_title: place/visit, archive: true, partitions: 2}}
  other: {{}}
"""
    (tmp_path / "gateway.yaml").write_text(configuration)
    return tmp_path


async def fill(place: Path) -> None:
    log = SqliteLog(place / "events.db")
    await log.open()
    await log.create("visits", 2)
    for n in range(90):
        event = {"who": PEOPLE[n % 3], "count": n, "where": {"city": f"c{n % 2}"}, "note": [n]}
        record = NewRecord(json.dumps(event).encode(), PEOPLE[n % 3].encode(), START + n * DAY // 30, n % 2)
        await log.append("visits", [record])
    await log.close()


def gateway(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", str(place / "gateway.yaml")])


async def values(place: Path) -> list[bytes | None]:
    """All that the embedded log has."""
    log = SqliteLog(place / "events.db")
    await log.open()
    reader = await log.reader({TopicPartition("visits", number): 0 for number in range(2)})
    found = [record.value for batch in await reader.fetch(30) for record in batch.records]  # type: ignore[union-attr]
    await log.close()
    return found


def stored(place: Path) -> list[Path]:
    """All files of the archive of visits, in its table or not."""
    return list((place / "archive" / "visits").glob("*/*.parquet"))


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    """The answer of DuckDB."""
    return connection.execute(query).fetchall()


@pytest.mark.long
def test_a_stream_is_archived_checked_merged_and_erased_from(place: Path) -> None:
    asyncio.run(fill(place))
    done = gateway(place, "archive", "run", "--once")
    assert done.exit_code == 0, done.output
    checked = gateway(place, "archive", "check")
    assert (checked.exit_code, "90 records in 8 files" in checked.output) == (0, True), checked.output

    uri = str(place / "archive" / "visits")
    visits = dataset(uri)
    connection = duckdb.connect().register("visits", visits)
    connection.execute("SET TimeZone = 'UTC'")
    asked = 'SELECT "where".city, count(*), sum("count") FROM visits WHERE who = \'Ada\' GROUP BY ALL ORDER BY 1'
    assert rows(connection, asked) == [("c0", 15, 630), ("c1", 15, 675)]
    assert len(visits.schema.names) > 10
    by_day = "SELECT CAST(_timestamp AS DATE) AS day, count(*) FROM visits GROUP BY ALL ORDER BY day"
    assert [count for _, count in rows(connection, by_day)] == [13, 30, 30, 17]
    assert rows(connection, "SELECT note FROM visits WHERE count = 7") == [("[7]",)]

    merged = gateway(place, "archive", "compact")
    assert merged.exit_code == 0, merged.output

    erased = gateway(place, "erase", "visits", "--key", "Bob", "--now")
    assert erased.exit_code == 0, erased.output
    assert "log: 30 records emptied" in erased.output
    assert "archive: 30 records erased" in erased.output
    assert "not reached" in erased.output
    left = asyncio.run(values(place))
    assert (len(left), left.count(None)) == (90, 30)
    names = dataset(uri).to_table(columns=["who"]).column("who").to_pylist()
    assert sorted(set(names)) == ["Ada", "Cyd"]
    for path in Path(uri).glob("*/*.parquet"):
        assert b"Bob" not in pq.read_table(path, columns=["_key"]).column("_key").to_pylist()
    assert b"Bob" not in (place / "events.db").read_bytes()

    where = gateway(place, "erase", "visits", "--where", 'event.who == "Cyd" && event.count > 50')
    assert "archive: 13 records erased" in where.output, where.output
    assert "--now ends that" in where.output
    again = gateway(place, "erase", "visits", "--where", 'event.who == "Cyd" && event.count > 50')
    assert "archive: 0 records erased" in again.output, again.output


async def store_cloudevents(place: Path) -> None:
    log = SqliteLog(place / "events.db")
    await log.open()
    await log.create("clouds")
    events = [
        {"specversion": "1.0", "id": f"{n}", "source": "/s", "type": "t", "data": {"who": PEOPLE[n % 3]}}
        for n in range(6)
    ]
    headers = (("content-type", b"application/cloudevents+json"),)
    await log.append("clouds", [NewRecord(json.dumps(event).encode(), headers=headers) for event in events])
    await log.close()


def test_streams_of_other_forms_are_erased_from_the_log_too(place: Path) -> None:
    configuration = place / "gateway.yaml"
    configuration.write_text(configuration.read_text() + "  clouds: {format: cloudevents, archive: true}\n")
    asyncio.run(store_cloudevents(place))
    assert gateway(place, "archive", "run", "clouds", "--once").exit_code == 0
    erased = gateway(place, "erase", "clouds", "--where", 'event.data.who == "Bob"', "--now")
    assert erased.exit_code == 0, erased.output
    assert "log: 2 records emptied" in erased.output
    assert "archive: 2 records erased" in erased.output
    assert b"Bob" not in (place / "events.db").read_bytes()


def test_a_stream_that_is_archived_no_longer_is_erased_from_too(place: Path) -> None:
    asyncio.run(fill(place))
    assert gateway(place, "archive", "run", "--once").exit_code == 0
    path = place / "gateway.yaml"
    path.write_text(path.read_text().replace("archive: true, ", ""))
    erased = gateway(place, "erase", "visits", "--key", "Bob")
    assert "archive: 30 records erased" in erased.output, erased.output
    path.write_text(path.read_text().replace(f"archive: {place}/archive\n", ""))
    assert "archive: no place is set" in gateway(place, "erase", "visits", "--key", "Bob").output


@pytest.mark.long
@pytest.mark.parametrize("archived", [True, False])
def test_a_single_run_deletes_what_was_replaced_long_ago(
    place: Path, monkeypatch: pytest.MonkeyPatch, archived: bool
) -> None:
    """Of streams that are archived no longer, too."""
    path = place / "gateway.yaml"
    path.write_text(path.read_text().replace("other: {}", "other: {archive: true}"))
    asyncio.run(fill(place))
    assert gateway(place, "archive", "run", "--once").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr("gateway.archive.table.time", hours_ago(25))
        assert "archive: 30 records erased" in gateway(place, "erase", "visits", "--key", "Bob").output
    if not archived:
        path.write_text(path.read_text().replace("archive: true, partitions", "partitions"))
    replaced = len(stored(place))
    done = gateway(place, "archive", "run", "--once")
    assert done.exit_code == 0, done.output
    assert len(stored(place)) < replaced
    for file in stored(place):
        assert b"Bob" not in pq.read_table(file, columns=["_key"]).column("_key").to_pylist()


@pytest.mark.long
def test_the_table_of_a_stream_that_is_archived_no_longer_is_looked_after(place: Path) -> None:
    asyncio.run(fill(place))
    assert gateway(place, "archive", "run", "--once").exit_code == 0
    path = place / "gateway.yaml"
    archived = path.read_text()
    path.write_text(archived.replace("archive: true, ", ""))
    for named in (["visits"], []):
        checked = gateway(place, "archive", "check", *named)
        assert (checked.exit_code, checked.output) == (0, "visits: 90 records in 8 files\n")
    merged = gateway(place, "archive", "compact")
    assert (merged.exit_code, merged.output) == (0, "visits: 0 files deleted\n")
    gone = next((place / "archive" / "visits").glob("2026-09-2*/*.parquet"))
    gone.unlink()
    damaged = gateway(place, "archive", "check")
    assert damaged.exit_code == 1
    assert gone.name in damaged.output
    refused = gateway(place, "archive", "run", "visits", "--once")
    assert (refused.exit_code, refused.output) == (1, "visits is not archived; give it archive: true\n")

    path.write_text(archived.replace("visits:", "others:"))
    for command in (["archive", "check"], ["archive", "compact"], ["erase", "--key", "a"]):
        told = gateway(place, *command, "visits")
        assert told.exit_code == 1
        assert f"{place}/archive has a table of that name: configure the stream" in told.output


def test_where_nothing_was_ever_archived_no_table_is_made(place: Path) -> None:
    path = place / "gateway.yaml"
    path.write_text(path.read_text().replace("archive: true, ", ""))
    for command in ("check", "compact"):
        told = gateway(place, "archive", command)
        assert (told.exit_code, f"{place}/archive has no table of one" in told.output) == (1, True), told.output
        assert "has no table of it" in gateway(place, "archive", command, "visits").output
    assert not (place / "archive").exists()
    path.write_text(path.read_text().replace(f"archive: {place}/archive\n", ""))
    assert "no place of archives is set" in gateway(place, "archive", "check", "visits").output


def test_an_erasure_names_what_is_made_of_the_stream(place: Path) -> None:
    asyncio.run(fill(place))
    derived = "  {}: {{schema_title: place/who, derive: {{from: [{}], select: {{who: event.who}}}}}}\n"
    path = place / "gateway.yaml"
    made = derived.format("visitors", "visits") + derived.format("guests", "visitors")
    made += (
        "  copies: {schema_title: place/visit}\n"
        "  again: {topics: [copies]}\n"
        "  failed: {schema_title: place/failed, public: false}\n"
        "  dead: {schema_title: place/failed, public: false}\n"
        "error_stream: failed\n"
        "rules:\n"
        "  copy: {on: [visits], do: [{produce: {stream: copies}}], dead_stream: dead, retry: {after: [5s]}}\n"
    )
    path.write_text(path.read_text() + made)
    schema = place / "schemas" / "place" / "who" / "1.0.0.yaml"
    schema.parent.mkdir(parents=True)
    schema.write_text(
        "title: place/who\n$id: /place/who/1.0.0\ntype: object\nproperties:\n"
        "  $schema: {type: string}\n  meta: {type: object, properties: {dt: {type: string}}}\n  who: {type: string}\n"
    )
    failed = place / "schemas" / "place" / "failed" / "1.0.0.yaml"
    failed.parent.mkdir(parents=True)
    failed.write_text(
        "title: place/failed\n$id: /place/failed/1.0.0\ntype: object\nproperties:\n"
        "  $schema: {type: string}\n  raw_event: {type: string}\n"
    )
    erased = gateway(place, "erase", "visits", "--key", "Bob")
    assert "log: 30 records emptied" in erased.output, erased.output
    assert "archive: visits has none" in erased.output
    others = "visitors, copies, dead, failed, guests, again"
    assert f"holds events of visits, or is made of them: {others}; erase from each" in erased.output
    assert "try again, and have tried again: the topics copy.retry-5s, copy.replay" in erased.output
    last = gateway(place, "erase", "dead", "--key", "Bob").output
    assert "log: 0 records emptied" in last, last
    assert "made of them: failed; erase" in last
    assert "the topics" not in last


def test_who_interrupts_is_told_that_work_is_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(fill(place))
    assert gateway(place, "archive", "run", "--once").exit_code == 0

    def stopped() -> asyncio.Event:
        stop = asyncio.Event()
        stop.set()
        return stop

    def deleting(*arguments: object) -> None:
        raise AssertionError("it goes on after the signal")

    monkeypatch.setattr("gateway.commands.archive.stop_on_signals", stopped)
    monkeypatch.setattr("gateway.archive.upkeep.vacuum", deleting)
    monkeypatch.setattr("gateway.archive.upkeep.drop_outlived", deleting)
    path = place / "gateway.yaml"
    path.write_text(path.read_text().replace("partitions: 2", "partitions: 2, keep: 1d"))
    for command in (["run", "--once"], ["compact"]):
        ended = gateway(place, "archive", *command)
        assert ended.exit_code == 130, ended.output
        assert ended.stderr.endswith("gateway archive: interrupted; not everything was done\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["archive", "run", "nothing"], "there is no stream 'nothing'"),
        (["archive", "check", "other"], "other is not archived"),
        (["erase", "visits"], "give either --key or --where"),
        (["erase", "visits", "--key", "a", "--where", "true"], "give either --key or --where"),
        (["erase", "visits", "--where", "1 +"], "line 1, column 4"),
        (["erase", "visits", "--where", ""], "--where: line 1, column 1: the expression is empty"),
        (["erase", "visits", "--where", " \n"], "--where: line 1, column 1: the expression is empty"),
    ],
)
def test_mistakes_are_told(place: Path, arguments: list[str], told: str) -> None:
    done = gateway(place, *arguments)
    assert done.exit_code == 1
    assert told in done.output


def test_a_damaged_archive_is_found(place: Path) -> None:
    asyncio.run(fill(place))
    assert gateway(place, "archive", "run", "--once").exit_code == 0
    gone = next((place / "archive" / "visits").glob("2026-09-2*/*.parquet"))
    gone.unlink()
    done = gateway(place, "archive", "check")
    assert done.exit_code == 1
    assert gone.name in done.output
    assert gateway(place, "erase", "visits", "--key", "Ada").exit_code == 1


def test_a_place_must_be_set(place: Path) -> None:
    path = place / "gateway.yaml"
    path.write_text(path.read_text().replace(f"archive: {place}/archive\n", ""))
    done = gateway(place, "check")
    assert done.exit_code == 1
    assert f"{path}:" in done.output
    assert "visits is to be archived, and no place is set" in done.output


def test_the_libraries_must_be_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.archive.open.find_spec", lambda name: None)
    done = gateway(place, "check")
    assert done.exit_code == 1
    assert "pip install 'event-gateway[archive]'" in done.output
    path = place / "gateway.yaml"
    path.write_text(path.read_text().replace("archive: true, ", ""))
    monkeypatch.setattr("gateway.commands.archive.missing_libraries", lambda: ["pyarrow"])
    for command in ("check", "compact"):
        told = gateway(place, "archive", command)
        assert (told.exit_code, told.output) == (1, "archives need pyarrow: pip install 'event-gateway[archive]'\n")

"""The format of the file of the SQLite log: an older one is brought to this version's, a newer one left alone.

`data/format-0.db` was written by the version before files told their format: `plain` has two partitions, the first cut
by its retention to its newest eight records; `other` has one record of the writer `mirror`.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import LogForbids, LogNewer, LogUnavailable
from gateway.eventlog.offer import REPEATED
from gateway.eventlog.port import Bounds
from gateway.eventlog.sqlite.connection import FORMAT
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import Kind
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import take, to

OLD = Path(__file__).parent / "data" / "format-0.db"
FIRST, SECOND, OTHER = TopicPartition("plain", 0), TopicPartition("plain", 1), TopicPartition("other", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD, tmp_path / "events.db"))


def format_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def set_format(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {number}")


def open_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection write from now on."""
    connect = sqlite3.connect

    def open_one(name: Path, **more: float | None) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(name, **more)  # type: ignore[call-overload]
        connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr(sqlite3, "connect", open_one)


async def read_all(log: SqliteLog) -> dict[TopicPartition, list[bytes | None]]:
    bounds = {FIRST: Bounds(12, 20), SECOND: Bounds(0, 2), OTHER: Bounds(0, 1)}
    assert await log.bounds(list(bounds)) == bounds
    reader = await log.reader({partition: each.start for partition, each in bounds.items()})
    records = await take(reader, 11)
    await reader.close()
    assert [record.headers for record in records if record.headers] == [(("traceparent", b"00-x"),)]
    found: dict[TopicPartition, list[bytes | None]] = {partition: [] for partition in bounds}
    for record in records:
        found[TopicPartition(record.topic, record.partition)].append(record.value)
    return found


CONTENT = {FIRST: [b'{"n":%d}' % n for n in range(12, 20)], SECOND: [b'{"n":1}', None], OTHER: [b'{"m":1}']}


async def test_an_older_file_is_upgraded_and_goes_on(path: Path) -> None:
    log = SqliteLog(path, window=600, maximum=1000)
    await log.open()
    assert await read_all(log) == CONTENT
    assert format_of(path) == FORMAT
    once = NewRecord(b"new", partition=0, once=b"id")
    assert await log.offer("plain", [once, once]) == [(FIRST, 20), REPEATED]
    writer = await log.writer("mirror")
    assert writer.position == b"position-1"
    assert await writer.append(to("other", [NewRecord(b"more")]), b"position-2") == [(OTHER, 1)]
    assert await log.find({FIRST: 1_700_000_000_015}) == {FIRST: 15}
    await log.close()


async def test_several_that_open_an_older_file_at_once_upgrade_it_once(path: Path) -> None:
    logs = [SqliteLog(path, window=600, maximum=1000) for _ in range(6)]
    await asyncio.gather(*(log.open() for log in logs))
    fates = await asyncio.gather(*(log.offer("plain", [NewRecord(b"x", partition=0, once=b"id")]) for log in logs))
    assert [fate for (fate,) in fates if fate is not REPEATED] == [(FIRST, 20)]
    await asyncio.gather(*(log.close() for log in logs))


async def test_a_process_of_the_older_version_goes_on_beside_this_one(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        assert older.execute("SELECT count(*) FROM records").fetchone() == (11,)
        log = SqliteLog(path, window=600, maximum=1000)
        assert await log.append("plain", [NewRecord(b"x", partition=0)]) == [(FIRST, 20)]
        older.execute("INSERT INTO records SELECT partition, 21, timestamp, high, total, key, headers, value"
                      " FROM records WHERE partition = 1 AND offset = 20")  # fmt: skip
        older.execute("UPDATE partitions SET next = 22 WHERE id = 1")
        assert await log.append("plain", [NewRecord(b"y", partition=0)]) == [(FIRST, 22)]
        await log.close()


async def test_an_older_file_that_another_process_holds_is_waited_for_and_said_so(path: Path) -> None:
    log = SqliteLog(path, busy_timeout=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match=f"its format 0 is upgraded to {FORMAT}.*locked"):
            await log.describe(["plain"])
        other.execute("COMMIT")
    assert await read_all(log) == CONTENT
    await log.close()


async def test_an_older_file_that_may_not_be_written_is_read_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_read_only(monkeypatch)
    log = SqliteLog(path, window=600, maximum=1000)
    await log.open()
    assert await read_all(log) == CONTENT
    with pytest.raises(LogForbids, match="of format 0; it cannot be upgraded to"):
        await log.offer("plain", [NewRecord(b"x", once=b"id")])
    monkeypatch.undo()
    assert format_of(path) == 0
    assert await log.offer("plain", [NewRecord(b"x", partition=0, once=b"id")]) == [(FIRST, 20)]
    await log.close()


async def test_a_newer_file_is_refused_and_left_as_it_is(path: Path) -> None:
    set_format(path, FORMAT + 1)
    before = path.read_bytes()  # noqa: ASYNC240  # nothing else runs yet
    log = SqliteLog(path)
    with pytest.raises(LogNewer, match=r"install that version again, or name another log"):
        await log.open()
    with pytest.raises(LogForbids, match="install that version again") as caught:
        await log.append("plain", [NewRecord(b"x")])
    assert caught.value.kind is Kind.NEWER
    await log.close()
    assert path.read_bytes() == before  # noqa: ASYNC240


async def test_what_fails_in_the_middle_of_an_upgrade_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteLog(path)
    with monkeypatch.context() as patch:
        patch.setattr("gateway.eventlog.sqlite.store.SqliteStore.tables", ("CREATE TABLE half (a)", "no statement"))
        with pytest.raises(LogUnavailable):
            await log.describe(["plain"])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
    assert await read_all(log) == CONTENT
    await log.close()


async def test_a_file_has_an_identity_of_its_own_that_stays(tmp_path: Path) -> None:
    found = []
    for name in ("a.db", "b.db", "a.db"):
        log = SqliteLog(tmp_path / name)
        found.append(await log.identity())
        await log.close()
    assert found[0] == found[2] != found[1]


async def test_a_file_without_an_identity_gets_one_when_it_is_asked_for(path: Path) -> None:
    log = SqliteLog(path)
    await log.open()
    await log.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE identity")
    logs = [SqliteLog(path) for _ in range(4)]
    identities = await asyncio.gather(*(log.identity() for log in logs))
    await asyncio.gather(*(log.close() for log in logs))
    assert len(set(identities)) == 1
    assert identities[0]
    assert format_of(path) == FORMAT


async def test_a_file_without_an_identity_that_may_not_be_written_has_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_read_only(monkeypatch)
    log = SqliteLog(path)
    assert await log.identity() == ""
    await log.close()

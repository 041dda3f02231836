"""Why the file of the embedded log takes nothing, and whether that passes."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import LogForbids, LogUnavailable
from gateway.eventlog.offer import OFFER_SECONDS
from gateway.eventlog.sqlite import log as sqlite_log
from gateway.eventlog.sqlite.connection import FORMAT
from gateway.eventlog.sqlite.log import BUSY_SECONDS, SqliteLog
from gateway.eventlog.sqlite.trouble import kind_of
from gateway.eventlog.trouble import Kind
from gateway.model.record import NewRecord

TOPIC = "topic"
ONE = [NewRecord(b"x" * 100)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest_asyncio.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(path, busy_timeout=0.05)
    await log.open()
    await log.create(TOPIC)
    yield log
    await log.close()


async def say(log: SqliteLog, statement: str) -> None:
    """To the connection that appends. Its cursor ends on the connection's thread: dropped by another, it may wipe
    out the error of the statement which runs meanwhile."""
    await log._writer.run(lambda store: store.connection().execute(statement).fetchall())


async def test_a_full_disk_passes(log: SqliteLog) -> None:
    await say(log, "PRAGMA max_page_count = 1")
    with pytest.raises(LogUnavailable, match="full") as caught:
        await log.offer(TOPIC, [NewRecord(bytes(1_000_000))])
    assert caught.value.kind is Kind.DISK_FULL
    # The connection was closed with the error; there is room.
    assert len(await log.offer(TOPIC, ONE)) == 1


async def test_a_lock_passes(log: SqliteLog, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="locked") as caught:
            await log.offer(TOPIC, ONE)
        assert caught.value.kind is Kind.LOCKED
    assert len(await log.offer(TOPIC, ONE)) == 1


async def test_who_waits_behind_a_lock_is_told_of_it(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable):
            await log.offer(TOPIC, ONE)
    done = threading.Event()
    monkeypatch.setattr(sqlite_log, "OFFER_SECONDS", 0.05)
    before = asyncio.create_task(log._writer.run(lambda _: done.wait(5)))
    await asyncio.sleep(0)  # it is on the thread
    with pytest.raises(LogUnavailable, match=r"not done within .*; the one before it: .*locked") as caught:
        await log.offer(TOPIC, ONE)
    assert caught.value.kind is Kind.LOCKED
    monkeypatch.undo()
    done.set()
    await before
    # It is not the reason for ever.
    await log.offer(TOPIC, ONE)
    assert log._failure is None


def test_a_lock_is_told_of_before_the_answer_is_due() -> None:
    assert BUSY_SECONDS < OFFER_SECONDS


async def test_a_file_that_may_not_be_written_waits_for_somebody(log: SqliteLog) -> None:
    await say(log, "PRAGMA query_only = ON")
    with pytest.raises(LogForbids, match="readonly") as caught:
        await log.offer(TOPIC, ONE)
    assert caught.value.kind is Kind.NO_RIGHT


@pytest.mark.parametrize(
    ("content", "kind"), [(b"no database" * 1000, Kind.UNREADABLE), (FORMAT + 1, Kind.NEWER)], ids=["other", "newer"]
)
async def test_another_file_waits_for_somebody(path: Path, content: bytes | int, kind: Kind) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)  # noqa: ASYNC240  # nothing else runs yet
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"PRAGMA user_version = {content}")
    log = SqliteLog(path)
    with pytest.raises(LogForbids) as caught:
        await log.offer(TOPIC, ONE)
    assert caught.value.kind is kind
    await log.close()


async def test_a_directory_in_the_place_of_the_file_waits_for_somebody(path: Path) -> None:
    path.mkdir()  # noqa: ASYNC240  # nothing else runs yet
    log = SqliteLog(path)
    with pytest.raises(LogForbids) as caught:
        await log.offer(TOPIC, ONE)
    assert caught.value.kind is Kind.UNREADABLE
    await log.close()


async def test_an_expiry_that_is_forbidden_breaks_nothing(log: SqliteLog, caplog: pytest.LogCaptureFixture) -> None:
    log._expired = float("-inf")
    await say(log, "PRAGMA query_only = ON")
    await log._expire()
    assert log._expiring is None


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (sqlite3.SQLITE_FULL, Kind.DISK_FULL),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Kind.LOCKED),
        (sqlite3.SQLITE_LOCKED, Kind.LOCKED),
        (sqlite3.SQLITE_IOERR_WRITE, Kind.DISK_FAILS),
        (sqlite3.SQLITE_IOERR_FSYNC, Kind.DISK_FAILS),
        (sqlite3.SQLITE_READONLY_DIRECTORY, Kind.NO_RIGHT),
        (sqlite3.SQLITE_READONLY_DBMOVED, Kind.UNAVAILABLE),
        (sqlite3.SQLITE_PERM, Kind.NO_RIGHT),
        (sqlite3.SQLITE_AUTH, Kind.NO_RIGHT),
        (sqlite3.SQLITE_CORRUPT_INDEX, Kind.UNREADABLE),
        (sqlite3.SQLITE_NOTADB, Kind.UNREADABLE),
        (sqlite3.SQLITE_ERROR, Kind.UNAVAILABLE),
        (sqlite3.SQLITE_NOMEM, Kind.UNAVAILABLE),
    ],
)
def test_what_sqlite_says(number: int, kind: Kind, path: Path) -> None:
    error = sqlite3.OperationalError("it")
    error.sqlite_errorcode = number
    assert kind_of(error, path) is kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, Kind.NO_RIGHT),
        (errno.EROFS, Kind.NO_RIGHT),
        (errno.ENOSPC, Kind.DISK_FULL),
        (errno.EDQUOT, Kind.DISK_FULL),
        (errno.EIO, Kind.DISK_FAILS),
        (errno.ENOTDIR, Kind.UNREADABLE),
        (errno.EMFILE, Kind.UNAVAILABLE),
    ],
)
def test_what_the_system_says(number: int, kind: Kind, path: Path) -> None:
    assert kind_of(OSError(number, "it"), path) is kind


@pytest.mark.parametrize(("allowed", "kind"), [(True, Kind.UNAVAILABLE), (False, Kind.NO_RIGHT)])
def test_what_sqlite_cannot_open_is_asked_of_the_system(
    allowed: bool, kind: Kind, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have run out of open files, which passes."""
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    monkeypatch.setattr(os, "access", lambda *_: allowed)
    assert kind_of(error, path) is kind

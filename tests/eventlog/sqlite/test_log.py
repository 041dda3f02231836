"""The promises of the SQLite log beyond those of every log: durability, several processes, retention."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalog.stream import Retention
from gateway.errors import LogForbids, LogUnavailable
from gateway.eventlog.offer import all_stored
from gateway.eventlog.port import Bounds
from gateway.eventlog.sqlite import watch as sqlite_watch
from gateway.eventlog.sqlite import worker as sqlite_worker
from gateway.eventlog.sqlite.file_writes import FileWrites
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.sqlite.rows import RECORD_OVERHEAD, is_stamp_of, pack_headers, stamp_of, unpack_headers
from gateway.eventlog.sqlite.store import SqliteStore
from gateway.eventlog.trouble import Kind
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.eventlog.kit import WAIT, batches_of, take, to
from tests.kit.stopwatch import stopwatch

TOPIC = "test"
PARTITION = TopicPartition(TOPIC, 0)

APPENDER = """
import asyncio, sys
from gateway.model.record import NewRecord
from gateway.eventlog.sqlite.log import SqliteLog
from tests.eventlog.unhurried import without_haste

async def main():
    log = SqliteLog(sys.argv[1], busy_timeout=60)
    await log.open()
    await log.create("test")
    for number in range(int(sys.argv[2])):
        ((_, offset),) = await log.append("test", [NewRecord(b"%d" % number)])
        print(offset, flush=True)
    await log.close()

with without_haste():
    asyncio.run(main())
"""
ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(path)
    await log.open()
    yield log
    await log.close()


async def appender(path: Path, count: int) -> asyncio.subprocess.Process:
    """Another process that appends so many records, and prints the offset of each once it is acknowledged."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPENDER, str(path), str(count), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )


@pytest.mark.long
async def test_every_acknowledged_record_survives_a_kill(path: Path, log: SqliteLog) -> None:
    process = await appender(path, 1_000_000)
    assert process.stdout is not None
    for _ in range(20):
        async with asyncio.timeout(WAIT):
            assert await process.stdout.readline()
    process.kill()
    last = 19
    while line := await process.stdout.readline():
        last = int(line) if line.endswith(b"\n") else last
    await process.wait()
    reader = await log.reader({PARTITION: 0})
    records = await take(reader, last + 1)
    assert [record.value for record in records] == [b"%d" % number for number in range(len(records))]
    assert await log.append(TOPIC, [NewRecord(b"next")]) == [(PARTITION, len(records))]


@pytest.mark.alone
@pytest.mark.parametrize("tells", [True, False], ids=["told of writes", "polling"])
async def test_an_append_of_another_process_wakes_a_reader(
    path: Path, log: SqliteLog, tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tells:
        monkeypatch.setattr(sqlite_watch, "FileWrites", _refuse_to_watch)
    await log.create(TOPIC)
    other = SqliteLog(path)  # The watch of one log hears nothing of another's appends but from the file.
    reader = await log.reader({PARTITION: 0})
    delays = []
    for number in range(15):
        waiting = asyncio.create_task(reader.fetch(WAIT))
        await asyncio.sleep(0.03)
        await other.append(TOPIC, [NewRecord(b"%d" % number)])
        appended = time.monotonic()
        (batch,) = batches_of(await waiting)
        delays.append(time.monotonic() - appended)
        assert batch.records[0].value == b"%d" % number
    await other.close()
    assert sorted(delays)[7] < 0.03


def _refuse_to_watch(path: Path) -> NoReturn:
    raise OSError(f"{path} cannot be watched")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_writes_to_a_file_are_told_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(OSError, match="No such file"):
        FileWrites(file)
    file.write_bytes(b"before")
    writes = FileWrites(file)
    assert not writes.wait(0)
    file.read_bytes()
    (tmp_path / "other").write_bytes(b"x")
    assert not writes.wait(0)
    with file.open("ab") as opened:
        opened.write(b"after")
    assert writes.wait(WAIT)
    assert not writes.wait(0), "told once"
    writes.close()


@pytest.mark.long
@pytest.mark.usefixtures("no_haste")
async def test_several_processes_write_and_one_reads(path: Path, log: SqliteLog) -> None:
    await log.create(TOPIC)
    processes = [await appender(path, 50) for _ in range(2)]
    await log.append(TOPIC, [NewRecord(b"mine")])
    reader = await log.reader({PARTITION: 0})
    records = await take(reader, 101)
    for process in processes:
        await process.communicate()
        assert process.returncode == 0
    assert [record.offset for record in records] == list(range(101))
    counts = [sum(record.value == b"%d" % number for record in records) for number in range(50)]
    assert counts == [2] * 50


async def test_a_file_from_before_there_were_positions(path: Path) -> None:
    first = SqliteLog(path)
    await first.create(TOPIC)
    await first.append(TOPIC, [NewRecord(b"old")])
    await first.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE positions; DROP TABLE claims; DROP TABLE bindings; PRAGMA user_version = 0"
        )
    log = SqliteLog(path)
    writer = await log.writer("name")
    await writer.append(to(TOPIC, [NewRecord(b"new")]), b"1")
    reader = await log.reader({PARTITION: 0})
    assert [record.value for record in await take(reader, 2)] == [b"old", b"new"]
    await log.close()


async def test_retention_by_age(log: SqliteLog) -> None:
    await log.create(TOPIC, retention=Retention(milliseconds=100))
    await log.append(TOPIC, [NewRecord(b"x", timestamp=number) for number in range(50)])
    assert await log.expire(130) == 30
    assert await log.bounds([PARTITION]) == {PARTITION: Bounds(30, 50)}
    assert await log.expire(130) == 0
    assert await log.expire(1000) == 20
    assert await log.bounds([PARTITION]) == {PARTITION: Bounds(50, 50)}


async def test_retention_by_age_keeps_what_has_no_age(log: SqliteLog) -> None:
    """Records without a time go with the first that has one after them."""
    await log.create(TOPIC, retention=Retention(milliseconds=100))
    await log.append(TOPIC, [NewRecord(b"x", timestamp=time) for time in (-1, -(2**63))])
    assert await log.expire(10**12) == 0
    await log.append(TOPIC, [NewRecord(b"x", timestamp=time) for time in (500, -1, 600)])
    assert await log.expire(600) == 0
    assert await log.expire(601) == 4
    assert await log.bounds([PARTITION]) == {PARTITION: Bounds(4, 5)}


async def test_retention_by_size(log: SqliteLog) -> None:
    record = 1000 + RECORD_OVERHEAD
    await log.create(TOPIC, 2, Retention(size=10 * record))
    await log.append(TOPIC, [NewRecord(b"x" * 1000, partition=0) for _ in range(25)])
    await log.append(TOPIC, [NewRecord(b"x" * 1000, partition=1) for _ in range(10)])
    assert await log.expire(0) == 15
    other = TopicPartition(TOPIC, 1)
    assert await log.bounds([PARTITION, other]) == {PARTITION: Bounds(15, 25), other: Bounds(0, 10)}


async def test_what_has_no_retention_is_kept(log: SqliteLog) -> None:
    await log.create(TOPIC)
    await log.append(TOPIC, [NewRecord(b"x", timestamp=0)])
    assert await log.expire(1 << 50) == 0


async def test_offsets_are_not_used_again_when_all_has_expired(path: Path, log: SqliteLog) -> None:
    await log.create(TOPIC, retention=Retention(milliseconds=1))
    await log.append(TOPIC, [NewRecord(b"x", timestamp=0) for _ in range(5)])
    await log.expire(1000)
    again = SqliteLog(path)
    assert await again.append(TOPIC, [NewRecord(b"x")]) == [(PARTITION, 5)]
    await again.close()


async def test_a_partition_that_never_had_a_record_may_begin_elsewhere(log: SqliteLog) -> None:
    await log.create(TOPIC, 2)
    other = TopicPartition(TOPIC, 1)
    assert await log.begin_at(PARTITION, 100)
    assert await log.bounds([PARTITION, other]) == {PARTITION: Bounds(100, 100), other: Bounds(0, 0)}
    assert await log.find({PARTITION: 0}) == {PARTITION: None}
    assert await log.append(TOPIC, [NewRecord(b"a", timestamp=5, partition=0)]) == [(PARTITION, 100)]
    assert await log.find({PARTITION: 5}) == {PARTITION: 100}
    # Not twice, not where something was or is, and not where there is nothing.
    assert not await log.begin_at(PARTITION, 200)
    await log.append(TOPIC, [NewRecord(b"b", partition=1)])
    assert not await log.begin_at(other, 100)
    assert not await log.begin_at(TopicPartition("absent", 0), 100)
    assert await log.bounds([PARTITION, other]) == {PARTITION: Bounds(100, 101), other: Bounds(0, 1)}


async def test_appends_apply_the_retention(path: Path) -> None:
    now = 1_000
    log = SqliteLog(path, expire_interval=0, now=lambda: now)
    await log.create(TOPIC, retention=Retention(milliseconds=100))
    await log.append(TOPIC, [NewRecord(b"old")])
    now = 2_000
    await log.append(TOPIC, [NewRecord(b"new")])
    await log.close()
    again = SqliteLog(path)
    assert await again.bounds([PARTITION]) == {PARTITION: Bounds(1, 2)}
    await again.close()


async def test_find_forgets_what_has_expired(log: SqliteLog) -> None:
    times = [1, 100, 50, 60, 55, 120, 110]
    await log.create(TOPIC, retention=Retention(size=5 * (RECORD_OVERHEAD + 1)))
    await log.append(TOPIC, [NewRecord(b"x", timestamp=when) for when in times])
    await log.expire(0)
    expected = {0: 2, 50: 2, 51: 3, 56: 3, 60: 3, 61: 5, 101: 5, 120: 5, 121: None}
    for when, offset in expected.items():
        assert await log.find({PARTITION: when}) == {PARTITION: offset}
    await log.append(TOPIC, [NewRecord(b"x", timestamp=115), NewRecord(b"x", timestamp=130)])
    assert await log.find({PARTITION: 121}) == {PARTITION: 8}


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 12)), min_size=1, max_size=6
    )
)
def test_find_is_exact_whatever_expires(rounds: list[tuple[list[int], int]]) -> None:
    store = SqliteStore(Path(":memory:"), 1.0)
    kept: list[tuple[int, int]] = []
    for times, keep in rounds:
        store.create(TOPIC, 1, Retention())
        with store.writing() as connection:
            connection.execute("UPDATE topics SET retention_size = ?", (keep * (RECORD_OVERHEAD + 1),))
        locations = all_stored(store.append(TOPIC, [NewRecord(b"x", timestamp=when) for when in times], 0, 0))
        kept = [*kept, *((offset, when) for (_, offset), when in zip(locations, times, strict=True))][-keep:]
        store.expire(0)
        assert store.bounds([PARTITION]) == {PARTITION: Bounds(kept[0][0], kept[-1][0] + 1)}
        for wanted in range(32):
            first = next((offset for offset, when in kept if when >= wanted), None)
            assert store.find({PARTITION: wanted}) == {PARTITION: first}
    store.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=4))
def test_headers_are_packed_and_unpacked(headers: list[tuple[str, bytes]]) -> None:
    assert unpack_headers(pack_headers(headers)) == tuple(headers)


async def test_a_file_that_is_locked_is_unavailable(path: Path) -> None:
    log = SqliteLog(path, busy_timeout=0.05)
    await log.create(TOPIC)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable):
            await log.append(TOPIC, [NewRecord(b"x")])
        assert await log.bounds([PARTITION]) == {PARTITION: Bounds(0, 0)}
        other.execute("COMMIT")
    assert await log.append(TOPIC, [NewRecord(b"x")]) == [(PARTITION, 0)]
    await log.close()


async def test_a_file_that_cannot_be_opened_is_unavailable_until_it_can(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.write_text("a file is in the way")
    log = SqliteLog(directory / "events.db", busy_timeout=0.05)
    await log.open()
    for call in (log.describe([TOPIC]), log.reader({PARTITION: 0})):
        with pytest.raises(LogUnavailable):
            await call
    for change in (log.create(TOPIC), log.append(TOPIC, [])):
        with pytest.raises(LogForbids) as caught:
            await change
        assert caught.value.kind is Kind.UNREADABLE
    directory.unlink()
    await log.create(TOPIC)
    assert await log.append(TOPIC, [NewRecord(b"x")]) == [(PARTITION, 0)]
    await log.close()


async def test_a_file_that_is_no_database_is_unavailable(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)  # noqa: ASYNC240  # nothing else runs yet
    log = SqliteLog(path)
    with pytest.raises(LogUnavailable):
        await log.describe([TOPIC])
    await log.close()


async def test_a_closed_log_is_unavailable(log: SqliteLog) -> None:
    await log.create(TOPIC)
    reader = await log.reader({PARTITION: 0})
    waiting = asyncio.create_task(reader.fetch(WAIT))
    await asyncio.sleep(0.02)
    await log.close()
    with pytest.raises(LogUnavailable):
        await waiting
    with pytest.raises(LogUnavailable):
        await log.describe([TOPIC])


async def test_a_read_of_large_records_is_bounded(log: SqliteLog) -> None:
    await log.create(TOPIC)
    for _ in range(3):
        await log.append(TOPIC, [NewRecord(bytes(3_000_000))])
    reader = await log.reader({PARTITION: 0})
    (batch,) = batches_of(await reader.fetch(WAIT))
    assert len(batch.records) == 2
    assert len(await take(reader, 1)) == 1


async def test_a_file_that_may_not_be_written_is_no_outage(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    log = SqliteLog(path)
    await log.open()
    await log.create("topic")
    await log._writer.run(lambda store: store.connection().execute("PRAGMA query_only = ON"))
    with pytest.raises(LogForbids, match="readonly"):
        await log.offer("topic", [NewRecord(b"{}")])
    await log.close()


@pytest.mark.long
async def test_calls_that_queue_for_a_locked_file_end_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_worker, "CALL_SECONDS", 0.6)
    log = SqliteLog(path, busy_timeout=0.4)
    await log.open()
    await log.create(TOPIC)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with stopwatch() as watch:
            calls = [log.create(f"{TOPIC}{number}") for number in range(8)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, LogUnavailable) for result in results)
            assert watch.seconds < 1.5
    await log.close()


def test_a_stamp_is_that_of_one_record_and_of_what_an_erasure_leaves_of_it() -> None:
    record = Record(TOPIC, 0, 7, 1000, b"key", b"value", (("a", b"1"),))
    emptied = record._replace(key=None, value=None, headers=())
    stamp = stamp_of(record)
    assert 0 < stamp < 2**63, "archives keep it as such a number"
    assert is_stamp_of(stamp, record)
    assert is_stamp_of(stamp, emptied)
    for other in (record._replace(value=b"valuf"), record._replace(key=None), emptied._replace(timestamp=1001)):
        assert not is_stamp_of(stamp, other)
    assert not is_stamp_of(stamp_of(emptied), record)
    # Archives have stamps from before there was a part for the place.
    before = stamp % 2**32
    assert [is_stamp_of(before, each) for each in (record, emptied, record._replace(value=b""))] == [True, True, False]

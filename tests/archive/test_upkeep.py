"""Files are merged, dropped and erased from without a change to what stays."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from gateway.archive.columns import Shape
from gateway.archive.erasure import announce, erase
from gateway.archive.index import PartitionIndex
from gateway.archive.table import Fenced
from gateway.archive.upkeep import checked, compact, drop_outlived
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.archive.kit import DAY, SHAPES, START, Desk, dataset, event
from tests.archive.test_archiver import as_records, place_of, read

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


@pytest.fixture
def log() -> MemoryLog:
    memory = MemoryLog()
    memory.create_topic("t", 2)
    return memory


async def filled(log: MemoryLog, path: Path, rounds: int = 4, days: int = 1) -> tuple[Desk, list[NewRecord]]:
    """A desk over an archive of so many files a day and partition; and the records of each partition."""
    desk = Desk(path / "t", log, "t")
    given: list[NewRecord] = []
    for turn in range(rounds * days):
        new = [event(turn * 10 + n, START + turn // rounds * DAY + n, b"k%d" % (n % 3)) for n in range(10)]
        given += new
        for number in range(2):
            log.append_now("t", [one._replace(partition=number) for one in new])
        await desk.copy()
    return desk, given


def files(desk: Desk, partition: TopicPartition = ZERO) -> PartitionIndex:
    desk.archive.refresh()
    (index,) = [index for place, index in desk.archive.partitions() if place.partition == partition]
    return index


def stored(desk: Desk) -> list[Path]:
    """All files that are there, in the table or not."""
    return list(Path(desk.uri).glob("*/*.parquet"))


def merge(desk: Desk, everything: bool = True) -> tuple[int, int]:
    return compact(desk.table, desk.archive, desk.table.prepare(SHAPES), 1 << 20, everything)


@pytest.mark.long
async def test_merged_files_have_the_same_records(log: MemoryLog, tmp_path: Path) -> None:
    desk, given = await filled(log, tmp_path, days=3)
    before = desk.table.position((await place_of(log)).application("end"))
    assert merge(desk, everything=False) == (16, 4), "of the days that have ended"
    assert merge(desk) == (8, 2)
    assert merge(desk) == (0, 0)
    assert [file.day for file in files(desk).files] == ["2026-09-21", "2026-09-22", "2026-09-23"]
    for partition in (ZERO, ONE):
        assert read(desk, await place_of(log, partition)) == as_records(partition, given)
    assert desk.table.position((await place_of(log)).application("end")) == before
    assert dataset(desk.uri).count_rows() == 2 * len(given)
    assert checked(desk.archive) == ([], 6, 2 * len(given))


async def test_of_two_that_merge_one_is_refused(log: MemoryLog, tmp_path: Path) -> None:
    desk, given = await filled(log, tmp_path)
    other = Desk(desk.uri, log, "t")
    other.archive.refresh()
    columns = other.table.prepare(SHAPES)
    assert merge(desk) == (8, 2)
    # It holds the index from before, as one does that began at the same time.
    other.archive.refresh = lambda: None  # type: ignore[method-assign]
    with pytest.raises((Fenced, FileNotFoundError, LogUnavailable)):
        compact(other.table, other.archive, columns, 1 << 20, everything=True)
    assert read(desk, await place_of(log)) == as_records(ZERO, given)
    assert dataset(desk.uri).count_rows() == 2 * len(given)


async def test_of_two_that_merge_on_one_table_one_is_refused(log: MemoryLog, tmp_path: Path) -> None:
    """The one that is late has read the position that the other has moved."""
    desk, given = await filled(log, tmp_path)
    columns, refresh = desk.table.prepare(SHAPES), desk.archive.refresh
    desk.archive.refresh()
    old = desk.archive.partitions()
    assert merge(desk) == (8, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.archive, "refresh", lambda: None)
        patch.setattr(desk.archive, "partitions", lambda: old)
        with pytest.raises(Fenced):
            compact(desk.table, desk.archive, columns, 1 << 20, everything=True)
    refresh()
    assert desk.archive.faults() == []
    assert read(desk, await place_of(log)) == as_records(ZERO, given)


async def test_who_writes_while_others_replace_files_is_refused(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the table is read anew meanwhile."""
    desk, _ = await filled(log, tmp_path)
    other, keep, kept = Desk(desk.uri, log, "t"), desk.store.keep, list[str]()

    def late(spooled: IO[bytes], path: str) -> int:
        kept.append(path)
        erase(other.table, other.archive, other.table.prepare(SHAPES), lambda record: record[1:3] == (1, 0))
        desk.table.refresh()
        return keep(spooled, path)

    monkeypatch.setattr(desk.store, "keep", late)
    with pytest.raises(Fenced):
        merge(desk)
    assert not [path for path in stored(desk) if path.name == Path(*kept).name]
    assert checked(desk.archive)[0] == []


async def test_old_rows_get_the_columns_of_today_when_files_are_merged(log: MemoryLog, tmp_path: Path) -> None:
    desk, _ = await filled(log, tmp_path)
    columns = desk.table.prepare({**SHAPES, "late": Shape("integer")})
    compact(desk.table, desk.archive, columns, 1 << 20, everything=True)
    assert "late" in dataset(desk.uri).to_table().column_names


@pytest.mark.long
async def test_days_that_are_kept_no_longer_are_dropped(log: MemoryLog, tmp_path: Path) -> None:
    desk, given = await filled(log, tmp_path, days=4)
    now = START + 4 * DAY
    assert drop_outlived(desk.table, desk.archive, 100 * DAY, now) == 0
    assert drop_outlived(desk.table, desk.archive, 2 * DAY, now) == 16
    index = files(desk)
    assert (index.start, index.end) == (80, 160)
    place = await place_of(log)
    assert read(desk, place, 80) == as_records(ZERO, given)[80:]
    assert read(desk, place, 79) == []
    assert (await desk.copy()).lost == 0


@pytest.mark.long
async def test_erased_records_are_nowhere(log: MemoryLog, tmp_path: Path) -> None:
    desk, given = await filled(log, tmp_path)
    merge(desk)
    announce(desk.table)
    erased = erase(desk.table, desk.archive, desk.table.prepare(SHAPES), lambda record: record.key == b"k1")
    assert erased == (24, 2)
    for partition in (ZERO, ONE):
        kept = [record for record in as_records(partition, given) if record.key != b"k1"]
        assert read(desk, await place_of(log, partition)) == kept
    assert b"k1" not in dataset(desk.uri).to_table(columns=["_key"]).column("_key").to_pylist()
    assert len(stored(desk)) > 2
    desk.table.vacuum(0)
    paths = stored(desk)
    assert len(paths) == 2
    assert checked(desk.archive)[0] == []


async def with_a_hole(log: MemoryLog, path: Path) -> Desk:
    """An archive of two files of a day, a hole from offset 20 to 29, and two files of a later day. Offset 3 has a key
    of its own."""
    desk = Desk(path / "t", log, "t")

    def append(begin: int, end: int, day: int) -> None:
        keys = [b"k3" if n == 3 else b"k" for n in range(begin, end)]
        log.append_now("t", [event(n, START + day * DAY, key, 0) for n, key in enumerate(keys, begin)])

    for begin in (0, 10):
        append(begin, begin + 10, 0)
        await desk.copy()
    append(20, 50, 5)
    log.truncate("t", 0, 30)
    assert (await desk.copy()).lost == 10
    append(50, 60, 5)
    await desk.copy()
    assert (files(desk).start, files(desk).end) == (30, 60)
    return desk


async def test_records_before_a_hole_are_erased_too(log: MemoryLog, tmp_path: Path) -> None:
    desk = await with_a_hole(log, tmp_path)
    announce(desk.table)
    assert erase(desk.table, desk.archive, desk.table.prepare(SHAPES), lambda record: record.key == b"k3") == (1, 1)
    assert b"k3" not in dataset(desk.uri).to_table(columns=["_key"]).column("_key").to_pylist()
    assert dataset(desk.uri).count_rows() == 49
    desk.archive.refresh()
    assert desk.archive.faults() == []


async def test_files_before_a_hole_are_checked_too(log: MemoryLog, tmp_path: Path) -> None:
    desk = await with_a_hole(log, tmp_path)
    assert checked(desk.archive) == ([], 4, 50)
    gone = files(desk).all_files[0].path
    desk.store.delete(gone)
    assert checked(desk.archive)[0] == [f"{gone}: the table names this file, and it is missing"]


async def test_files_before_a_hole_are_dropped_too(log: MemoryLog, tmp_path: Path) -> None:
    desk = await with_a_hole(log, tmp_path)
    start = (await place_of(log)).application("start")
    assert drop_outlived(desk.table, desk.archive, 2 * DAY, START + 4 * DAY) == 2
    assert (desk.table.position(start), dataset(desk.uri).count_rows()) == (30, 30)
    assert drop_outlived(desk.table, desk.archive, 2 * DAY, START + 400 * DAY) == 1
    assert (files(desk).start, dataset(desk.uri).count_rows()) == (50, 10)


async def test_files_on_both_sides_of_a_hole_may_be_dropped_together(log: MemoryLog, tmp_path: Path) -> None:
    desk = await with_a_hole(log, tmp_path)
    assert drop_outlived(desk.table, desk.archive, 2 * DAY, START + 400 * DAY) == 3
    assert (files(desk).start, dataset(desk.uri).count_rows()) == (50, 10)
    assert checked(desk.archive) == ([], 1, 10)


async def test_nothing_is_merged_over_a_hole(log: MemoryLog, tmp_path: Path) -> None:
    desk = await with_a_hole(log, tmp_path)
    assert merge(desk) == (2, 1)
    assert [(file.begin, file.end) for file in files(desk).all_files] == [(0, 10), (10, 20), (30, 60)]
    assert checked(desk.archive) == ([], 3, 50)


@pytest.mark.long
async def test_a_file_may_be_erased_altogether(log: MemoryLog, tmp_path: Path) -> None:
    desk, given = await filled(log, tmp_path)
    columns = desk.table.prepare(SHAPES)
    assert erase(desk.table, desk.archive, columns, lambda record: 10 <= record.offset < 30) == (40, 4)
    kept = [record for record in as_records(ZERO, given) if not 10 <= record.offset < 30]
    assert read(desk, await place_of(log)) == kept
    place = await place_of(log)
    desk.archive.refresh()
    assert desk.archive.find(place, START) == 0
    assert merge(desk) == (8, 2)
    assert read(desk, place) == kept
    assert erase(desk.table, desk.archive, columns, lambda record: True).files == 2
    assert read(desk, place) == []
    assert desk.archive.find(place, START) is None
    assert (await desk.copy()).lost == 0


async def test_what_was_read_before_an_erasure_is_not_committed_after_it(log: MemoryLog, tmp_path: Path) -> None:
    desk, _ = await filled(log, tmp_path, rounds=1)
    other = Desk(desk.uri, log, "t")
    log.append_now("t", [event(n, partition=0, key=b"k1") for n in range(10)])
    commit = other.table.commit

    def late(*given: object, **named: object) -> None:
        """Erase while another archiver holds what it has read."""
        other.table.commit = commit  # type: ignore[method-assign]
        announce(desk.table)
        commit(*given, **named)  # type: ignore[arg-type]

    other.table.commit = late  # type: ignore[method-assign]
    before = other.table.position("erasures")
    await other.copy()
    assert (desk.table.position("erasures") or 0) > (before or 0)
    # It was refused once, and has read the log anew.
    assert files(desk).end == 20
    assert len(stored(desk)) == 3


def _is_at(offset: int, record: Record) -> bool:
    return record.offset == offset


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_a_reader_meets_erasures_merges_and_deletions(seed: int, log: MemoryLog, tmp_path: Path) -> None:
    """What is erased may come or not; all else comes once, in order."""
    from gateway.archive.log import ArchivedLog

    chance = random.Random(seed)
    desk, given = await filled(log, tmp_path, days=3)
    log.truncate("t", 0, len(given))
    reading = Desk(desk.uri, log)
    archived = ArchivedLog(log, lambda _: reading.archive)
    archived.archives = {"t": reading.archive}
    reader = await archived.reader({ZERO: 0})
    records: list[Record] = []
    position, columns = 0, desk.table.prepare(SHAPES)
    while position < len(given):
        act = chance.randrange(6)
        if act == 0:
            merge(desk, chance.random() < 0.5)
        elif act == 1:
            number = 7 * chance.randrange(len(given) // 7)
            erase(desk.table, desk.archive, columns, partial(_is_at, number))
        elif act == 2:
            desk.table.vacuum(0)
        else:
            for batch in await reader.fetch(2, chance.randrange(1, 30)):
                assert isinstance(batch, Batch), batch
                records += batch.records
                position = batch.position
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    assert {offset for offset in range(len(given)) if offset % 7} <= set(offsets)
    expected = as_records(ZERO, given)
    assert all(record == expected[record.offset] for record in records)

"""A disk that is full: told, nothing lost, and all goes on when there is room."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.archive.erasure import announce, erase
from gateway.archive.upkeep import checked, compact
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, TopicPartition
from tests.archive.kit import SHAPES, START, Desk
from tests.archive.test_archiver import as_records, place_of, read
from tests.kit.disk import SmallDisk, small_disk

ZERO = TopicPartition("t", 0)
FULL = "No space left on device"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "8m") as found:
        yield found


@pytest.fixture
def log() -> MemoryLog:
    memory = MemoryLog()
    memory.create_topic("t")
    return memory


def fill(log: MemoryLog, begin: int, end: int) -> list[NewRecord]:
    """Records that do not compress."""
    noise = random.Random(begin)
    new = [NewRecord(noise.randbytes(20_000), b"k%d" % (n % 3), START + n) for n in range(begin, end)]
    log.append_now("t", new)
    return new


def spools(desk: Desk) -> list[Path]:
    """What is being written, or was left."""
    return list(Path(desk.uri).glob("spool-*"))


@pytest.mark.parametrize("room", [0, 4096, 300_000])
async def test_the_archiver_goes_on_when_there_is_room(room: int, disk: SmallDisk, log: MemoryLog) -> None:
    desk = Desk(disk.directory / "t", log, "t")
    new = fill(log, 0, 20)
    await desk.copy()
    new += fill(log, 20, 60)
    disk.fill(room)
    progress = await desk.archiver.round()
    assert FULL in progress.troubles[ZERO]
    assert (progress.records, progress.behind, spools(desk)) == (0, 40, [])
    assert read(desk, await place_of(log)) == as_records(ZERO, new[:20])
    disk.free()
    assert (await desk.copy()).records == 40
    assert checked(desk.archive)[0] == []
    assert read(desk, await place_of(log)) == as_records(ZERO, new)


async def test_merging_and_erasing_leave_the_table_as_it_was(disk: SmallDisk, log: MemoryLog) -> None:
    desk = Desk(disk.directory / "t", log, "t")
    new: list[NewRecord] = []
    for turn in range(3):
        new += fill(log, 20 * turn, 20 * turn + 20)
        await desk.copy()
    columns = desk.table.prepare(SHAPES)
    for room in (0, 4096, 150_000):
        disk.fill(room)
        with pytest.raises(LogUnavailable, match=FULL):
            compact(desk.table, desk.archive, columns, 1 << 24, everything=True)
        with pytest.raises(LogUnavailable, match=FULL):
            erase(desk.table, desk.archive, columns, lambda record: record.key == b"k1")
        if not room:
            with pytest.raises(LogUnavailable, match=FULL):
                announce(desk.table)
        assert spools(desk) == []
        assert checked(desk.archive) == ([], 3, 60)
        disk.free()
    assert compact(desk.table, desk.archive, columns, 1 << 24, everything=True) == (3, 1)
    assert erase(desk.table, desk.archive, columns, lambda record: record.key == b"k1").records == 20
    left = [record for record in as_records(ZERO, new) if record.key != b"k1"]
    assert read(desk, await place_of(log)) == left

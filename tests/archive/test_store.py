"""An archive in an object store: as on a disk, and with the store's troubles bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.archive.log import ArchivedLog
from gateway.archive.upkeep import checked, compact
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch, Bounds
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.archive.kit import SHAPES, Desk, event
from tests.archive.test_archiver import as_records, place_of, read
from tests.kit.stopwatch import stopwatch
from tests.services.s3 import Bucket, running_store

ZERO = TopicPartition("t", 0)

pytestmark = pytest.mark.long


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with running_store() as store:
        yield store


@pytest.fixture
def log() -> MemoryLog:
    memory = MemoryLog()
    memory.create_topic("t")
    return memory


def desk_in(bucket: Bucket, log: MemoryLog) -> Desk:
    # It answers at once, whatever it says; where it is waited for, that is the machine.
    quick = {"connect_timeout": "30s", "timeout": "30s", "max_retries": "1", "retry_timeout": "2s"}
    return Desk("s3://bucket/some/place/t", log, "t", options=bucket.options | quick)


def fill(log: MemoryLog, begin: int, end: int) -> list[NewRecord]:
    new = [event(n, key=b"k%d" % (n % 3)) for n in range(begin, end)]
    log.append_now("t", new)
    return new


async def test_records_go_there_and_back(bucket: Bucket, log: MemoryLog) -> None:
    new = [*fill(log, 0, 50)]
    desk = desk_in(bucket, log)
    await desk.copy()
    new += fill(log, 50, 100)
    other = desk_in(bucket, log)
    await asyncio.gather(desk.copy(), other.copy())
    log.truncate("t", 0, 100)
    archived = ArchivedLog(log, lambda _: other.archive)
    archived.archives = {"t": other.archive}
    assert await archived.bounds([ZERO]) == {ZERO: Bounds(0, 100)}
    assert await archived.find({ZERO: new[70].timestamp or 0}) == {ZERO: 70}
    reader = await archived.reader({ZERO: 0})
    records: list[Record] = []
    while len(records) < 100:
        for batch in await reader.fetch(30):
            assert isinstance(batch, Batch), batch
            records += batch.records
    assert records == as_records(ZERO, new)
    assert compact(desk.table, desk.archive, desk.table.prepare(SHAPES), 1 << 20, everything=True) == (2, 1)
    assert desk.table.vacuum(0) == 2
    assert checked(desk.archive) == ([], 1, 100)
    assert read(desk, await place_of(log)) == as_records(ZERO, new)


async def test_a_large_file_goes_in_parts(bucket: Bucket, log: MemoryLog) -> None:
    import random

    noise = random.Random(1)
    new = [NewRecord(noise.randbytes(1_000_000), None, 1_790_000_000_000 + n) for n in range(25)]
    log.append_now("t", new)
    desk = Desk("s3://bucket/t", log, "t", options=bucket.options, file_bytes=1 << 30)
    assert (await desk.copy()).files == 1
    assert read(desk, await place_of(log)) == as_records(ZERO, new)


async def test_a_commit_whose_answer_is_lost_is_made_once(bucket: Bucket, log: MemoryLog) -> None:
    """It is tried again, and then it is in its own way: that is no other archiver."""
    new = fill(log, 0, 20)
    desk = Desk("s3://bucket/t", log, "t", options=bucket.options)
    await desk.copy()
    new += fill(log, 20, 40)
    bucket.lost = "_delta_log/"
    assert (await desk.copy()).records == 20
    assert not bucket.lost
    bucket.lost = "_delta_log/"
    assert compact(desk.table, desk.archive, desk.table.prepare(SHAPES), 1 << 20, everything=True) == (2, 1)
    assert not bucket.lost
    assert checked(desk.archive) == ([], 1, 40)
    assert read(desk, await place_of(log)) == as_records(ZERO, new)


@pytest.mark.parametrize("trouble", ["away", "refuses", "read only"])
async def test_a_store_in_trouble_is_told_and_nothing_is_lost(trouble: str, bucket: Bucket, log: MemoryLog) -> None:
    new = fill(log, 0, 20)
    desk = desk_in(bucket, log)
    await desk.copy()
    new += fill(log, 20, 40)
    bucket.status = {"away": 503, "refuses": 403}.get(trouble, 0)
    bucket.read_only = trouble == "read only"
    async with stopwatch() as watch:
        try:
            told = list((await desk.archiver.round()).troubles.values())
        except LogUnavailable as error:
            told = [str(error)]
        assert watch.seconds < 20
    assert told
    assert "s3://bucket/some/place/t" in told[0]
    bucket.status, bucket.read_only = 0, False
    await desk.copy()
    assert read(desk, await place_of(log)) == as_records(ZERO, new)


async def test_a_slow_store_is_not_waited_for(bucket: Bucket, log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(log, 0, 20)
    desk = desk_in(bucket, log)
    await desk.copy()
    log.truncate("t", 0, 20)
    fresh = desk_in(bucket, log)
    archived = ArchivedLog(log, lambda _: fresh.archive)
    archived.archives = {"t": fresh.archive}
    with monkeypatch.context() as patch:
        patch.setattr("gateway.archive.log.READ_SECONDS", 0.1)
        bucket.delay = 0.5
        answer = (await archived.bounds([ZERO]))[ZERO]
        assert isinstance(answer, Trouble)
        assert answer.kind is Kind.UNAVAILABLE
    bucket.delay = 0
    async with asyncio.timeout(60):
        while isinstance((await archived.bounds([ZERO]))[ZERO], Trouble):  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.01)
    assert await archived.bounds([ZERO]) == {ZERO: Bounds(0, 20)}


async def test_a_file_that_the_store_has_lost_is_named(bucket: Bucket, log: MemoryLog) -> None:
    fill(log, 0, 20)
    desk = desk_in(bucket, log)
    await desk.copy()
    (gone,) = [key for key in bucket.objects if key.endswith(".parquet")]
    del bucket.objects[gone]
    with pytest.raises(LogUnavailable, match="is missing") as error:
        read(desk_in(bucket, log), await place_of(log))
    assert gone.rpartition("/")[2] in str(error.value)

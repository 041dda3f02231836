"""Archives in an object store that is none of ours: SeaweedFS, over S3 with signatures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType

import pytest

from gateway.archive.log import ArchivedLog
from gateway.archive.table import Fenced, Position
from gateway.archive.upkeep import checked, compact
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Bounds
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.archive.kit import SHAPES, Desk, event
from tests.archive.test_archiver import as_records, place_of, read
from tests.conftest import absent
from tests.kit.stopwatch import stopwatch
from tests.services.seaweed import BUCKET, ObjectStore, seaweed_program

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)
PATIENT = {"connect_timeout": "30s", "timeout": "60s"}
QUICK = {"connect_timeout": "1s", "timeout": "2s", "max_retries": "1", "retry_timeout": "3s"}
"""Where nothing answers."""

pytestmark = [pytest.mark.long, pytest.mark.end_to_end]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    program = seaweed_program() or absent("there is no weed in .cache/programs")
    store = ObjectStore(tmp_path_factory.mktemp("store"), program)
    yield store
    store.kill()


@pytest.fixture
def store(running: ObjectStore) -> ObjectStore:
    """A store that runs when the test begins."""
    running.start()
    return running


@pytest.fixture
def log() -> MemoryLog:
    memory = MemoryLog()
    memory.create_topic("t", 2)
    return memory


def desk_in(
    store: ObjectStore,
    place: str,
    log: MemoryLog,
    user: str = "writer",
    file_bytes: int = 1 << 20,
    waits: Mapping[str, str] = MappingProxyType(PATIENT),
) -> Desk:
    uri = f"s3://{BUCKET}/{place}/t"
    return Desk(uri, log, "t", options={**store.options(user), **waits}, file_bytes=file_bytes)


def fill(log: MemoryLog, begin: int, end: int) -> list[NewRecord]:
    new = [event(n, key=b"k%d" % (n % 3), partition=n % 2) for n in range(begin, end)]
    log.append_now("t", new)
    return new


def part(new: list[NewRecord], partition: TopicPartition) -> list[Record]:
    return as_records(partition, [one for one in new if one.partition == partition.partition])


async def test_records_go_there_and_back(store: ObjectStore, log: MemoryLog, topic: str) -> None:
    new = fill(log, 0, 100)
    desk = desk_in(store, topic, log)
    await desk.copy()
    new += fill(log, 100, 200)
    await desk.copy()
    log.truncate("t", 0, 100)
    log.truncate("t", 1, 100)
    other = desk_in(store, topic, log, user="reader")
    archived = ArchivedLog(log, lambda _: other.archive)
    archived.archives = {"t": other.archive}
    assert await archived.bounds([ZERO, ONE]) == {ZERO: Bounds(0, 100), ONE: Bounds(0, 100)}
    assert await archived.find({ONE: new[141].timestamp or 0}) == {ONE: 70}
    assert compact(desk.table, desk.archive, desk.table.prepare(SHAPES), 1 << 20, everything=True) == (4, 2)
    assert desk.table.vacuum(0) == 4
    assert checked(desk.archive) == ([], 2, 200)
    for partition in (ZERO, ONE):
        assert read(other, await place_of(log, partition)) == part(new, partition)


async def test_of_archivers_at_one_time_one_stores_each_range(store: ObjectStore, log: MemoryLog, topic: str) -> None:
    new: list[NewRecord] = []
    desks = [desk_in(store, topic, log, file_bytes=1 << 12) for _ in range(3)]
    for turn in range(3):
        new += fill(log, 300 * turn, 300 * turn + 300)
        for progress in await asyncio.gather(*(desk.archiver.round() for desk in desks)):
            assert not progress.troubles
    for partition in (ZERO, ONE):
        assert read(desks[0], await place_of(log, partition)) == part(new, partition)
    faults, _, records = checked(desks[0].archive)
    assert (faults, records) == ([], 900)


async def test_the_store_refuses_a_second_commit_of_one_number(store: ObjectStore, topic: str) -> None:
    """Without that, two tables would look at one position at the same time, and both move it."""
    log = MemoryLog()
    log.create_topic("t")
    uri = f"s3://{BUCKET}/{topic}/t"
    desks = [Desk(uri, log, "t", options=store.options()) for _ in range(8)]
    desks[0].table.prepare(SHAPES)

    def move(desk: Desk, turn: int) -> bool:
        try:
            desk.table.commit([], [], [Position("race", turn or None, turn + 1)])
        except Fenced:
            return False
        return True

    for turn in range(4):
        won = await asyncio.gather(*(asyncio.to_thread(move, desk, turn) for desk in desks))
        assert won.count(True) == 1, (turn, won)


async def test_who_may_not_write_is_told_so(store: ObjectStore, log: MemoryLog, topic: str) -> None:
    new = fill(log, 0, 20)
    await desk_in(store, topic, log).copy()
    new += fill(log, 20, 40)
    try:
        told = list((await desk_in(store, topic, log, user="reader").archiver.round()).troubles.values())
    except LogUnavailable as error:
        told = [str(error)]
    assert told
    assert "denied" in told[0].lower() or "forbidden" in told[0].lower() or "403" in told[0], told
    await desk_in(store, topic, log).copy()
    assert read(desk_in(store, topic, log), await place_of(log)) == part(new, ZERO)


async def copied_at_last(desk: Desk) -> None:
    """Archive all there is, with one that waits so short that a busy store may seem to be away."""
    async with asyncio.timeout(60):
        while True:
            with suppress(LogUnavailable):
                if not (await desk.archiver.round()).troubles:
                    return
            await asyncio.sleep(0.05)


async def test_a_store_that_does_not_answer_costs_no_record(
    store: ObjectStore, log: MemoryLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = fill(log, 0, 40)
    desk = desk_in(store, topic, log, waits=QUICK)
    await copied_at_last(desk)
    log.truncate("t", 0, 20)
    new += fill(log, 40, 60)
    other = desk_in(store, topic, log, waits=QUICK)
    archived = ArchivedLog(log, lambda _: other.archive)
    archived.archives = {"t": other.archive}
    store.halt()
    with monkeypatch.context() as patch:
        patch.setattr("gateway.archive.log.READ_SECONDS", 3.0)
        async with stopwatch() as watch:
            answers, copied = await asyncio.gather(
                archived.bounds([ZERO, ONE]), desk.archiver.round(), return_exceptions=True
            )
            assert watch.seconds < 30
    assert isinstance(answers, dict)
    trouble = answers[ZERO]
    assert isinstance(trouble, Trouble)
    assert trouble.kind is Kind.UNAVAILABLE
    assert answers[ONE] == Bounds(0, 30), "the log has all of it, and no archive is asked"
    assert isinstance(copied, LogUnavailable) or copied.troubles  # type: ignore[union-attr]
    store.start()
    async with asyncio.timeout(60):
        while isinstance((await archived.bounds([ZERO]))[ZERO], Trouble):  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.05)
    assert await archived.bounds([ZERO]) == {ZERO: Bounds(0, 30)}
    await copied_at_last(desk)
    desk = desk_in(store, topic, log)
    for partition in (ZERO, ONE):
        assert read(desk, await place_of(log, partition)) == part(new, partition)

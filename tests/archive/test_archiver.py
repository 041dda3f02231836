"""What is archived is the log's records, each once, as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.archive.archiver import Archiver
from gateway.archive.columns import Shape
from gateway.archive.files import SYSTEM_FIELDS
from gateway.archive.layout import EVENT, Place
from gateway.archive.table import Table
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import TopicState
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.archive.kit import DAY, SHAPES, START, Desk, dataset, event

ZERO = TopicPartition("t", 0)


async def place_of(log: MemoryLog | SqliteLog, partition: TopicPartition = ZERO) -> Place:
    state = (await log.describe([partition.topic]))[partition.topic]
    assert isinstance(state, TopicState)
    return Place(state.identity, partition)


def read(desk: Desk, place: Place, position: int = 0) -> list[Record]:
    """All that is archived of a partition."""
    desk.archive.refresh()
    reading = desk.archive.reading(place, position)
    found: list[Record] = []
    while (records := reading.read(1000, 1 << 30)) is not None:
        found += records
    return found


def as_records(partition: TopicPartition, new: Sequence[NewRecord]) -> list[Record]:
    return [
        Record(*partition, offset, one.timestamp or 0, one.key, one.value, one.headers)
        for offset, one in enumerate(new)
    ]


@pytest.fixture
def log() -> MemoryLog:
    memory = MemoryLog()
    memory.create_topic("t")
    return memory


async def test_records_are_kept_as_they_were(log: MemoryLog, tmp_path: Path) -> None:
    new = [
        event(0, key=b"k"),
        NewRecord(None, b"tombstone", START),
        NewRecord(b"", b"", START),
        NewRecord(b"\x00\xff\n{", None, -1),
        NewRecord(b"{}", b"\xff", -(1 << 63), headers=(("a", b"1"), ("ä", b"\xff"), ("a", b""))),
        NewRecord(b"[1]", None, (1 << 63) - 1),
        NewRecord(b'{"n":"no number","text":1}', None, 0),
        NewRecord(bytes(10_000_000), b"large", START),
        event(1),
    ]
    log.append_now("t", new)
    desk = Desk(tmp_path / "t", log, "t", file_bytes=1 << 30)
    progress = await desk.copy()
    assert (progress.records, progress.behind, progress.lost) == (len(new), 0, 0)
    assert read(desk, await place_of(log)) == as_records(ZERO, new)
    rows = dataset(desk.uri).to_table(columns=["_offset", "n", "text", "any", "meta", "_timestamp"])
    by_offset = {row["_offset"]: row for row in rows.to_pylist()}
    assert by_offset[0]["any"] == "[0]"
    assert by_offset[0]["meta"]["any"] == "1"
    assert [by_offset[offset]["n"] for offset in range(9)] == [0, *[None] * 7, 1]
    assert by_offset[4]["_timestamp"] is None


async def test_partitions_and_topics_are_archived_side_by_side(tmp_path: Path) -> None:
    log = MemoryLog()
    log.create_topic("a", 3)
    log.create_topic("b", 1)
    desk = Desk(tmp_path / "t", log, "a", "b", "absent")
    expected: dict[TopicPartition, list[NewRecord]] = {}
    for turn in range(3):
        for topic, number in (("a", 0), ("a", 2), ("b", 0)):
            new = [event(turn * 100 + n, partition=number) for n in range(50)]
            log.append_now(topic, new)
            expected.setdefault(TopicPartition(topic, number), []).extend(new)
        await desk.copy()
    for partition, new in expected.items():
        assert read(desk, await place_of(log, partition)) == as_records(partition, new)
    assert read(desk, await place_of(log, TopicPartition("a", 1))) == []
    assert dataset(desk.uri).count_rows() == 450


async def test_offsets_without_records_leave_no_hole(log: MemoryLog, tmp_path: Path) -> None:
    log.append_now("t", [event(n) for n in range(10)])
    log.mark("t", 0, 5)
    desk = Desk(tmp_path / "t", log, "t")
    await desk.copy()
    log.mark("t", 0, 3)
    assert (await desk.copy()).records == 0
    log.append_now("t", [event(n) for n in range(10)])
    log.compact("t", 0, [20, 21, 27])
    log.mark("t", 0, 3)
    await desk.copy()
    assert [record.offset for record in read(desk, await place_of(log))] == [*range(10), 18, 19, *range(22, 27)]


async def test_days_have_files_of_their_own(log: MemoryLog, tmp_path: Path) -> None:
    times = [START, START + DAY, START + 5, START + DAY + 1, START + 2 * DAY]
    log.append_now("t", [event(n, time) for n, time in enumerate(times)])
    desk = Desk(tmp_path / "t", log, "t")
    assert (await desk.copy()).files == 3
    log.append_now("t", [event(9, START)])
    await desk.copy()
    desk.archive.refresh()
    (_, index), *_ = desk.archive.partitions()
    assert [(file.day, file.begin, file.end) for file in index.files] == [
        ("2026-09-21", 0, 1),
        ("2026-09-22", 1, 4),
        ("2026-09-23", 4, 5),
        ("2026-09-23", 5, 6),
    ]
    days = dataset(desk.uri).to_table(columns=["_offset", "_day"]).to_pylist()
    assert sorted((row["_offset"], str(row["_day"])) for row in days)[3] == (3, "2026-09-22")


async def test_a_file_ends_at_its_size(log: MemoryLog, tmp_path: Path) -> None:
    import random

    noise = random.Random(1)
    new = [NewRecord(noise.randbytes(1000), None, START + n) for n in range(3000)]
    log.append_now("t", new)
    desk = Desk(tmp_path / "t", log, "t", file_bytes=1 << 20)
    assert (await desk.copy()).files == 3
    assert read(desk, await place_of(log)) == as_records(ZERO, new)


@pytest.mark.long
async def test_two_archivers_store_each_record_once(tmp_path: Path) -> None:
    log = MemoryLog()
    log.create_topic("t", 3)
    one, other = (Desk(tmp_path / "t", log, "t") for _ in range(2))
    given: dict[int, list[NewRecord]] = {0: [], 1: [], 2: []}
    for turn in range(6):
        for number, new in given.items():
            more = [event(turn * 20 + n, partition=number) for n in range(20)]
            log.append_now("t", more)
            new.extend(more)
        await asyncio.gather(one.copy(), other.copy())
    for number, new in given.items():
        partition = TopicPartition("t", number)
        assert read(one, await place_of(log, partition)) == as_records(partition, new)
    assert dataset(one.uri).count_rows() == 360


async def test_what_the_log_forgot_before_is_a_hole_that_is_told(log: MemoryLog, tmp_path: Path) -> None:
    log.append_now("t", [event(n) for n in range(30)])
    log.truncate("t", 0, 5)
    desk = Desk(tmp_path / "t", log, "t")
    assert (await desk.copy()).lost == 0, "what was gone before the first round was never ours"
    log.append_now("t", [event(n) for n in range(30, 60)])
    log.truncate("t", 0, 40)
    assert (await desk.copy()).lost == 10
    place = await place_of(log)
    assert [record.offset for record in read(desk, place, 40)] == list(range(40, 60))
    assert read(desk, place, 39) == [], "replay reaches back to the hole"
    assert dataset(desk.uri).count_rows() == 45, "older rows stay in the table"


async def test_a_log_that_was_cut_back_is_not_archived_over(log: MemoryLog, tmp_path: Path) -> None:
    log.append_now("t", [event(n) for n in range(30)])
    desk = Desk(tmp_path / "t", log, "t")
    await desk.copy()
    log.cut("t", 0, 20)
    progress = await desk.archiver.round()
    assert "lost records" in progress.troubles[ZERO]
    log.append_now("t", [event(n) for n in range(100, 130)])
    progress = await desk.archiver.round()
    assert "cut back" in progress.troubles[ZERO]
    assert len(read(desk, await place_of(log))) == 30


async def test_a_topic_created_again_begins_anew(log: MemoryLog, tmp_path: Path) -> None:
    log.append_now("t", [event(n) for n in range(30)])
    desk = Desk(tmp_path / "t", log, "t")
    await desk.copy()
    before = await place_of(log)
    log.delete_topic("t")
    log.create_topic("t")
    new = [event(n) for n in range(100, 110)]
    log.append_now("t", new)
    await desk.copy()
    assert read(desk, await place_of(log)) == as_records(ZERO, new)
    assert len(read(desk, before)) == 30


async def test_a_partition_in_trouble_holds_up_no_other(tmp_path: Path) -> None:
    from gateway.eventlog.trouble import Kind, Trouble

    log = MemoryLog()
    log.create_topic("t", 2)
    for number in range(2):
        log.append_now("t", [event(n, partition=number) for n in range(10)])
    log.refuse(ZERO, Trouble(Kind.NO_LEADER, "nobody leads"))
    desk = Desk(tmp_path / "t", log, "t")
    progress = await desk.archiver.round()
    assert (progress.records, list(progress.troubles)) == (10, [ZERO])
    log.refuse(ZERO, None)
    assert (await desk.copy()).records == 10


async def test_a_schema_that_grows_is_followed(log: MemoryLog, tmp_path: Path) -> None:
    log.append_now("t", [NewRecord(b'{"a":1,"b":2}', None, START)])
    desk = Desk(tmp_path / "t", log, "t")

    async def copy(**wanted: Shape) -> None:
        archiver = Archiver(log, ("t",), desk.table, desk.archive, wanted, 1 << 20, _Now(), desk.threads)
        assert not (await archiver.round()).troubles

    await copy(a=Shape("integer"))
    log.append_now("t", [NewRecord(b'{"a":3,"b":4}', None, START)])
    await copy(a=Shape("integer"), b=Shape("integer"))
    log.append_now("t", [NewRecord(b'{"a":"five","b":6}', None, START)])
    await copy(a=Shape("text"), b=Shape("integer"))
    rows = dataset(desk.uri).to_table(columns=["_offset", "a", "b", "a_2"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [(0, 1, None, None), (1, 3, 4, None), (2, None, 6, "five")]


class _Now:
    def now(self) -> int:
        return START

    def monotonic(self) -> float:
        return 0.0


async def test_a_table_of_an_earlier_gateway_gets_the_columns_that_it_lacks(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        fields = [field for field in SYSTEM_FIELDS if field.name != EVENT]
        earlier.setattr("gateway.archive.table.SYSTEM_FIELDS", fields)
        desk = Desk(tmp_path, log, "t")
        log.append_now("t", [event(0)])
        await desk.copy()
        assert EVENT not in dataset(desk.uri).schema.names
    new = [event(1), NewRecord(b'{"meta":{"domain":"canary"}}', None, START), NewRecord(b"none", None, START)]
    log.append_now("t", new)
    await Desk(tmp_path, log, "t").copy()
    rows = dataset(desk.uri).to_table(columns=["_offset", EVENT]).to_pylist()
    told = {row["_offset"]: row[EVENT] for row in rows}
    assert {offset: told[offset] for offset in (1, 2, 3)} == {1: True, 2: False, 3: None}
    assert desk.table.columns().keys() == SHAPES.keys(), "it is no field of events"


async def test_a_store_that_is_away_is_told(log: MemoryLog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    log.append_now("t", [event(0)])
    desk = Desk(tmp_path / "file" / "t", log, "t")
    with pytest.raises(LogUnavailable):
        await desk.archiver.round()


async def test_what_is_not_archived_outlives_the_retention(tmp_path: Path) -> None:
    from gateway.archive.log import ArchivedLog
    from gateway.catalog.catalog import Catalog
    from gateway.catalog.stream import Retention, Stream

    log = SqliteLog(tmp_path / "events.db", now=lambda: START + 100 * DAY, expire_interval=1e9)
    await log.open()
    for topic in ("t", "other"):
        await log.create(topic, 1, Retention(milliseconds=DAY))
        await log.append(topic, [event(n) for n in range(20)])
    desk = Desk(tmp_path / "t", log, "t")
    archived = ArchivedLog(log, lambda _: desk.archive)
    archived.follow(Catalog([Stream("t", ("t",), archive=True), Stream("other", ("other",))]))
    log.kept = archived.archived
    other = TopicPartition("other", 0)
    assert await log.expire(START + 10 * DAY) == 20, "of the other topic"
    assert await log.bounds([ZERO, other]) == {ZERO: (0, 20), other: (20, 20)}
    await desk.copy()
    await log.append("t", [event(n) for n in range(20, 25)])
    assert await log.expire(START + 10 * DAY) == 20
    assert await log.bounds([ZERO]) == {ZERO: (20, 25)}
    assert await archived.bounds([ZERO]) == {ZERO: (0, 25)}
    await archived.close()


async def test_nothing_expires_while_the_archive_does_not_answer(tmp_path: Path) -> None:
    from gateway.catalog.stream import Retention

    log = SqliteLog(tmp_path / "events.db", expire_interval=0)
    await log.open()
    await log.create("t", 1, Retention(milliseconds=DAY))

    async def away() -> dict[TopicPartition, int]:
        raise LogUnavailable("the archive does not answer")

    log.kept = away
    for _ in range(2):
        await log.append("t", [event(n) for n in range(20)])
    with pytest.raises(LogUnavailable):
        await log.expire(START + 100 * DAY)
    assert await log.bounds([ZERO]) == {ZERO: (0, 40)}
    await log.close()


def test_a_table_that_is_read_before_it_exists_is_empty(tmp_path: Path) -> None:
    table = Table(str(tmp_path / "none"), {})
    assert not table.refresh()
    assert (table.rows(), table.version, table.position("end"), table.vacuum(1)) == ([], -1, None, 0)

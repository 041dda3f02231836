"""A log that reaches back: what it does when its archive is damaged, away, or being changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from gateway.archive.archive import Archive
from gateway.archive.erasure import announce, erase
from gateway.archive.log import ERASURE_SECONDS, ArchivedLog
from gateway.archive.upkeep import checked, compact
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch, Bounds, TopicState
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.archive.kit import SHAPES, START, Desk, event

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)
COUNT = 60


class Setup:
    """A log of two partitions. All of both is archived, in three files each; the log has forgotten all of the first."""

    def __init__(self, path: Path) -> None:
        self.memory = MemoryLog()
        self.memory.create_topic("t", 2)
        self.desk = Desk(path / "t", self.memory, "t")
        self.clock = 0.0
        reader = Desk(path / "t", self.memory)
        self.archive = Archive("t", reader.table, reader.store, lambda: self.clock)
        self.log = ArchivedLog(self.memory, lambda _: self.archive)
        self.log.archives = {"t": self.archive}

    async def fill(self) -> Setup:
        """Write, archive, forget."""
        for turn in range(3):
            for number in range(2):
                self.memory.append_now("t", [event(20 * turn + n, partition=number) for n in range(20)])
            await self.desk.copy()
        self.memory.truncate("t", 0, COUNT)
        return self

    def files(self) -> list[Path]:
        """Those of the first partition, in order."""
        return sorted(Path(self.desk.uri).glob("*/t-0-*.parquet"))

    async def read(self, position: int = 0) -> tuple[list[Record], Trouble | None]:
        """What a reader gets of the first partition, until it has all or is refused."""
        reader = await self.log.reader({ZERO: position})
        records: list[Record] = []
        while len(records) < COUNT - position:
            answer = await reader.fetch(2, 7)
            assert answer, f"nothing came after {len(records)} records"
            for found in answer:
                if isinstance(found, Refusal):
                    return records, found.trouble
                records += found.records
        return records, None


@pytest.fixture
async def setup(tmp_path: Path) -> Setup:
    return await Setup(tmp_path).fill()


async def test_all_is_read(setup: Setup) -> None:
    assert await setup.log.bounds([ZERO, ONE]) == {ZERO: Bounds(0, COUNT), ONE: Bounds(0, COUNT)}
    records, trouble = await setup.read()
    assert trouble is None
    assert [record.offset for record in records] == list(range(COUNT))
    assert records == [Record(*ZERO, n, START + n, None, event(n).value) for n in range(COUNT)]


async def refused(setup: Setup) -> str:
    """Why nothing of the first partition is told, while the other is read."""
    answer = (await setup.log.bounds([ZERO, ONE]))[ZERO]
    assert isinstance(answer, Trouble)
    assert answer.kind is Kind.UNAVAILABLE
    assert (await setup.log.bounds([ONE]))[ONE] == Bounds(0, COUNT)
    assert isinstance((await setup.log.find({ZERO: START}))[ZERO], Trouble)
    records, trouble = await setup.read()
    assert records == []
    assert trouble is not None
    assert trouble.kind is Kind.UNAVAILABLE
    assert trouble.detail == answer.detail
    return answer.detail


async def test_a_table_that_somebody_has_optimised_is_refused(setup: Setup) -> None:
    DeltaTable(setup.desk.uri).optimize.compact()
    assert "not written by the gateway" in await refused(setup)


async def test_a_table_that_somebody_has_deleted_from_is_refused(setup: Setup) -> None:
    DeltaTable(setup.desk.uri).delete("n = 5")
    assert "not written by the gateway" in await refused(setup)


async def test_a_table_that_files_were_taken_from_is_refused(setup: Setup) -> None:
    DeltaTable(setup.desk.uri).delete("_offset >= 20 and _offset < 40 and _partition = 0")
    detail = await refused(setup)
    assert "missing" in detail
    assert setup.files()[2].name in detail


async def test_a_file_that_is_missing_is_named(setup: Setup) -> None:
    gone = setup.files()[1]
    gone.unlink()
    records, trouble = await setup.read()
    assert [record.offset for record in records] == list(range(20))
    assert trouble is not None
    assert trouble.kind is Kind.UNAVAILABLE
    assert gone.name in trouble.detail
    faults, _, _ = checked(setup.archive)
    assert [gone.name in fault for fault in faults] == [True]


@pytest.mark.long
@pytest.mark.parametrize("column", ["_raw", "_offset", "_timestamp_ms", "n", "footer"])
async def test_a_file_that_is_spoilt_is_named(setup: Setup, column: str) -> None:
    spoilt = setup.files()[0]
    group = pq.ParquetFile(spoilt).metadata.row_group(0)
    chunks = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    content = bytearray(spoilt.read_bytes())
    # In the middle of the page: behind its head, which has the checksum.
    at = len(content) - 6 if column == "footer" else chunks[column].data_page_offset + 40
    content[at] ^= 0xFF
    spoilt.write_bytes(content)
    faults, _, _ = checked(setup.archive)
    assert [spoilt.name in fault for fault in faults] == [True]
    records, trouble = await setup.read()
    if column == "n":
        assert len(records) == COUNT, "replay does not read it"
        return
    assert records == []
    assert trouble is not None
    assert spoilt.name in trouble.detail


async def test_a_file_in_the_place_of_another_is_refused(setup: Setup) -> None:
    first, second, _ = setup.files()
    second.write_bytes(first.read_bytes())
    records, trouble = await setup.read()
    assert [record.offset for record in records] == list(range(20))
    assert trouble is not None
    assert second.name in trouble.detail


async def test_a_reader_goes_on_where_files_were_merged_and_deleted(setup: Setup) -> None:
    reader = await setup.log.reader({ZERO: 0})
    (batch,) = await reader.fetch(5, 7)
    assert isinstance(batch, Batch)
    table = setup.desk.table
    assert compact(table, setup.desk.archive, table.prepare({}), 1 << 20, everything=True) == (6, 2)
    assert table.vacuum(0) == 6
    offsets = [record.offset for record in batch.records]
    while len(offsets) < COUNT:
        (batch,) = await reader.fetch(5, 7)
        assert isinstance(batch, Batch), batch
        offsets += [record.offset for record in batch.records]
    assert offsets == list(range(COUNT))


async def test_what_is_known_counts_while_the_store_is_away(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await setup.log.bounds([ZERO]))[ZERO] == Bounds(0, COUNT)

    def away() -> None:
        raise LogUnavailable("nobody answers")

    monkeypatch.setattr(setup.archive.table, "refresh", away)
    setup.clock += 1000
    assert (await setup.log.bounds([ZERO]))[ZERO] == Bounds(0, COUNT)
    # What was archived meanwhile is not known, so nobody is told that it is lost.
    setup.memory.append_now("t", [NewRecord(b"{}", partition=0)])
    setup.memory.truncate("t", 0, COUNT + 1)
    answer = (await setup.log.bounds([ZERO]))[ZERO]
    assert isinstance(answer, Trouble)
    assert answer.kind is Kind.UNAVAILABLE


async def test_a_store_that_hangs_is_waited_for_with_a_bound(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    held = threading.Event()
    monkeypatch.setattr("gateway.archive.log.READ_SECONDS", 0.05)
    monkeypatch.setattr(setup.archive.table, "refresh", lambda: held.wait(60))
    try:
        answer = (await setup.log.bounds([ZERO]))[ZERO]
        assert isinstance(answer, Trouble)
        assert "within 0.05 s" in answer.detail
        assert (await setup.log.bounds([ONE]))[ONE] == Bounds(0, COUNT)
    finally:
        held.set()


async def test_a_log_beyond_the_archive_has_a_hole(setup: Setup) -> None:
    setup.memory.append_now("t", [event(n, partition=0) for n in range(10)])
    setup.memory.truncate("t", 0, COUNT + 1)
    assert (await setup.log.bounds([ZERO]))[ZERO] == Bounds(COUNT + 1, COUNT + 10)
    _, trouble = await setup.read()
    assert trouble is not None
    assert trouble.kind is Kind.OUT_OF_RANGE


async def test_many_readers_share_the_threads(setup: Setup) -> None:
    found = await asyncio.gather(*(setup.read(position) for position in range(0, COUNT, 3)))
    assert [len(records) for records, _ in found] == [COUNT - position for position in range(0, COUNT, 3)]


async def test_a_topic_that_is_not_archived_is_the_logs_own(setup: Setup) -> None:
    setup.memory.create_topic("other")
    setup.memory.append_now("other", [event(n) for n in range(10)])
    setup.memory.truncate("other", 0, 5)
    other = TopicPartition("other", 0)
    assert (await setup.log.bounds([other]))[other] == Bounds(5, 10)
    assert (await setup.log.find({other: 0}))[other] == 5


async def test_an_erasure_is_told_once_nothing_of_it_is_read_any_more(setup: Setup) -> None:
    async def told() -> int:
        state = (await setup.log.describe(["t"]))["t"]
        assert isinstance(state, TopicState)
        return state.erasures

    announce(setup.desk.table)
    assert await told() == 0
    await setup.log.bounds([ZERO])
    before = await told()
    assert before == 0, "nothing was read before"
    announce(setup.desk.table)
    columns = setup.desk.table.prepare(SHAPES)
    assert erase(setup.desk.table, setup.desk.archive, columns, lambda record: record.offset == 7).records == 2
    announce(setup.desk.table)
    assert await told() == before, "the index is the one from before"
    setup.clock += ERASURE_SECONDS
    async with asyncio.timeout(30):
        while await told() == before:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.01)
    reader = await setup.log.reader({ZERO: 5})
    (batch,) = await reader.fetch(30, 3)
    assert isinstance(batch, Batch)
    assert [record.offset for record in batch.records] == [5, 6, 8]
    await reader.close()

"""Others that write into the table: told, nothing is added to it meanwhile, and the version before brings all back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from gateway.archive.index import Damage
from gateway.archive.upkeep import checked, compact, vacuum
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import TopicPartition
from tests.archive.kit import SHAPES, Desk, dataset, event
from tests.archive.test_archiver import as_records, place_of, read

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)
COUNT = 30


def append(uri: str) -> None:
    """A row of somebody else's."""
    write_deltalake(
        uri, pa.table({"_topic": ["t"], "n": pa.array([7], pa.int64())}), mode="append", schema_mode="merge"
    )


def optimise(uri: str) -> None:
    """Files are merged, out of order."""
    DeltaTable(uri).optimize.compact()


def delete(uri: str) -> None:
    """One file is written again without a row."""
    DeltaTable(uri).delete("n = 5")


def update(uri: str) -> None:
    """One file is written again with a row that is not as the record was."""
    DeltaTable(uri).update({"text": "'other'"}, predicate="n = 5")


def take_out(uri: str) -> None:
    """All files of a partition are taken out."""
    DeltaTable(uri).delete("_partition = 1")


WRITES = (append, optimise, delete, update, take_out)


async def more(log: MemoryLog, begin: int) -> None:
    """Ten more records in each partition."""
    for partition in (ZERO, ONE):
        log.append_now("t", [event(begin + n, partition=partition.partition) for n in range(10)])


async def filled(path: Path) -> tuple[MemoryLog, Desk]:
    """A log of two partitions, and its archive of three files each."""
    log = MemoryLog()
    log.create_topic("t", 2)
    desk = Desk(path / "t", log, "t")
    for turn in range(3):
        await more(log, 10 * turn)
        await desk.copy()
    return log, desk


async def refuse_and_restore(log: MemoryLog, desk: Desk, version: int) -> None:
    """Nothing is added to the table, nor deleted, until the operator restores it; then all goes on."""
    progress = await desk.archiver.round()
    assert (progress.records, list(progress.troubles)) == (0, [ZERO, ONE])
    assert desk.table.version == version + 1
    assert desk.archive.faults()
    with pytest.raises(LogUnavailable, match=r"not written by the gateway|all files of 1 partition are missing"):
        vacuum(desk.table, desk.archive, 0)
    DeltaTable(desk.uri).restore(version)
    assert (await desk.copy()).records == 20
    for partition in (ZERO, ONE):
        expected = as_records(partition, [event(n) for n in range(COUNT + 10)])
        assert read(desk, await place_of(log, partition)) == expected
    assert checked(desk.archive) == ([], 8, 2 * (COUNT + 10))
    assert dataset(desk.uri).count_rows() == 2 * (COUNT + 10)


@pytest.mark.parametrize("write", WRITES)
async def test_a_foreign_write_is_told_and_undone(write: Callable[[str], None], tmp_path: Path) -> None:
    log, desk = await filled(tmp_path)
    version = desk.table.version
    write(desk.uri)
    await more(log, COUNT)
    assert isinstance(desk.archive.survey({await place_of(log, ONE): COUNT + 1})[await place_of(log, ONE)], Damage)
    await refuse_and_restore(log, desk, version)


@pytest.mark.parametrize("write", WRITES)
async def test_a_foreign_write_that_comes_while_records_are_copied(
    write: Callable[[str], None], tmp_path: Path
) -> None:
    """A commit on top of it would be lost where the table is restored, and its position would not."""
    log, desk = await filled(tmp_path)
    version, commit = desk.table.version, desk.table.commit

    def late(*given: Any, **named: Any) -> None:
        desk.table.commit = commit  # type: ignore[method-assign]
        write(desk.uri)
        commit(*given, **named)

    desk.table.commit = late  # type: ignore[method-assign]
    await more(log, COUNT)
    await refuse_and_restore(log, desk, version)


async def test_columns_that_others_add_do_no_harm(tmp_path: Path) -> None:
    log, desk = await filled(tmp_path)
    DeltaTable(desk.uri).alter.add_columns([Field("note", PrimitiveType("string"))])
    await more(log, COUNT)
    assert (await desk.copy()).records == 20
    compact(desk.table, desk.archive, desk.table.prepare(SHAPES), 1 << 20, everything=True)
    assert read(desk, await place_of(log)) == as_records(ZERO, [event(n) for n in range(COUNT + 10)])
    assert dataset(desk.uri).to_table(columns=["note"]).column("note").null_count == 2 * (COUNT + 10)


async def test_readers_of_tables_need_no_feature(tmp_path: Path) -> None:
    """Spark, Trino and others read what asks for nothing beyond the first version of the protocol."""
    _, desk = await filled(tmp_path)
    compact(desk.table, desk.archive, desk.table.prepare(SHAPES), 1 << 20, everything=True)
    table = DeltaTable(desk.uri)
    protocol = table.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features
    assert not protocol.writer_features
    assert table.metadata().partition_columns == ["_day"]

"""Of two archivers that hold the same records, one stores them: whatever each has read of the table before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from gateway.archive.files import FileWriter, Written
from gateway.archive.index import ArchivedFile
from gateway.archive.layout import Place
from gateway.archive.table import Fenced, Position
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import Record, TopicPartition
from tests.archive.kit import START, Desk, dataset

PLACE = Place("identity", TopicPartition("topic", 0))


def written(desk: Desk, begin: int, end: int) -> Written:
    writer = FileWriter(desk.store, PLACE, "2026-09-21", begin, {})
    writer.add([Record("topic", 0, offset, START + offset, None, b"{}") for offset in range(begin, end)])
    return writer.close(end)


def commit(desk: Desk, begin: int | None, end: int) -> None:
    desk.table.commit([written(desk, begin or 0, end)], [], [Position(PLACE.application("end"), begin, end)])


def rows(desk: Desk) -> int:
    return int(dataset(desk.uri).count_rows())


@pytest.fixture
def desks(tmp_path: Path) -> tuple[Desk, Desk]:
    one, other = (Desk(tmp_path / "table", MemoryLog()) for _ in range(2))
    one.table.prepare({})
    other.table.prepare({})
    return one, other


def test_who_has_read_an_old_version_is_refused(desks: tuple[Desk, Desk]) -> None:
    slow, fast = desks
    commit(slow, None, 100)
    commit(fast, 100, 200)
    with pytest.raises(Fenced):
        commit(slow, 100, 200)
    assert rows(slow) == 200


def test_who_has_read_the_newest_version_but_begins_earlier_is_refused(desks: tuple[Desk, Desk]) -> None:
    slow, fast = desks
    commit(fast, None, 100)
    slow.table.refresh()
    with pytest.raises(Fenced):
        commit(slow, None, 100)
    assert rows(slow) == 100


def test_a_commit_between_the_comparison_and_the_commit_is_a_conflict(desks: tuple[Desk, Desk]) -> None:
    slow, fast = desks
    commit(slow, None, 100)
    file = written(slow, 100, 200)
    with pytest.raises(Fenced):
        slow.table.commit(
            [file], [], [Position(PLACE.application("end"), 100, 200)], confirm=lambda: commit(fast, 100, 200)
        )
    assert rows(slow) == 200


def test_a_file_is_replaced_once_whatever_the_positions_say(desks: tuple[Desk, Desk]) -> None:
    slow, fast = desks
    file = written(slow, 0, 100)
    slow.table.commit([file], [], [Position(PLACE.application("end"), None, 100)])
    removed = ArchivedFile(file.path, 0, 100, file.span.day, file.records, file.size, START)
    fast.table.commit([written(fast, 0, 100)], [removed], [])
    with pytest.raises(Fenced, match=f"{file.path} is not in the table any more"):
        slow.table.commit([written(slow, 0, 100)], [removed], [])
    assert rows(slow) == 100


def test_commits_of_different_partitions_do_not_meet(desks: tuple[Desk, Desk]) -> None:
    one, other = desks
    commit(one, None, 100)
    place = Place("identity", TopicPartition("topic", 1))
    writer = FileWriter(other.store, place, "2026-09-21", 0, {})
    writer.add([Record("topic", 1, 0, START, None, b"{}")])
    file = writer.close(1)
    one.table.commit([file], [], [Position(place.application("end"), None, 1)], confirm=lambda: commit(other, 100, 200))
    assert rows(one) == 201


def test_a_table_is_created_once(tmp_path: Path) -> None:
    one, other = (Desk(tmp_path / "table", MemoryLog()) for _ in range(2))
    assert not one.table.refresh()
    assert not other.table.refresh()
    one.table.prepare({})
    commit(one, None, 100)
    other.table.prepare({})
    with pytest.raises(Fenced):
        commit(other, None, 100)
    assert rows(one) == 100


@pytest.mark.parametrize("made", [True, False])
def test_whoever_loses_the_creation_takes_the_table_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    """A store with conditional requests refuses the second creation."""
    desk = Desk(tmp_path / "table", MemoryLog())
    create = DeltaTable.create

    def lose(*given: Any, **more: Any) -> None:
        if made:
            create(*given, **more)
        raise CommitFailedError("Failed to commit transaction: Protocol changed")

    monkeypatch.setattr(DeltaTable, "create", lose)
    if not made:
        with pytest.raises(LogUnavailable, match="the table was not created"):
            desk.table.prepare({})
        return
    desk.table.prepare({})
    commit(desk, None, 100)
    assert rows(desk) == 100

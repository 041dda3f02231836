"""Keeps the files of an archive in shape: merges small ones, drops those that are kept no longer, and deletes what has
been replaced. Synchronous, for threads; each step is one commit.

Files are written again from their records, in order, and take the place of those before in one commit. Of two that
replace files at a time one is refused (`REWRITES`). Files before a hole are erased from, checked and dropped like the
others, and not merged: they are few, and only tools read them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.archive.archive import Archive
from gateway.archive.files import Columns, DamagedArchive, FileWriter, OpenFile, Written
from gateway.archive.index import ArchivedFile
from gateway.archive.layout import Place
from gateway.archive.plan import compactable, outlived
from gateway.archive.table import REWRITES, Fenced, Position, Table
from gateway.model.record import Record

SWEEP_HOURS = 24
"""Age of files that no commit names, after which they are deleted: nobody is still writing them."""


class Compacted(NamedTuple):
    """How many files became how many."""

    before: int
    after: int


def rewrite(
    table: Table,
    archive: Archive,
    place: Place,
    files: Sequence[ArchivedFile],
    columns: Columns,
    keep: Callable[[Record], bool] | None = None,
) -> int:
    """Put one new file in the place of these neighbours of one day, with the records that are to be kept; returns how
    many are not. Raises Fenced where others have replaced files meanwhile, and deletes the new one."""
    # Read first: the table may be read anew while the file is written, and then tells of what others have done.
    before = table.position(REWRITES)
    written, left = _rewritten(archive, place, files, columns, keep)
    try:
        table.commit([written], files, [_next_rewrite(before)])
    except Fenced:
        archive.store.delete(written.path)
        raise
    return left


def _next_rewrite(before: int | None) -> Position:
    return Position(REWRITES, before, (before or 0) + 1)


def _rewritten(
    archive: Archive,
    place: Place,
    files: Sequence[ArchivedFile],
    columns: Columns,
    keep: Callable[[Record], bool] | None,
) -> tuple[Written, int]:
    """The new file, and how many records it lacks."""
    writer = FileWriter(archive.store, place, files[0].day, files[0].begin, columns)
    left = 0
    try:
        for file in files:
            source = OpenFile(archive.store, file)
            for group in range(source.groups):
                records = source.records(place.partition, group)
                kept = records if keep is None else [record for record in records if keep(record)]
                left += len(records) - len(kept)
                writer.add(kept)
        return writer.close(files[-1].end), left
    finally:
        writer.abort()


def compact(
    table: Table,
    archive: Archive,
    columns: Columns,
    file_bytes: int,
    everything: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> Compacted:
    """Merge the small files of every partition. `everything`: also those of the newest day. Raises Fenced where
    another does it too, and DamagedArchive."""
    before = after = 0
    _refresh(archive)
    for place, index in archive.partitions():
        for run in compactable(index.files, file_bytes, everything):
            if stopping():
                break
            rewrite(table, archive, place, run, columns)
            before, after = before + len(run), after + 1
    archive.refresh()
    return Compacted(before, after)


def drop_outlived(table: Table, archive: Archive, keep: int, now: int) -> int:
    """Drop the files that are kept no longer (ms); returns how many. Raises Fenced, and DamagedArchive."""
    count = 0
    _refresh(archive)
    for place, index in archive.partitions():
        if not (gone := outlived(index.all_files, keep, now)):
            continue
        positions = [_next_rewrite(table.position(REWRITES))]
        if gone[-1].end > index.start:
            positions.append(Position(place.application("start"), index.start, gone[-1].end))
        table.commit([], gone, positions, data_change=True)
        count += len(gone)
    archive.refresh()
    return count


def vacuum(table: Table, archive: Archive, hours: int) -> int:
    """Delete the files that were replaced so many hours ago, and those that no commit has ever named; returns how many.
    Raises DamagedArchive."""
    _refresh(archive)
    return table.vacuum(hours) + table.sweep(max(hours, SWEEP_HOURS))


def _refresh(archive: Archive) -> None:
    """Read the index anew. Raises DamagedArchive: to restore a table, what somebody else has taken out of it is needed,
    and nothing may lie on top of that."""
    archive.refresh()
    if faults := archive.faults():
        raise archive.damaged(faults[0])


def checked(archive: Archive) -> tuple[list[str], int, int]:
    """What is wrong with the files of an archive, all of which are read; the number of files and of records."""
    archive.refresh()
    faults, files, count = list(archive.faults()), 0, 0
    for place, index in archive.partitions():
        for file in index.all_files:
            files += 1
            try:
                count += _check(archive, place, file)
            except FileNotFoundError:
                faults.append(f"{file.path}: the table names this file, and it is missing")
            except DamagedArchive as error:
                faults.append(str(error))
    return faults, files, count


def _check(archive: Archive, place: Place, file: ArchivedFile) -> int:
    """Read a file; returns the number of its records. Raises DamagedArchive."""
    source = OpenFile(archive.store, file)
    position = file.begin
    for group in range(source.groups):
        source.verify(group)
        for record in source.records(place.partition, group):
            if record.offset < position:
                raise DamagedArchive(f"{file.path}: offset {record.offset} is not in order")
            position = record.offset + 1
    return file.records

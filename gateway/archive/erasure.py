"""Erases records of a stream: from its archive, and from the embedded log. Synchronous, for threads.

Files that hold such records are written again without them, and ids pass over the gap as over compacted offsets. The
files before stay for readers of older versions, until they are deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.archive.archive import Archive
from gateway.archive.files import Columns, OpenFile
from gateway.archive.index import ArchivedFile
from gateway.archive.layout import ERASURES, Place
from gateway.archive.table import Fenced, Position, Table
from gateway.archive.upkeep import rewrite
from gateway.model.record import Record

TRIES = 10
"""Times that a file is looked for again, where others replace files meanwhile."""


Matches = Callable[[Record], bool]


class Erased(NamedTuple):
    """What was erased from an archive."""

    records: int
    files: int


def announce(table: Table) -> None:
    """Let nobody commit what was read from the log before now, and tell whoever reads the table."""
    for _ in range(TRIES):
        table.refresh()
        if table.version < 0:
            return
        before = table.position(ERASURES)
        try:
            table.commit([], [], [Position(ERASURES, before, (before or 0) + 1)])
            return
        except Fenced:
            continue
    raise Fenced(f"archive {table.uri}: others erase from it too")


def erase(table: Table, archive: Archive, columns: Columns, matches: Matches) -> Erased:
    """Erase all records that match, in every partition, of topics of former identities too. Raises LogUnavailable, and
    DamagedArchive before anything is changed."""
    seen: set[str] = set()
    records = files = tries = 0
    while True:
        archive.refresh()
        if faults := archive.faults():
            raise archive.damaged(faults[0])
        # Files that were added or merged meanwhile are looked into too, until there is none left.
        every = [(place, file) for place, index in archive.partitions() for file in index.all_files]
        todo = [(place, file) for place, file in every if file.path not in seen]
        if not todo:
            return Erased(records, files)
        try:
            for place, file in todo:
                if count := _erase_from(table, archive, place, file, columns, matches):
                    records, files = records + count, files + 1
                seen.add(file.path)
        except (Fenced, FileNotFoundError):
            tries += 1
            if tries > TRIES:
                raise


def _erase_from(
    table: Table,
    archive: Archive,
    place: Place,
    file: ArchivedFile,
    columns: Columns,
    matches: Matches,
) -> int:
    """Erase from one file; returns how many records."""
    source = OpenFile(archive.store, file)
    if not any(matches(record) for group in range(source.groups) for record in source.records(place.partition, group)):
        return 0
    return rewrite(table, archive, place, [file], columns, lambda record: not matches(record))

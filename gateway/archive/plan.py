"""Which files are compacted, and which are kept no longer. Pure.

An archive grows by one small file an interval. On the day that is being written, files are merged when there are enough
of them, so that each record is written again only a few times. Once a day has ended, its small files become large ones.
A day that has ended never grows again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from gateway.archive.index import ArchivedFile

FEWEST = 6
"""Files of the newest day that are merged together, at the least."""


def compactable(files: Sequence[ArchivedFile], file_bytes: int, everything: bool = False) -> list[list[ArchivedFile]]:
    """Runs of neighbours to be merged, each into one file of at most `file_bytes`. `files` are those of one
    partition, in order. `everything`: the newest day is taken to have ended."""
    newest = files[-1].day if files and not everything else ""
    found = []
    for day, group in groupby(files, key=lambda file: file.day):
        for run in _runs(list(group), file_bytes):
            chosen = _newest(run) if day == newest else run
            if len(chosen) > 1:
                found.append(chosen)
    return found


def _newest(run: Sequence[ArchivedFile]) -> list[ArchivedFile]:
    """The part of a run of the newest day that is merged: none of it is larger than the rest together, so that each
    record is written again only when what it is in doubles."""
    for first in range(len(run) - FEWEST + 1):
        sizes = [file.size for file in run[first:]]
        if 2 * max(sizes) <= sum(sizes):
            return list(run[first:])
    return []


def _runs(files: Sequence[ArchivedFile], file_bytes: int) -> Iterator[list[ArchivedFile]]:
    run: list[ArchivedFile] = []
    size = 0
    for file in files:
        if run and (2 * file.size > file_bytes or size + file.size > file_bytes):
            yield run
            run, size = [], 0
        if 2 * file.size <= file_bytes:
            run.append(file)
            size += file.size
    if run:
        yield run


def outlived(files: Sequence[ArchivedFile], keep: int, now: int) -> list[ArchivedFile]:
    """The oldest files, all of whose days ended more than `keep` ms ago (`now` in ms)."""
    today = datetime.fromtimestamp(now / 1000, UTC).date()
    oldest = today - timedelta(days=min(keep // 86_400_000, (today - date.min).days))
    gone: list[ArchivedFile] = []
    for file in files[:-1]:
        if date.fromisoformat(file.day) >= oldest:
            break
        gone.append(file)
    return gone

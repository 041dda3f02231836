"""Archives on the disk for tests, and records for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from deltalake import DeltaTable
from pyarrow import fs

from gateway.archive.archive import Archive
from gateway.archive.archiver import Archiver, Progress
from gateway.archive.columns import Shape
from gateway.archive.store import Store
from gateway.archive.table import Table
from gateway.archive.threads import Threads
from gateway.clock import SystemClock
from gateway.eventlog.port import EventLog
from gateway.model.record import NewRecord

SHAPES = {
    "n": Shape("integer"),
    "text": Shape("text"),
    "any": Shape("json"),
    "meta": Shape("struct", {"dt": Shape("time"), "any": Shape("json")}),
}
START = 1_790_000_000_000
"""2026-09-21, in milliseconds."""
DAY = 86_400_000


def event(number: int, time: int | None = None, key: bytes | None = None, partition: int | None = None) -> NewRecord:
    value = b'{"n":%d,"text":"t%d","any":[%d],"meta":{"dt":"2026-09-21T14:13:20Z","any":1}}' % (number, number, number)
    return NewRecord(value, key, START + number if time is None else time, partition)


def dataset(uri: str) -> Any:
    """The table as foreign readers see it. (With the file system of delta-rs, which is written in Python, a process may
    abort at its end.)"""
    return DeltaTable(uri).to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(uri, fs.LocalFileSystem()))


def hours_ago(hours: int) -> SimpleNamespace:
    """In place of `time` where commits are made: those of so many hours ago."""
    return SimpleNamespace(time_ns=lambda: time.time_ns() - hours * 3600 * 10**9)


class Desk:
    """An archive of some topics in a directory, with all that works on it. Another of the same directory is another
    process, as far as the archive can tell."""

    def __init__(
        self,
        path: Path | str,
        log: EventLog,
        *topics: str,
        file_bytes: int = 1 << 20,
        name: str = "test",
        options: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.uri = str(path)
        self.table = Table(self.uri, options)
        self.store = Store(self.uri, self.table.options)
        self.archive = Archive(name, self.table, self.store)
        self.threads = Threads(2, "test")
        self.archiver = Archiver(log, topics, self.table, self.archive, SHAPES, file_bytes, SystemClock(), self.threads)

    async def copy(self) -> Progress:
        """Archive all there is, without trouble."""
        progress = await self.archiver.round()
        assert not progress.troubles, progress.troubles
        return progress

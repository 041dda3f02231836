"""Wakes the readers of a SQLite log when something has been committed, by this process or another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.cooperative import live
from gateway.errors import LogUnavailable
from gateway.eventlog.sqlite.file_writes import FileWrites
from gateway.eventlog.sqlite.store import SqliteStore

POLL_SECONDS = 0.01
"""How often the file is asked whether another process has written, where the system does not tell; only while a reader
waits. A record is late by half of it on average, which is why the system is asked to tell."""

QUIET_SECONDS = 0.1
"""The same if the system reports writes."""

COMMIT_POLL_SECONDS = 0.0005
"""The same after a write: its commit can be seen once it has been synced to the disk."""

COMMIT_SECONDS = 0.05
"""Seconds after a write within which a commit is expected this soon."""

TROUBLE_SECONDS = 0.5
"""How often it is asked while it cannot be read."""


class Watch:
    """One for a log. SQLite does not announce commits, so a thread checks the version of the data whenever the
    write-ahead log was written to, if the system can report that."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._store = SqliteStore(path, busy_timeout)
        self._journal = path.with_name(path.name + "-wal")
        self._writes: FileWrites | None = None
        self._waiting: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._needed = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def waiting(self) -> Iterator[asyncio.Event]:
        """An event that is set at every commit from now on."""
        change = asyncio.Event()
        self._waiting.add(change)
        self._start()
        try:
            yield change
        finally:
            self._waiting.discard(change)
            if not self._waiting:
                self._needed.clear()

    def wake(self) -> None:
        """Wake the readers of this process; called on the loop."""
        if self._waiting:
            live.begin()
        for change in self._waiting:
            change.set()

    def check(self) -> None:
        """Raise LogUnavailable once the log is closed: nothing would wake a reader any more."""
        if self._closed.is_set():
            raise LogUnavailable("the log is closed")

    def close(self) -> None:
        """End the thread; it closes its connection itself."""
        self._closed.set()
        self._needed.set()
        self.wake()

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._needed.set()
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._poll, name="sqlite-watch", daemon=True)
            self._thread.start()

    def _poll(self) -> None:
        """The thread. A version that cannot be read counts as a change: the readers then meet the error themselves."""
        version: int | None = None
        unseen = 0.0  # A write was told of; until then its commit is expected.
        while self._needed.wait() and not self._closed.is_set():
            current = self._version()
            if current is None or current != version:
                version, unseen = current, 0.0
                self._wake_loop()
            if current is None:
                self._closed.wait(TROUBLE_SECONDS)
            elif time.monotonic() < unseen:
                self._closed.wait(COMMIT_POLL_SECONDS)
            elif self._writes is None:
                self._closed.wait(POLL_SECONDS)
            elif self._writes.wait(QUIET_SECONDS):
                # Its commit is seen soon: the thread and the loop get there sooner where long work waits.
                live.begin()
                unseen = time.monotonic() + COMMIT_SECONDS
        self._forget_writes()
        self._store.close()

    def _version(self) -> int | None:
        """The version of the data, once it is certain that later writes will be reported."""
        try:
            if self._writes is None:
                self._store.version()  # opens the file, and makes the write-ahead log where there is none
                with suppress(OSError):
                    self._writes = FileWrites(self._journal)
            return self._store.version()
        except LogUnavailable:
            self._forget_writes()
            return None

    def _forget_writes(self) -> None:
        writes, self._writes = self._writes, None
        if writes is not None:
            writes.close()

    def _wake_loop(self) -> None:
        """The loop may be closed between the question and the call, when the process ends."""
        live.begin()
        loop = self._loop
        if loop is not None and not loop.is_closed():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.wake)

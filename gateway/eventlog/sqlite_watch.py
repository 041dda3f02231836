"""Wakes the readers of a SQLite log when something has been committed, by this process or another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.errors import LogUnavailable
from gateway.eventlog.sqlite_store import SqliteStore

POLL_SECONDS = 0.01
"""How often the file is asked whether another process has written; only while a reader waits."""

TROUBLE_SECONDS = 0.5
"""How often it is asked while it cannot be read."""


class Watch:
    """One for a log. SQLite tells nobody of a commit, so a thread asks for the version of the data."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._store = SqliteStore(path, busy_timeout)
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
        while self._needed.wait() and not self._closed.is_set():
            try:
                current: int | None = self._store.version()
            except LogUnavailable:
                current = None
            if current is None or current != version:
                version = current
                self._wake_loop()
            self._closed.wait(TROUBLE_SECONDS if current is None else POLL_SECONDS)
        self._store.close()

    def _wake_loop(self) -> None:
        """The loop may be closed between the question and the call, when the process ends."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.wake)

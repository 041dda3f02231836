"""Notifies a thread when a file has been written to, where the system can (inotify, on Linux)."""

from __future__ import annotations

import ctypes
import os
import select
from contextlib import suppress
from pathlib import Path

_MODIFY = 0x2
_EVENTS_BYTES = 4096


class FileWrites:
    """Belongs to one thread. Raises OSError where the system cannot watch the file."""

    def __init__(self, path: Path) -> None:
        system = ctypes.CDLL(None, use_errno=True)
        if not hasattr(system, "inotify_init1"):
            raise OSError("this system has no inotify")
        self._inotify: int = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._inotify < 0:
            raise _last_error()
        if system.inotify_add_watch(self._inotify, os.fsencode(path), _MODIFY) < 0:
            error = _last_error()
            self.close()
            raise error
        self._poll = select.poll()
        self._poll.register(self._inotify, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Wait until the file is written to, or for this many seconds; False if it was not."""
        self._poll.poll(seconds * 1000)
        with suppress(BlockingIOError):
            return bool(os.read(self._inotify, _EVENTS_BYTES))
        return False

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._inotify)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))

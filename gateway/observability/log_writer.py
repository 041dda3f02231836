"""Writes the output of a process through a bounded queue and a thread, so that a slow reader keeps nobody waiting.

Lines that do not fit are dropped and counted.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.text import counted

QUEUE_LINES = 10_000
QUEUE_BYTES = 4_194_304
"""Lines, and bytes of them, that wait for a reader. Of a full queue the newest go; it takes more once half is empty."""
LINE_BYTES = 65_536
"""Bytes of one line; what is longer ends with `…`."""
WRITE_BYTES = select.PIPE_BUF
"""Lines are written together up to this many bytes. A pipe keeps writes of this size whole, even if several
processes write to it (POSIX write(2))."""
FLUSH_SECONDS = 2.0
"""Seconds for the queue to be read at the end of the process."""
BUSY_SECONDS = 1.0
"""Seconds between two tries at a descriptor that somebody else has made non-blocking."""
RETRY_SECONDS = 10.0
"""Seconds that the notice of dropped lines waits after a failed write, unless the next line comes first."""


class _Line(NamedTuple):
    data: bytes
    lines: int = 1
    """The number of lines that are lost with this one; a notice stands for those it counts."""
    is_notice: bool = False


class LineWriter:
    """Writes lines to a descriptor. `form` makes a line of the notice that lines were dropped, and `on_drop` counts
    them: both are called from any thread. The thread begins with the first line."""

    def __init__(
        self,
        descriptor: int,
        form: Callable[[str], str] = str,
        on_drop: Callable[[int], None] = lambda count: None,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        self._descriptor = descriptor
        self._form = form
        self._on_drop = on_drop
        self._write = write
        # Reentrant: a collection may end an object that warns, while its thread puts a line in.
        self._changed = threading.Condition(threading.RLock())
        self._lines: deque[_Line] = deque()
        self._size = 0
        self._full = False
        self._writing = False
        self._dropped = 0
        """Lines that were dropped, and of which nothing is said yet."""
        self._failed = False
        """Whether the last write failed."""
        self._torn = False
        """Whether the last line that was written has not come to its end."""
        self._thread: threading.Thread | None = None

    def put(self, text: str, urgent: bool = False) -> None:
        """Take a line, without its end, and return at once. One that is urgent comes before all others, and always
        fits: it is the last of a process."""
        data = text.encode(errors="backslashreplace")
        if len(data) > LINE_BYTES:
            data = data[: LINE_BYTES - 4].decode(errors="ignore").encode() + "…".encode()
        line = _Line(data + b"\n")
        with self._changed:
            fits = urgent or self._has_room(len(line.data))
            if urgent:
                self._lines.appendleft(line)
            elif fits:
                self._queue_notice()
                self._lines.append(line)
            if fits:
                self._size += len(line.data)
            else:
                self._dropped += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if not fits:
            self._on_drop(1)

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait this many seconds at most until the queue is written. Returns whether it is."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._lines or self._writing:
                rest = deadline - time.monotonic()
                if rest <= 0:
                    return False
                self._changed.wait(rest)
        return True

    def _has_room(self, size: int) -> bool:
        part = 2 if self._full else 1
        fits = len(self._lines) < QUEUE_LINES // part and self._size + size <= QUEUE_BYTES // part
        self._full = not fits
        return fits

    def _queue_notice(self) -> None:
        """Say how many lines were dropped, where they are missing."""
        count, self._dropped = self._dropped, 0
        if count:
            text = self._form(f"dropped {counted(count, 'line')} of the log, which nobody read")
            line = _Line(text.encode(errors="backslashreplace") + b"\n", count, is_notice=True)
            self._lines.append(line)
            self._size += len(line.data)

    def _run(self) -> None:
        while True:
            lines = self._next()
            failed = self._fails(lines)
            with self._changed:
                self._writing = False
                self._failed = failed
                self._dropped += sum(line.lines for line in lines) if failed else 0
                self._changed.notify_all()
            if failed:
                self._on_drop(sum(not line.is_notice for line in lines))

    def _next(self) -> list[_Line]:
        """As many lines as go out in one piece; waits for the first."""
        with self._changed:
            while not self._lines:
                woken = self._changed.wait(RETRY_SECONDS if self._failed else None if not self._dropped else 0)
                if not woken and self._dropped:
                    self._queue_notice()
            lines = [self._lines.popleft()]
            size = len(lines[0].data)
            while self._lines and size + len(self._lines[0].data) <= WRITE_BYTES:
                lines.append(self._lines.popleft())
                size += len(lines[-1].data)
            self._size -= size
            self._writing = True
            return lines

    def _fails(self, lines: list[_Line]) -> bool:
        """Write these; whether they are lost, since the reader is gone or the disk is full."""
        rest = memoryview((b"\n" if self._torn else b"") + b"".join(line.data for line in lines))
        size = len(rest)
        while rest:
            try:
                rest = rest[self._write(self._descriptor, rest) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [], BUSY_SECONDS)
            except OSError:
                self._torn = self._torn or len(rest) < size
                return True
        self._torn = False
        return False


class LineStream(io.TextIOBase):
    """Replaces a standard stream of the process: prints and warnings become lines in the queue."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, writer: LineWriter, descriptor: int) -> None:
        super().__init__()
        self._writer = writer
        self._descriptor = descriptor
        self._begun = ""

    def write(self, text: str) -> int:
        """Take a text; each line that ends goes out."""
        if not isinstance(text, str):
            raise TypeError(f"a text is written here, not {type(text).__name__}")
        *lines, begun = (self._begun + text).split("\n")
        self._begun = begun[:LINE_BYTES]
        for line in lines:
            self._writer.put(line)
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

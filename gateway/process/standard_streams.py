"""The standard streams of a command.

A failure to write to standard output is an error with a name. A failure to write to standard error loses the text, and
the command continues. Letters that an encoding lacks become escapes.
"""

from __future__ import annotations

import errno
import fcntl
import io
import locale
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR = 0, 1, 2


class OutputFailed(Exception):
    """Standard output takes nothing: the disk is full, it is closed, or (`reader_gone`) nobody reads it any more."""

    def __init__(self, number: int) -> None:
        why = "it is closed, or not open for writing" if number == errno.EBADF else os.strerror(number)
        super().__init__(f"standard output: {why}")
        self.reader_gone = number == errno.EPIPE


class Descriptor(io.RawIOBase):
    """A file descriptor for writing. After a failure it accepts everything and writes nothing. So the rest of a
    buffer does not fail again at the end of the process."""

    def __init__(self, descriptor: int, name: str, on_failure: Callable[[int], None], failed: bool = False) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._on_failure = on_failure
        self.failed = failed
        """Whether it is closed from the start, or a write has failed."""
        self._told = False
        self.name = name

    def write(self, data: Any) -> int:
        """As much as the system takes now; waits where that is nothing, also where somebody has made the file one that
        does not wait."""
        if self.failed:
            self._fail(errno.EBADF)
            return len(data)
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.failed = True
                self._fail(error.errno or errno.EIO)
                return len(data)

    def _fail(self, number: int) -> None:
        if not self._told:
            self._told = True
            self._on_failure(number)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor


class _NoInput(io.RawIOBase):
    """Standard input of a process that was begun without one."""

    def readinto(self, buffer: Any) -> int:
        raise OSError(errno.EBADF, "standard input is closed")

    def readable(self) -> bool:
        return True


class _Ascii(io.TextIOWrapper):
    """Writes ASCII, and does not say so: click and rich would write UTF-8 all the same, or leave out letters."""

    def write(self, text: str) -> int:
        super().write(text.encode("ascii", "backslashreplace").decode())
        return len(text)


def install(closed: set[int]) -> None:
    """Make such streams of `sys.stdout` and `sys.stderr`, and of a missing `sys.stdin` one that fails. `closed` are the
    descriptors that were missing at first."""
    output = Descriptor(
        STANDARD_OUTPUT, "<stdout>", _raise, STANDARD_OUTPUT in closed or _is_read_only(STANDARD_OUTPUT)
    )
    errors = Descriptor(STANDARD_ERROR, "<stderr>", lambda number: None)
    sys.stdout = text_stream(output, _encoding(sys.stdout))
    sys.stderr = text_stream(errors, _encoding(sys.stderr), at_once=True)
    if STANDARD_INPUT in closed:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_NoInput()))
    # By these a server sees that nobody else has taken them, and takes them itself.
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]


def text_stream(raw: Descriptor, encoding: str, at_once: bool = False) -> io.TextIOWrapper:
    """Text in this encoding, written with each line on a terminal and where it is to be at once."""
    is_ascii = "ä".encode(encoding, "ignore") == b""
    wrapper, encoding = (_Ascii, "utf-8") if is_ascii else (io.TextIOWrapper, encoding)
    line_buffering = at_once or raw.isatty()
    return wrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=line_buffering)


def check_output() -> None:
    """Raises OutputFailed where standard output is known to take nothing."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, Descriptor) and raw.failed:
        _raise(errno.EBADF)


def watch_reader(descriptor: int, then: Callable[[], object]) -> None:
    """Call `then`, in a thread of its own, once nobody reads the output any more. A write would show that, but there
    may be none for hours. Files and terminals have no such reader."""
    poll = select.poll()
    poll.register(descriptor, 0)  # What is wrong with it is told without being asked for.

    def wait() -> None:
        if any(told & (select.POLLERR | select.POLLHUP) for _, told in poll.poll()):
            then()

    threading.Thread(target=wait, name="reader of the output", daemon=True).start()


def _raise(number: int) -> None:
    raise OutputFailed(number)


def _is_read_only(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    except OSError:
        return True


def _encoding(stream: TextIO | None) -> str:
    """That of the stream; but what Python writes to a terminal of the locale POSIX is not what that can show."""
    told = stream.encoding if stream is not None else "utf-8"
    assumed = sys.flags.utf8_mode and not {"PYTHONUTF8", "PYTHONIOENCODING"} & os.environ.keys()
    encoding = locale.getencoding() if assumed else told
    try:
        "".encode(encoding)
    except LookupError:
        return "utf-8"
    return encoding

"""Stores in which a subscription keeps its position. `gateway.client.redis` has one more."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gateway.client.errors import PositionStoreError
from gateway.client.parser import MAXIMUM_EVENT_BYTES
from gateway.text import printable

LONGEST = MAXIMUM_EVENT_BYTES
"""Bytes of a position: as many as an event may have that brings it."""
TRIAL_BYTES = 4096
"""The free bytes of a disk that can hold a position."""
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class PositionStore(Protocol):
    """Holds one position, a line of text. Either method may be a coroutine or a plain function; what they raise reaches
    the reader of the stream."""

    def load(self) -> str | Awaitable[str]:
        """The position; empty where there is none yet."""
        ...

    def save(self, position: str) -> Awaitable[None] | None:
        """It is kept when this returns."""
        ...


class MemoryPositions:
    """Keeps a position as long as the program runs: for a subscription that is created again."""

    def __init__(self, position: str = "") -> None:
        self.position = position

    def load(self) -> str:
        """See PositionStore."""
        return self.position

    def save(self, position: str) -> None:
        """See PositionStore."""
        self.position = position


class FilePositions:
    """One line in a file, for one program at a time. The file is replaced as a whole, and is on the disk when `save`
    returns. So a crash of the program or the machine leaves the old position or the new one. Its mode and owner
    stay, and a symbolic link stays too. Raises PositionStoreError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()

    async def load(self) -> str:
        """See PositionStore. Creates the file, and writes it once as `save` will. So an unwritable place or a full
        disk is reported before anything is read."""
        return await asyncio.to_thread(self._load)

    async def save(self, position: str) -> None:
        """See PositionStore."""
        await asyncio.to_thread(self._save, position)

    def _load(self) -> str:
        try:
            file = self._file()
            with file.open("a+b") as opened:
                opened.seek(0)
                content = opened.read(LONGEST + 2)
        except OSError as error:
            raise PositionStoreError(f"{self._path} cannot be used: {error.strerror}") from None
        position = read_position(content)
        if position is None:
            raise PositionStoreError(f"{self._path} holds something else than a position, which is one line of text")
        self._write(content, trial=True)
        return position

    def _save(self, position: str) -> None:
        content = position.encode(errors="surrogatepass") + b"\n"
        if read_position(content) is None:
            raise PositionStoreError(
                f"{self._path}: {printable(position[:100])!r} is not a position: one line of at most {LONGEST:,} bytes"
            )
        self._write(content)

    def _file(self) -> Path:
        """The file that the path leads to. Raises OSError where it is not one that may be written."""
        file = Path(os.path.realpath(self._path))
        with suppress(FileNotFoundError):
            mode = self._path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "it is not a file, but a device or a pipe")
            if not mode & WRITABLE:
                # Whoever may replace files in its directory, or is root, could write it all the same.
                raise PermissionError(errno.EACCES, "it is read-only")
        return file

    def _write(self, content: bytes, trial: bool = False) -> None:
        with self._lock:
            beside = None
            try:
                file = self._file()
                beside = file.with_name(os.fsdecode(b".%b.%d" % (os.fsencode(file.name)[:200], os.getpid())))
                # What a program left that was killed; in a container all have the same number.
                beside.unlink(missing_ok=True)
                with beside.open("xb") as opened:
                    _take_rights(file, opened.fileno())
                    if trial:
                        opened.write(bytes(TRIAL_BYTES))
                        opened.flush()
                        os.fsync(opened.fileno())
                        opened.seek(0)
                        opened.truncate()
                    opened.write(content)
                    opened.flush()
                    os.fsync(opened.fileno())
                beside.replace(file)
                _sync_directory(file.parent)
            except OSError as error:
                if beside is not None:
                    with suppress(OSError):
                        beside.unlink(missing_ok=True)
                raise PositionStoreError(f"{self._path} cannot be written: {error.strerror}") from None


def read_position(content: bytes) -> str | None:
    """The stored position, None if it is invalid. Any id that a server may send is valid (WHATWG HTML, "Server-sent
    events": neither line ends nor NUL), and nothing else."""
    line = content.removesuffix(b"\n")
    if len(line) > LONGEST or any(byte in line for byte in (b"\n", b"\r", b"\0")):
        return None
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _take_rights(file: Path, descriptor: int) -> None:
    """Let the new file belong to whom the old one belongs to, and be read by nobody else."""
    try:
        old = file.stat()
    except FileNotFoundError:
        return
    with suppress(PermissionError):  # Only root gives files away.
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _sync_directory(directory: Path) -> None:
    """Until then the new name may be lost with the machine's power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

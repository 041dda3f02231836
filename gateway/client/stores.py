"""Where a subscription keeps its position. `gateway.client.redis` has one more."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gateway.client.errors import PositionStoreError

LONGEST = 65_536
"""Bytes of a position that are read."""


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
    """As long as the program runs: for a subscription that is made anew."""

    def __init__(self, position: str = "") -> None:
        self.position = position

    def load(self) -> str:
        """See PositionStore."""
        return self.position

    def save(self, position: str) -> None:
        """See PositionStore."""
        self.position = position


class FilePositions:
    """One line in a file, for one program at a time. The file is replaced whole, and is on the disk when `save` has
    returned: whatever ends the program, or the machine, leaves the old position or the new one. Raises
    PositionStoreError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()

    async def load(self) -> str:
        """See PositionStore. Creates the file, so that a place which cannot be written is told at once."""
        return await asyncio.to_thread(self._read)

    async def save(self, position: str) -> None:
        """See PositionStore."""
        await asyncio.to_thread(self._write, position)

    def _read(self) -> str:
        try:
            with self._path.open("a+b") as file:
                file.seek(0)
                content = file.read(LONGEST + 1)
        except OSError as error:
            raise PositionStoreError(f"{self._path} cannot be used: {error.strerror}") from None
        try:
            position = content.decode().removesuffix("\n")
        except UnicodeDecodeError:
            position = "\n"
        if not (position.isprintable() and len(content) <= LONGEST):
            raise PositionStoreError(f"{self._path} holds something else than a position, which is one line of text")
        return position

    def _write(self, position: str) -> None:
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with self._lock:
            try:
                with beside.open("wb") as file:
                    file.write(position.encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(self._path)
                _sync_directory(self._path.parent)
            except OSError as error:
                with suppress(OSError):
                    beside.unlink(missing_ok=True)
                raise PositionStoreError(f"{self._path} cannot be written: {error.strerror}") from None


def _sync_directory(directory: Path) -> None:
    """Until then the new name may be lost with the machine's power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Reads the lines of a file or a pipe, compressed or not, in parts of bounded size."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncIterator
from typing import BinaryIO, NamedTuple

from gateway.cooperative import give_way
from gateway.produce.packed import InputError, Unpacker

CHUNK_BYTES = 1024 * 1024
"""Bytes that are read at once."""

MAXIMUM_LINE_BYTES = 16 * 1024 * 1024
"""The longest line that is held."""

BEGINNING_BYTES = 200
"""The part that is kept of a longer line."""


class InputLine(NamedTuple):
    """A line without its end; `number` counts from 1. Of one that is too long there is only the beginning."""

    number: int
    data: bytes
    length: int


class LineSplitter:
    """Bytes in, lines out."""

    def __init__(self, maximum: int = MAXIMUM_LINE_BYTES) -> None:
        self._maximum = maximum
        self._number = 0
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> list[InputLine]:
        """The lines that these bytes end."""
        first, *others = chunk.split(b"\n")
        self._keep(first)
        lines = []
        for piece in others:
            lines.append(self._line())
            self._keep(piece)
        return lines

    def finish(self) -> list[InputLine]:
        """The last line, where it has no end."""
        return [self._line()] if self._length else []

    def _keep(self, piece: bytes) -> None:
        if self._length <= self._maximum:
            self._pieces.append(piece)
        self._length += len(piece)
        if self._length > self._maximum:
            self._pieces = [b"".join(self._pieces)[:BEGINNING_BYTES]]

    def _line(self) -> InputLine:
        self._number += 1
        line = InputLine(self._number, b"".join(self._pieces), self._length)
        self._pieces = []
        self._length = 0
        return line


class Input:
    """A file or a pipe. `size` is the bytes of a file, None of a pipe; `taken` those that were read so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._descriptor = _descriptor(file)
        self.size = _size(self._descriptor)
        self.taken = 0
        self.lines = 0
        """Lines that came so far."""

    async def parts(self, stop: asyncio.Event, skip: int = 0) -> AsyncIterator[list[InputLine]]:
        """Lines as they arrive, those of one read together, up to the end or until `stop` is set. A last line
        without a line end counts only at the end. The first `skip` lines are skipped. Raises InputError."""
        splitter, unpacker = LineSplitter(), Unpacker()
        while not stop.is_set():
            await give_way()
            await self._readable(stop)
            if stop.is_set():
                return
            chunk = self._read()
            self.taken += len(chunk)
            if not chunk:
                for part in unpacker.finish():
                    yield self._behind(skip, splitter.feed(part))
                yield self._behind(skip, splitter.finish())
                return
            for part in unpacker.feed(chunk):
                yield self._behind(skip, splitter.feed(part))
                if stop.is_set():
                    return

    def _behind(self, skip: int, lines: list[InputLine]) -> list[InputLine]:
        """Those of the lines that came now which are not passed over."""
        if not lines:
            return lines
        self.lines = lines[-1].number
        return lines if lines[0].number > skip else [line for line in lines if line.number > skip]

    def _read(self) -> bytes:
        try:
            if self._descriptor is None:
                return self._file.read(CHUNK_BYTES)
            return os.read(self._descriptor, CHUNK_BYTES)
        except OSError as error:
            raise InputError(f"the input cannot be read: {error.strerror or error}") from error

    async def _readable(self, stop: asyncio.Event) -> None:
        """Wait until a read gives something at once, or `stop` is set. A file always does."""
        if self._descriptor is None:
            return
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except OSError:
            return
        waiting = [asyncio.ensure_future(event.wait()) for event in (ready, stop)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            loop.remove_reader(self._descriptor)


def _descriptor(file: BinaryIO) -> int | None:
    """The file descriptor, or None for a file in memory. It is read without Python's buffer, which would wait for
    more than there is."""
    try:
        return file.fileno()
    except (OSError, io.UnsupportedOperation):
        return None


def _size(descriptor: int | None) -> int | None:
    if descriptor is None:
        return None
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None

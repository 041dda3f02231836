"""Reads the events of a file or a pipe, compressed or not, in parts of bounded size."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncIterator
from typing import BinaryIO

from gateway.cooperative import give_way
from gateway.produce.entry import MAXIMUM_BYTES, Entry, Holder
from gateway.produce.packed import InputError, Unpacker
from gateway.produce.values import ValueSplitter, are_lines

CHUNK_BYTES = 1024 * 1024
"""Bytes that are read at once."""


class LineSplitter:
    """Bytes in, lines out."""

    fault: str | None = None
    """Lines are never wrong."""

    def __init__(self, maximum: int = MAXIMUM_BYTES) -> None:
        self._held = Holder(maximum)
        self._number = 0

    def feed(self, chunk: bytes) -> list[Entry]:
        """The lines that these bytes end."""
        first, *others = chunk.split(b"\n")
        self._held.keep(first)
        lines = []
        for piece in others:
            lines.append(self._line())
            self._held.keep(piece)
        return lines

    def finish(self) -> list[Entry]:
        """The last line, where it has no end."""
        return [self._line()] if self._held.length else []

    def _line(self) -> Entry:
        self._number += 1
        return Entry(self._number, *self._held.take())


class Splitter:
    """Bytes in, events out: lines, or values where the beginning of the input shows that they are not one a line."""

    def __init__(self) -> None:
        self._begun = b""
        self._found: LineSplitter | ValueSplitter | None = None

    @property
    def unit(self) -> str:
        """What is counted."""
        return "event" if isinstance(self._found, ValueSplitter) else "line"

    def feed(self, chunk: bytes) -> list[Entry]:
        """What these bytes end."""
        if self._found is None:
            chunk = self._begun = self._begun + chunk
            lines = are_lines(chunk[:CHUNK_BYTES])
            if lines is None and len(chunk) < CHUNK_BYTES:
                return []
            self._begin(lines is not False)
        assert self._found is not None
        return self._found.feed(chunk)

    def finish(self) -> list[Entry]:
        """What only the end of the input ends."""
        entries: list[Entry] = []
        if self._found is None:
            begun = self._begun
            entries = self._begin(True).feed(begun)
        assert self._found is not None
        return entries + self._found.finish()

    def check(self) -> None:
        """Raises InputError where the input cannot be read on."""
        if self._found is not None and self._found.fault is not None:
            raise InputError(self._found.fault)

    def _begin(self, lines: bool) -> LineSplitter | ValueSplitter:
        self._begun = b""
        self._found = LineSplitter() if lines else ValueSplitter()
        return self._found


class Input:
    """A file or a pipe. `size` is the bytes of a file, None of a pipe; `taken` those that were read so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._descriptor = _descriptor(file)
        self._splitter = Splitter()
        self.size = _size(self._descriptor)
        self.taken = 0
        self.count = 0
        """Lines that came so far; or events, where these are not one a line."""

    @property
    def unit(self) -> str:
        """What is counted: "line" or "event"."""
        return self._splitter.unit

    async def parts(self, stop: asyncio.Event, skip: int = 0) -> AsyncIterator[list[Entry]]:
        """Lines, or events, as they arrive, those of one read together, up to the end or until `stop` is set. A last
        line without a line end counts only at the end. The first `skip` are passed over. Raises InputError, after what
        comes before the mistake."""
        splitter, unpacker = self._splitter, Unpacker()
        while not stop.is_set():
            await give_way()
            await self._readable(stop)
            if stop.is_set():
                return
            chunk = self._read()
            self.taken += len(chunk)
            for part in unpacker.feed(chunk) if chunk else unpacker.finish():
                yield self._behind(skip, splitter.feed(part))
                splitter.check()
                if stop.is_set():
                    return
            if not chunk:
                yield self._behind(skip, splitter.finish())
                splitter.check()
                return

    def _behind(self, skip: int, entries: list[Entry]) -> list[Entry]:
        """Those of the entries that came now which are not passed over."""
        if not entries:
            return entries
        self.count = entries[-1].number
        return entries if entries[0].number > skip else [entry for entry in entries if entry.number > skip]

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

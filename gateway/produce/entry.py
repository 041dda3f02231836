"""An entry of an input: a line, or a value that is not on a line of its own. Pure."""

from __future__ import annotations

from typing import NamedTuple

MAXIMUM_BYTES = 16 * 1024 * 1024
"""The longest one that is held."""
BEGINNING_BYTES = 200
"""The part that is kept of a longer one."""


class Entry(NamedTuple):
    """A line without its end, or a value; `number` counts from 1. Of one that is too long there is only the beginning.
    `line` is where a value begins; a line is its own number."""

    number: int
    data: bytes
    length: int
    line: int | None = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"line {self.number}" if self.line is None else f"event {self.number} (line {self.line})"


class Holder:
    """Holds the pieces of one entry, as far as they fit."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._pieces: list[bytes] = []
        self.length = 0
        """Bytes that came of it."""

    def keep(self, piece: bytes) -> None:
        """Another piece of it."""
        if self.length <= self._maximum:
            self._pieces.append(piece)
        self.length += len(piece)
        if self.length > self._maximum:
            self._pieces = [b"".join(self._pieces)[:BEGINNING_BYTES]]

    def take(self) -> tuple[bytes, int]:
        """What is held of it, and its length; it is over."""
        data, length = b"".join(self._pieces), self.length
        self._pieces, self.length = [], 0
        return data, length

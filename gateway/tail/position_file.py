"""The position of a subscription in a file: one line, the last id as it came."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.errors import GatewayError

LONGEST = 65_536
"""Bytes of a position that are read."""


class PositionFileError(GatewayError):
    """A file that cannot hold a position, or holds something else."""


class PositionFile:
    """Replaced whole at each `save`, so that whoever is killed leaves the old position or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = ""

    def read(self) -> str:
        """The position, empty where there is none yet. Raises PositionFileError; also where `save` could not write."""
        try:
            with self._path.open("a+b") as file:
                file.seek(0)
                content = file.read(LONGEST + 1)
        except OSError as error:
            raise PositionFileError(f"{self._path} cannot be used: {error.strerror}") from None
        try:
            self._saved = content.decode().removesuffix("\n")
        except UnicodeDecodeError:
            self._saved = "\n"
        if not (self._saved.isprintable() and len(content) <= LONGEST):
            raise PositionFileError(f"{self._path} holds something else than a position, which is one line of text")
        return self._saved

    def save(self, position: str) -> None:
        """Raises PositionFileError."""
        if position == self._saved:
            return
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            beside.write_text(position + "\n")
            beside.replace(self._path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise PositionFileError(f"{self._path} cannot be written: {error.strerror}") from None
        self._saved = position

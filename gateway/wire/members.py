"""Compressed bytes, of one member (or frame) or of several one after the other, expanded in parts of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

PART_BYTES = 1024 * 1024
"""Bytes that are expanded at once, however few they were before."""

_GZIP_WINDOW = 31
"""zlib's number for its largest window in gzip's format."""


class Member(Protocol):
    """Expands one member; the rest of what was given stays within while it gives `max_length` at a time."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Gzip:
    """zlib's, which hands back what it has not used, as a Member."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_WINDOW)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        part = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        # It may hold more, though it has used all that was given.
        self._full = len(part) == max_length
        return part


class Members:
    """A stream of members, such as gzip (RFC 1952, section 2.2) or zstd (RFC 8878, section 3) is."""

    def __init__(self, begin: Callable[[], Member]) -> None:
        self._begin = begin
        self._member: Member | None = begin()

    @property
    def is_within(self) -> bool:
        """Whether a member has begun, and not ended."""
        return self._member is not None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The decompressed bytes. Raises the errors of the member."""
        while True:
            if self._member is None:
                chunk = chunk.lstrip(b"\0")  # What pads a member is no beginning of another.
                if not chunk:
                    return
                self._member = self._begin()
            if part := self._member.decompress(chunk, PART_BYTES):
                yield part
            chunk = b""
            if self._member.eof:
                chunk, self._member = self._member.unused_data, None
            elif self._member.needs_input:
                return

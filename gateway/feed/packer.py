"""Codes the frames of a stream on their way out: as they are, or as one gzip member."""

from __future__ import annotations

import zlib

from gateway.feed.feed import Block
from gateway.wire import gzip


class Plain:
    """No compression. `pack` takes frames of this client alone, `pack_block` a block that other clients get too.
    `finish` returns the bytes that end the response. Packed bytes can be decoded when they arrive."""

    def pack(self, data: bytes) -> bytes:
        return data

    def pack_block(self, block: Block) -> bytes:
        return block.data

    def finish(self) -> bytes:
        return b""


PLAIN = Plain()
"""It keeps nothing, and so is one for all."""


class Gzip:
    """One gzip member (RFC 1952). Keeps the checksum of all that was packed, and no compressor."""

    def __init__(self) -> None:
        self._begun = False
        self._checksum = 0
        self._length = 0

    def _head(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return gzip.HEADER

    def pack(self, data: bytes) -> bytes:
        self.count(zlib.crc32(data, self._checksum), len(data))
        return self._head() + gzip.independent(data)

    def pack_block(self, block: Block) -> bytes:
        if not block.data:
            return b""
        self.count(zlib.crc32(block.data, self._checksum), len(block.data))
        return self._head() + block.independent()

    def count(self, checksum: int, length: int) -> None:
        """Say what the checksum is, now that so many more bytes have been packed."""
        self._checksum = checksum
        self._length += length

    def count_shared(self, before: int, after: int, length: int) -> None:
        """Count shared bytes from the running checksums of the feed: before them, and after them."""
        if length:
            shared = gzip.without_head(after, before, length)
            self.count(gzip.combine(self._checksum, shared, length), length)

    def finish(self) -> bytes:
        return self._head() + gzip.trailer(self._checksum, self._length)

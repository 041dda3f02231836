"""gzip for streams (RFC 1952), compressed once for all clients.

A response is one gzip member: a header, and deflate blocks that each end on a byte boundary. So what has arrived can be
decoded at once. Blocks are made once for every client of a feed, as in video. A key block refers to nothing before it,
and those that follow refer back as far as the last key block. A client that joins between two key blocks gets blocks
that stand alone until the next key block. Members are never concatenated: browsers stop without a word after the first.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
NOTHING = b"\x00\x00\x00\xff\xff"
"""A stored block without a byte in it (RFC 1951 section 3.2.4), which may stand wherever one of ours ends."""
KEY_INTERVAL = 32
"""Blocks from one key to the next: the longest that a client which joins gets blocks that stand alone."""
LEVEL = 6
_RAW_DEFLATE = -15
_LAST_BLOCK = b"\x03\x00"
_POLYNOMIAL = 0xEDB88320


def independent(data: bytes) -> bytes:
    """A deflate block that refers to nothing before it."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def trailer(checksum: int, length: int) -> bytes:
    """The end of the member: the CRC-32 and the length of everything that was compressed."""
    return _LAST_BLOCK + struct.pack("<II", checksum, length & 0xFFFFFFFF)


class SharedDeflate:
    """The chain of blocks that refer back to the last key block."""

    def __init__(self) -> None:
        self._since_key = 0
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW_DEFLATE)

    def compress(self, data: bytes) -> tuple[bytes, bool]:
        """The next block of the chain, and whether it is a key block."""
        is_key = self._since_key == 0
        self._since_key = (self._since_key + 1) % KEY_INTERVAL
        flush = zlib.Z_FULL_FLUSH if self._since_key == 0 else zlib.Z_SYNC_FLUSH
        return self._compressor.compress(data) + self._compressor.flush(flush), is_key


def combine(first: int, second: int, length: int) -> int:
    """The CRC-32 of two pieces joined, from the CRC-32 of each; `length` is that of the second piece in bytes."""
    return _shift(first, length) ^ second


def without_head(whole: int, head: int, length: int) -> int:
    """The CRC-32 of the last `length` bytes of a piece, from that of the whole and that of what stands before them."""
    return whole ^ _shift(head, length)


def _shift(checksum: int, length: int) -> int:
    """The checksum as `length` zero bytes behind it would change it: a matrix product over GF(2)."""
    operator = 0
    while length:
        if length & 1:
            checksum = _times(_zeros(operator), checksum)
        length >>= 1
        operator += 1
    return checksum


@lru_cache(maxsize=64)
def _zeros(power: int) -> tuple[int, ...]:
    """The matrix that appends 2**power zero bytes."""
    if power == 0:
        bit = (_POLYNOMIAL, *(1 << index for index in range(31)))
        for _ in range(3):
            bit = tuple(_times(bit, column) for column in bit)
        return bit
    half = _zeros(power - 1)
    return tuple(_times(half, column) for column in half)


def _times(matrix: tuple[int, ...], vector: int) -> int:
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
        if not vector:
            break
    return result

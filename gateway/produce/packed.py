"""Expands input whose beginning shows that it is compressed: gzip, bzip2, xz or zstd, of one member or several."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.errors import GatewayError
from gateway.wire.members import Gzip, Member, Members

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

XZ_BYTES = 128 * 1024 * 1024
"""Memory that xz may take: what its strongest level needs (`xz -9`, 65 MiB), and more."""

_ZSTD_WINDOW_LOG = 27
"""The largest window, 128 MB: as `zstd` itself takes, and its strongest level needs."""


class InputError(GatewayError):
    """The input cannot be read."""


class _Format(NamedTuple):
    name: str
    magics: tuple[bytes, ...]
    begin: Callable[[], Member]


_FORMATS = (
    _Format("gzip", (b"\x1f\x8b",), Gzip),
    _Format("bzip2", (b"BZh",), bz2.BZ2Decompressor),
    _Format("xz", (b"\xfd7zXZ\0",), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_BYTES)),
    # A frame, or one to be skipped (RFC 8878 section 3.1.2), with which parallel packers begin.
    _Format(
        "zstd",
        (b"\x28\xb5\x2f\xfd", *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))),
        lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}),
    ),
)


_MAGICS = [magic for known in _FORMATS for magic in known.magics]


class Unpacker:
    """Bytes as they are or, where they begin as one of the formats does, unpacked."""

    def __init__(self) -> None:
        self._begun = b""
        self._told = False
        self._format: _Format | None = None
        self._members: Members | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The decompressed bytes, in parts of bounded size. Raises InputError."""
        if not self._told:
            self._begun += chunk
            if any(magic.startswith(self._begun) and magic != self._begun for magic in _MAGICS):
                return  # It may become one of the formats.
            chunk = self._tell()
        yield from self._unpack(chunk)

    def finish(self) -> Iterator[bytes]:
        """The bytes that are left at the end. Raises InputError if a compressed input is cut off."""
        if not self._told:
            yield from self._unpack(self._tell())
        if self._format is not None and self._members is not None and self._members.is_within:
            raise InputError(f"the input ends in the middle of its {self._format.name} data")

    def _tell(self) -> bytes:
        """Go by how the input has begun, and return that."""
        self._told = True
        begun, self._begun = self._begun, b""
        self._format = next((known for known in _FORMATS if begun.startswith(known.magics)), None)
        if self._format is not None:
            self._members = Members(self._format.begin)
        return begun

    def _unpack(self, chunk: bytes) -> Iterator[bytes]:
        if self._format is None or self._members is None:
            yield chunk
            return
        try:
            yield from self._members.feed(chunk)
        except (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, EOFError) as error:
            raise InputError(f"the input is not valid {self._format.name} data: {error}") from error

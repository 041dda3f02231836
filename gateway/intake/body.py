"""The body of a request: its media type, its coding, and its expansion with a bound. Pure."""

from __future__ import annotations

import re
import sys
import zlib
from typing import Protocol

from gateway.errors import Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON = "application/json"
TEXT = "text/plain"
REPORTS = "application/reports+json"
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
CLOUDEVENTS = (STRUCTURED, BATCHED)
MEDIA_TYPES = (JSON, TEXT, REPORTS, *CLOUDEVENTS)
"""The media types of events. `text/plain` is what navigator.sendBeacon sends for a string."""

IDENTITY = "identity"
CODINGS = ("gzip", "zstd")

MOST_MEMBERS = 1000
"""Members of gzip, or frames of zstd, in one body: each has a price, also where nothing is in it."""

_CHARACTER_SETS = ("utf-8", "utf8", "us-ascii")
_PART_BYTES = 256 * 1024
"""The bytes that are decompressed at a time."""
_GZIP_WINDOW = 31
"""zlib's number for its largest window in gzip's format."""
_ZSTD_WINDOW_LOG = 23
"""The largest window, 8 MB: what every decoder has to have (RFC 8878 section 3.1.1.1.2), and no sender may exceed
(RFC 9659)."""
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"([^"]*)"|([^\s;]*))')


def media_type(header: str | None) -> str:
    """That of a Content-Type. Raises Problem(415)."""
    if header == JSON:
        return JSON
    offered = ", ".join(MEDIA_TYPES)
    headers = {"accept": offered}
    if header is None or not header.strip():
        raise Problem(
            415, "Unsupported media type", f"Content-Type is missing; send events as {offered}", headers=headers
        )
    name = header.partition(";")[0].strip().lower()
    if name not in MEDIA_TYPES:
        detail = f"send events as {offered}, not as {name[:100]!r}"
        raise Problem(415, "Unsupported media type", detail, "Content-Type", headers)
    for key, quoted, plain in _PARAMETER.findall(header):
        if key.lower() == "charset" and (quoted or plain).lower() not in _CHARACTER_SETS:
            detail = f"send events as UTF-8, not {(quoted or plain)[:100]!r}"
            raise Problem(415, "Unsupported media type", detail, "Content-Type", headers)
    return name


def coding(header: str | None) -> str:
    """That of a Content-Encoding: gzip, zstd or identity. Raises Problem(415)."""
    if header is None:
        return IDENTITY
    name = (header or IDENTITY).strip().lower() or IDENTITY
    name = name.removeprefix("x-")
    if name not in (*CODINGS, IDENTITY):
        offered = ", ".join(CODINGS)
        detail = f"send the body uncompressed, or as {offered}, but not as {name[:100]!r}"
        # RFC 9110 section 12.5.3: which codings would have been understood.
        raise Problem(415, "Unsupported content coding", detail, "Content-Encoding", {"accept-encoding": offered})
    return name


def too_large(bound: int) -> Problem:
    """The problem of a body over the bound."""
    return Problem(
        413, "Content too large", f"a body has at most {bound} bytes (intake_max_bytes), after decompression"
    )


class _Decompressor(Protocol):
    """Of one member of gzip (RFC 1952), or one frame of zstd (RFC 8878)."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Expander:
    """Collects a body, expanded, and never holds more than `bound` bytes of it and a part. A coded body is one member
    or frame, or several one after another, as both formats say; the bound counts over all of them."""

    def __init__(self, coding: str, bound: int) -> None:
        self._coding = coding
        self._bound = bound
        self._parts: list[bytes] = []
        self._came = 0
        self.size = 0
        """Bytes so far."""
        self._decompressor: _Decompressor | None = None
        self._begun = False
        """Whether something of the present member has come."""
        self._members = 0
        self._renew()

    def _renew(self) -> None:
        self._begun = False
        if self._coding == "gzip":
            self._decompressor = zlib.decompressobj(_GZIP_WINDOW)
        elif self._coding == "zstd":
            options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
            self._decompressor = zstd.ZstdDecompressor(options=options)

    def feed(self, chunk: bytes) -> None:
        """Take what came. Raises Problem: 413 over the bound, 400 for what is not of this coding."""
        self._came += len(chunk)
        if self._came > self._bound:
            raise too_large(self._bound)
        if self._decompressor is None:
            self._keep(chunk)
            return
        try:
            while chunk or self._more():
                if self._decompressor.eof:
                    self._renew()
                if not self._begun:
                    if self._members and self._coding == "gzip" and chunk.startswith(b"\0"):
                        # As gzip itself does: whoever writes to tapes fills them with zeros.
                        chunk = chunk.lstrip(b"\0")
                        continue
                    self._members += 1
                    if self._members > MOST_MEMBERS:
                        raise _broken(self._coding, f"it has more than {MOST_MEMBERS} members or frames")
                    self._begun = True
                self._keep(self._decompressor.decompress(chunk, _PART_BYTES))
                chunk = self._left()
        except (zlib.error, zstd.ZstdError) as error:
            raise _broken(self._coding, str(error)) from None

    def finish(self) -> bytes:
        """The whole body. Raises Problem(400) where a coded one is cut off."""
        if self._decompressor is not None and self._begun and not self._decompressor.eof:
            raise _broken(self._coding, "it is cut off")
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self._bound:
            raise too_large(self._bound)
        if part:
            self._parts.append(part)

    def _more(self) -> bool:
        """Whether zstd can give more without input; zlib hands back what it has not used."""
        return isinstance(self._decompressor, zstd.ZstdDecompressor) and not (
            self._decompressor.needs_input or self._decompressor.eof
        )

    def _left(self) -> bytes:
        """The bytes that the present member has not used."""
        if isinstance(self._decompressor, zstd.ZstdDecompressor):
            return self._decompressor.unused_data if self._decompressor.eof else b""
        left = self._decompressor.unconsumed_tail or self._decompressor.unused_data  # type: ignore[union-attr]
        return bytes(left)


def _broken(coding: str, reason: str) -> Problem:
    return Problem(400, "Bad body", f"the body is not valid {coding} data: {reason}", "Content-Encoding")

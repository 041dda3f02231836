"""One HTTP response as it arrives: its head, and then where in the buffer the pieces of its body are. Pure."""

from __future__ import annotations

import re

RESERVED = 128
"""The first bytes of the buffer, into which is put what was kept of the bytes before."""
LONGEST_HEAD = 16_384
_CHUNK = re.compile(rb"(?:\r\n)?([0-9a-fA-F]{1,16})[^\r\n]{0,64}\r\n")
_LONGEST_CHUNK_HEAD = 96
_ENDLESS = 1 << 62


class ProtocolError(Exception):
    """The server said what it must not."""


class Response:
    """A response with status 200, chunked or not; `coding` is what its Content-Encoding has to be."""

    __slots__ = ("_coding", "_head", "_left", "_rest", "ended")

    def __init__(self, coding: bytes | None = None) -> None:
        self._coding = coding
        self._head: bytes | None = b""
        self._left = 0
        self._rest = b""
        self.ended = False

    @property
    def open(self) -> bool:
        """Whether the head has come."""
        return self._head is None

    def pieces(self, buffer: bytearray, end: int) -> list[tuple[int, int]]:
        """Where the body is in `buffer[RESERVED:end]`. Nothing is moved, so that nothing is copied. Raises
        ProtocolError."""
        start = RESERVED
        if self._head is not None:
            start = self._read_head(self._head, buffer, end)
        elif self._rest:
            start -= len(self._rest)
            buffer[start:RESERVED] = self._rest
            self._rest = b""
        found = []
        while start < end:
            if self._left:
                stop = min(end, start + self._left)
                found.append((start, stop))
                self._left -= stop - start
                start = stop
                continue
            head = _CHUNK.match(buffer, start, end)
            if head is None or self.ended:
                self._rest = bytes(buffer[start:end])
                if len(self._rest) > _LONGEST_CHUNK_HEAD:
                    raise ProtocolError(f"not a chunk: {self._rest[:_LONGEST_CHUNK_HEAD]!r}")
                break
            self._left = int(head[1], 16)
            self.ended = self._left == 0
            start = head.end()
        return found

    def _read_head(self, before: bytes, buffer: bytearray, end: int) -> int:
        head = before + buffer[RESERVED : min(end, RESERVED + LONGEST_HEAD)]
        until = head.find(b"\r\n\r\n") + 4
        if until < 4:
            if len(head) >= LONGEST_HEAD:
                raise ProtocolError("a head without an end")
            self._head = head
            return end
        lines = head[:until].lower().split(b"\r\n")
        if lines[0].split(b" ")[1:2] != [b"200"]:
            raise ProtocolError(f"answered {head[:1000]!r}")
        if self._coding is not None and b"content-encoding: " + self._coding not in lines:
            raise ProtocolError(f"not coded as {self._coding!r}: {head[:1000]!r}")
        self._left = 0 if b"transfer-encoding: chunked" in lines else _ENDLESS
        self._head = None
        return RESERVED + until - len(before)

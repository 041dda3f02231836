"""What one client reads, and whether it is what it should be. Pure: bytes and times in, counts and faults out.

An event's payload begins with a *head*, `{"seq":N,"sent":NANOSECONDS,` and then MARK, whatever server wrote the frame
around it. MARK is long because `bytes.count` is the faster for it: 5 GB/s, where `data: ` takes twice the time.

A reader puts what it kept of the bytes before into the buffer, before those that it is to read: so a head that arrived
in two pieces is found, and nothing of size is copied. What stood there has been read.
"""

from __future__ import annotations

import re
import zlib
from array import array
from typing import Protocol

from loadtests.response import RESERVED

MARK = b'"$schema":"/wiki/change/1.0.0","meta":{'
SEQ = b'{"seq":'
HEAD = re.compile(re.escape(SEQ) + rb'(\d{1,15}),"sent":(\d{1,19}),' + re.escape(MARK))
HEAD_BYTES = RESERVED
"""Longer than any head."""
TAIL_BYTES = 4096
"""Longer than any frame with the bytes around it."""
GZIP_MEMBER = 31


class StreamReader(Protocol):
    """Reads one stream. `following` is the sequence number that has to come next, if all are to come."""

    events: int
    following: int
    gaps: int
    repeated: int

    def read(self, buffer: bytearray, start: int, end: int, now: int) -> None:
        """Take in `buffer[start:end]`, arrived at `now` (ns since the epoch). Raises ValueError, zlib.error."""


class Tally:
    """Counts every event, and holds the first and last number of each piece against the count: the whole sequence at a
    third of the price of reading it. What a piece may hide, a gap and a repetition that make each other up, is found
    by `Sample`.
    """

    __slots__ = ("events", "following", "gaps", "repeated", "rest")

    def __init__(self) -> None:
        self.events = self.following = self.gaps = self.repeated = 0
        self.rest = b""

    def read(self, buffer: bytearray, start: int, end: int, now: int) -> None:
        """See StreamReader."""
        begin, start = start, start - len(self.rest)
        buffer[start:begin] = self.rest
        last = buffer.rfind(MARK, start, end)
        if last >= 0:
            count = buffer.count(MARK, start, end)
            first = HEAD.search(buffer, start, end)
            newest = first if count == 1 else HEAD.match(buffer, buffer.rfind(SEQ, start, last), end)
            if first is None or newest is None:
                raise ValueError(f"not the head of an event: {bytes(buffer[max(start, last - 60) : last + 60])!r}")
            self._take(int(first[1]), int(newest[1]), count)
            start = last + len(MARK)
        self.rest = bytes(buffer[max(start, end - HEAD_BYTES) : end])

    def _take(self, first: int, newest: int, count: int) -> None:
        self.events += count
        self.gaps += max(0, first - self.following)
        self.repeated += max(0, self.following - first)
        excess = count - (newest - first + 1)
        self.gaps += max(0, -excess)
        self.repeated += max(0, excess)
        self.following = newest + 1


class Sample:
    """Reads every number, the delay of every event and when it came (ns). If `sparse`, numbers only have to rise."""

    __slots__ = ("arrivals", "delays", "events", "following", "gaps", "repeated", "rest", "sparse")

    def __init__(self, sparse: bool = False) -> None:
        self.events = self.following = self.gaps = self.repeated = 0
        self.rest = b""
        self.sparse = sparse
        self.delays = array("q")
        self.arrivals = array("q")

    def read(self, buffer: bytearray, start: int, end: int, now: int) -> None:
        """See StreamReader."""
        begin, start = start, start - len(self.rest)
        buffer[start:begin] = self.rest
        after = start
        for head in HEAD.finditer(buffer, start, end):
            seq = int(head[1])
            self.events += 1
            if not self.sparse:
                self.gaps += max(0, seq - self.following)
            self.repeated += seq < self.following
            self.following = max(self.following, seq + 1)
            self.delays.append(now - int(head[2]))
            self.arrivals.append(now)
            after = head.end()
        self.rest = bytes(buffer[max(after, end - HEAD_BYTES) : end])


class Resumable(Tally):
    """Keeps the end of the stream, to go on after its last whole frame with the id that stood there."""

    __slots__ = ("identifier", "tail")

    def __init__(self) -> None:
        super().__init__()
        self.tail = b""
        self.identifier = b""

    def read(self, buffer: bytearray, start: int, end: int, now: int) -> None:
        """See StreamReader."""
        self.tail = (self.tail + buffer[max(start, end - TAIL_BYTES) : end])[-TAIL_BYTES:]
        super().read(buffer, start, end, now)

    def cut(self) -> bytes:
        """The connection is gone: forget the frame that had no end, as EventSource does; returns the last id."""
        whole, _, part = self.tail.rpartition(b"\n\n")
        if HEAD.search(part):
            self.events -= 1
            self.following -= 1
        _, found, after = (b"\n" + whole).rpartition(b"\nid: ")
        if found:
            self.identifier = after.partition(b"\n")[0]
        self.rest = self.tail = b""
        return self.identifier


class Inflated(Sample):
    """A sample of a compressed stream."""

    __slots__ = ("_inflater",)

    def __init__(self) -> None:
        super().__init__()
        self._inflater = zlib.decompressobj(GZIP_MEMBER)

    def read(self, buffer: bytearray, start: int, end: int, now: int) -> None:
        """See StreamReader."""
        plain = bytearray(RESERVED) + self._inflater.decompress(buffer[start:end])
        super().read(plain, RESERVED, len(plain), now)


class Bytes:
    """Reads nothing: its bytes alone are counted, beside those of samples of the same stream."""

    __slots__ = ("events", "following", "gaps", "repeated")

    def __init__(self) -> None:
        self.events = self.following = self.gaps = self.repeated = 0

    def read(self, buffer: bytearray, start: int, end: int, now: int) -> None:
        """See StreamReader."""

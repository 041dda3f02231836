"""Requested and consumed positions.

A `Wish` is a requested position: an entry of `Last-Event-ID`, not yet resolved against the log.
A `Mark` is a consumed position: the last record that was read of a partition, as the log holds it.
"""

from __future__ import annotations

from typing import NamedTuple

LARGEST_INTEGER = 2**63 - 1
SMALLEST_TIME = -(2**63)
"""A record's time may be any number of 64 bits."""


class Mark(NamedTuple):
    """The last record read of a partition. `seen` counts the records of that very millisecond read up to it.

    The next record to be read is the one at `offset + 1` or, where that is gone by compaction, the next after it.
    """

    offset: int
    timestamp: int
    seen: int = 0

    def after(self, offset: int, timestamp: int) -> Mark:
        """The mark once the record at `offset` has been read too."""
        return Mark(offset, timestamp, self.seen + 1 if timestamp == self.timestamp and self.seen else 1)


NOTHING_READ = Mark(-1, 0)
"""The mark of an empty partition."""


class Wish(NamedTuple):
    """One entry of a Last-Event-ID: an offset, or a timestamp (ms) with the records of it already seen, or both."""

    offset: int | None
    timestamp: int | None
    seen: int = 0


Entry = tuple[int | None, int | None, int]
"""A wish where it need not be one by name: offset, timestamp, seen."""

"""Requested and consumed positions.

A requested position is an entry of `Last-Event-ID`, not yet resolved against the log. A consumed position is the last
record that was read of a partition, as the log holds it.
"""

from __future__ import annotations

from typing import NamedTuple

LARGEST_INTEGER = 2**63 - 1
SMALLEST_TIME = -(2**63)
"""A record's time may be any number of 64 bits."""


class ConsumedPosition(NamedTuple):
    """The last record read of a partition. `seen` counts the records of that very millisecond read up to it.

    The next record to be read is the one at `offset + 1` or, where that is gone by compaction, the next after it.
    """

    offset: int
    timestamp: int
    seen: int = 0

    @property
    def timed(self) -> tuple[int, int]:
        """The time of the last record that had one, where that is known, and how many of that time were read."""
        return self.timestamp, self.seen

    def after(self, offset: int, timestamp: int) -> ConsumedPosition:
        """The position once the record at `offset` has been read too."""
        seen = self.seen + 1 if timestamp == self.timestamp and self.seen else 1
        if timestamp < 0:
            return timeless(offset, timestamp, seen, self.timed)
        return ConsumedPosition(offset, timestamp, seen)


class TimelessPosition(ConsumedPosition):
    """That of a record without a time. It is as old as the one before it."""

    _timed: tuple[int, int]

    @property
    def timed(self) -> tuple[int, int]:
        """See ConsumedPosition."""
        return self._timed


def timeless(offset: int, timestamp: int, seen: int, timed: tuple[int, int]) -> ConsumedPosition:
    """The position at a record without a time; `timed` is that of the position before it."""
    position = TimelessPosition(offset, timestamp, seen)
    position._timed = timed
    return position


NOTHING_READ = ConsumedPosition(-1, 0)
"""The position in an empty partition."""


class RequestedPosition(NamedTuple):
    """One entry of a Last-Event-ID: an offset, or a timestamp (ms) with the records of it already seen, or both."""

    offset: int | None
    timestamp: int | None
    seen: int = 0


Entry = tuple[int | None, int | None, int]
"""Either where it need not be one by name: offset, timestamp, seen."""

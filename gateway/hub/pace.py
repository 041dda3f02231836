"""The pace of the hub: how long it rests after a delivery, so that events share a write and none is late."""

from __future__ import annotations

import time
from collections.abc import Callable

WORTH_A_REST = 2
"""Records that have to come in a rest; where fewer do, they share no write, and would be late for nothing."""
FLUSH_RATIO = 128
"""A delivery is followed by a rest of a multiple of its time. The rest is bounded by the flush interval, and by the
time in which `flush_bytes` arrive. So there are few writes under load, and no delay without. A stream takes more
than a 129th of a core only if its rests are at that bound, or its events too rare to share."""
READ_SECONDS = 0.00015
"""The processor time of a read of the log beside the delivery of its records. It is done in parts, between which
other threads run, so it cannot be measured each time."""


class Pace:
    """`flush_interval` (seconds) and `flush_bytes` bound a rest. `used` gives the seconds of the processor that this
    thread has had. What it waited for others is not among them: a rest that is longer for it would let no more events
    share a write."""

    def __init__(self, flush_interval: float, flush_bytes: int, used: Callable[[], float] = time.thread_time) -> None:
        self._interval = flush_interval
        self._bytes = flush_bytes
        self._used = used
        self.spacing = 1.0
        """Seconds from one record to the next; what came last counts most."""
        self._read_at = 0.0
        self._begun = 0.0
        self._used_before = 0.0

    def begin(self, now: float) -> None:
        """A delivery begins."""
        self._begun, self._used_before = now, self._used()

    def end(self, size: int, count: int) -> float:
        """The delivery of so many bytes and records is over; returns the seconds to rest."""
        interval, self._read_at = max(self._begun - self._read_at, 1e-6), self._begun
        self.spacing = (self.spacing + interval / count) / 2
        return self.rest(self._used() - self._used_before, interval / size)

    def rest(self, took: float, seconds_a_byte: float) -> float:
        """Seconds to rest after a delivery of this length, while bytes arrive at this pace."""
        cycle = min(self._interval, self._bytes * seconds_a_byte)
        rest = min(FLUSH_RATIO * (READ_SECONDS + took), cycle - took)
        return rest if rest >= WORTH_A_REST * self.spacing else 0.0

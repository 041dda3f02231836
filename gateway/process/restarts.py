"""Decides when a worker that ended is started again, and when to give up. Puts into words why it ended."""

from __future__ import annotations

import signal
from contextlib import suppress

from gateway.process.watchdog import STALLED_STATUS

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds before a worker that ended is started again: at first, and at the most. Each is twice the one before."""
SETTLED_SECONDS = 60.0
"""A worker that has lived for this many seconds is sound: the pauses begin with the shortest again."""
MOST_EARLY_ENDS = 10
"""After this many ends in a row, each before the worker has settled, the whole process ends, some minutes after the
first. Its own supervisor may know another remedy."""


REFUSED_STATUS = 78
"""The exit status of a worker that cannot run until somebody acts (EX_CONFIG of sysexits.h). No other is started in its
place."""


class Restarts:
    """The ends of one worker and of those that took its place."""

    def __init__(self) -> None:
        self._early = 0

    def pause(self, lived: float) -> float | None:
        """The worker has ended after this many seconds. Returns the seconds until the next one starts; None: do not
        start another."""
        self._early = 1 if lived >= SETTLED_SECONDS else self._early + 1
        if self._early >= MOST_EARLY_ENDS:
            return None
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._early - 1))


def cause(status: int | None, silent: bool) -> tuple[str, str]:
    """Of an exit status as `multiprocessing` tells it: a word for the metric, and a sentence part for people. `silent`:
    the supervisor has killed it, since it did not answer."""
    if status == STALLED_STATUS:
        return "stalled", f"ended with status {status}: its watchdog ended it because its event loop was blocked"
    if silent:
        return "stalled", "did not answer, and was killed"
    if status is not None and status < 0:
        name = f"signal {-status}"
        with suppress(ValueError):
            name = signal.Signals(-status).name
        hint = "; the system does that when memory is short" if name == "SIGKILL" else ""
        return "signal", f"was killed by {name}{hint}"
    if status is None:
        return "status", "ended, and nobody knows how: the system, or another part of this process, took its status"
    if status == 0:
        return "status", "ended in order although the supervisor was not told to stop"
    return "status", f"ended with status {status}; its lines above say why"

"""The watchdog: a thread that notices when the event loop hangs, reports where, and ends the process.

It counts only the time in which it ran itself. A process that is stopped, or a machine that sleeps, stands still as a
whole, and its loop is not to blame. A call into C that keeps Python's lock stops this thread too. In a worker the
supervisor notices that (`worker.py`), and in a single process the next check of /healthz.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STALLED_STATUS = 70
"""The exit status of a process whose loop stood still (EX_SOFTWARE of sysexits.h)."""
BEATS = 4
"""Beats of a loop within the time that it may be blocked."""
LONGEST_BEAT = 1.0
"""Seconds between two beats at the most."""
COUNTED_TURNS = 2.0
"""Turns that one turn of the watchdog may count as: what took longer was no time in which it could look."""
STACK_FRAMES = 100
"""Frames of a thread that are logged, the innermost."""


class StallMeter:
    """How long somebody whose beats are counted has stood still, as seen by one who looks every `turn` seconds."""

    def __init__(self, turn: float) -> None:
        self._most = COUNTED_TURNS * turn
        self._beats: object = None
        self.stood = 0.0
        """Seconds since the last beat."""

    def look(self, beats: object, elapsed: float) -> float:
        """Take the number of beats, and the seconds since the last look; returns `stood`."""
        if beats != self._beats:
            self._beats, self.stood = beats, 0.0
        else:
            self.stood += min(elapsed, self._most)
        return self.stood


def beat_seconds(limit: float) -> float:
    """Seconds between two beats of a loop that may be blocked for `limit` seconds, or for ever if that is 0."""
    return min(LONGEST_BEAT, limit / BEATS) if limit else LONGEST_BEAT


class Watchdog:
    """Looks after the running loop. `end` is called in a thread of its own, with what happened and the stacks."""

    def __init__(self, limit: float, end: Callable[[str, str], None]) -> None:
        self._limit = limit
        self._turn = beat_seconds(limit)
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._beats = 0
        self._over = threading.Event()
        self._timer = self._loop.call_soon(self._beat)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no longer."""
        self._over.set()
        self._timer.cancel()
        self._thread.join()

    def _beat(self) -> None:
        self._beats += 1
        self._timer = self._loop.call_later(self._turn, self._beat)

    def _watch(self) -> None:
        meter = StallMeter(self._turn)
        before = time.monotonic()
        while not self._over.wait(self._turn):
            now = time.monotonic()
            if meter.look(self._beats, now - before) >= self._limit:
                message = f"the event loop has been blocked for {meter.stood:.1f} s (`stall_limit`); the process ends"
                self._end(message, stacks(self._ident))
                return
            before = now


@contextmanager
def watched(limit: float, end: Callable[[str, str], None]) -> Iterator[None]:
    """Have the running loop looked after, in this block; not at all where the limit is 0."""
    if not limit:
        yield
        return
    watchdog = Watchdog(limit, end)
    try:
        yield
    finally:
        watchdog.close()


def end_process(last_words: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """The end of a stalled process: log it, and exit, whatever its other threads wait for."""

    def end(message: str, where: str) -> None:
        try:
            last_words(message, where)
        finally:
            os._exit(STALLED_STATUS)

    return end


def stacks(loop_thread: int) -> str:
    """The stacks of all threads, that of the loop first, without a look at any file or lock."""
    own = threading.get_ident()
    frames = sorted(sys._current_frames().items(), key=lambda item: item[0] != loop_thread)
    parts = []
    for ident, innermost in frames:
        if ident == own:
            continue
        lines = ["the thread of the event loop:" if ident == loop_thread else f"thread {ident}:"]
        frame = innermost
        while frame is not None and len(lines) <= STACK_FRAMES:
            code = frame.f_code
            lines.append(f"  {code.co_filename}:{frame.f_lineno} {code.co_qualname}")
            frame = frame.f_back  # type: ignore[assignment]
        parts.append("\n".join(lines))
    return "\n".join(parts)

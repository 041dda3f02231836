"""Ends a command on a signal, even if it waits for a reader of its output."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of the signal."""
BLOCKED_SECONDS = 2.0
"""Seconds after which a loop that has not seen a signal is taken to wait for a reader, which may never come."""
STEP_SECONDS = 0.1
"""The most that counts of a wait: a process that had no core for a while was not blocked by a reader."""
ENDING_SECONDS = 15.0
"""Seconds in which a command ends after a signal: longer than an append takes."""


def raise_interrupts() -> None:
    """Have SIGINT raise KeyboardInterrupt, as Python does, and end the process if that does not end it. Its last
    message may wait for a reader, too."""

    def handle(number: int, _: object) -> None:
        def end() -> None:
            _set_within(BLOCKED_SECONDS, threading.Event())
            os._exit(128 + number)

        threading.Thread(target=end, daemon=True).start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)


def on_signal(number: signal.Signals, then: Callable[[], object]) -> None:
    """Call `then` in the running loop at each such signal. End the process if `then` cannot be called, or does not end
    it in time.

    The system interrupts a write for a signal. Python then calls the handler even while the loop is blocked (PEP 475).
    """
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        seen = threading.Event()

        def end() -> None:
            if _set_within(BLOCKED_SECONDS, seen):
                _set_within(ENDING_SECONDS, threading.Event())
            os._exit(128 + number)

        threading.Thread(target=end, daemon=True).start()
        loop.call_soon_threadsafe(seen.set)
        loop.call_soon_threadsafe(then)

    signal.signal(number, handle)


def _set_within(seconds: float, event: threading.Event) -> bool:
    """Whether an event is set in so many seconds in which this process may run."""
    return any(event.wait(STEP_SECONDS) for _ in range(round(seconds / STEP_SECONDS)))

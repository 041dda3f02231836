"""The end of a command on a signal."""

from __future__ import annotations

import threading

from gateway.process.signals import STEP_SECONDS, _set_within


class Stalling(threading.Event):
    """The process has no core for a minute while it waits the first time, and then sees the event."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return len(self.waits) > 1


def test_a_process_without_a_core_is_not_taken_for_a_blocked_one() -> None:
    stalling = Stalling()
    assert _set_within(2.0, stalling)
    assert stalling.waits == [STEP_SECONDS, STEP_SECONDS]


def test_a_blocked_process_is_ended_after_its_seconds() -> None:
    assert not _set_within(0.2, threading.Event())
    seen = threading.Event()
    seen.set()
    assert _set_within(0.2, seen)

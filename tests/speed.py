"""How fast this machine is now. Bounds of a gateway's own work are stated for a core that is as fast as most. A slower
one is given as much more time: machines that are shared change by a factor of two within minutes."""

from __future__ import annotations

import json
import os
import time

REFERENCE_SECONDS = 0.0013
"""What the work below takes a core as fast as most."""
MOST = 4.0
"""No machine is given more than this: on a slower one the bounds say nothing."""
TRIES = 12

_TEXT = json.dumps({"list": [{"number": number, "text": str(number)} for number in range(200)]})


def slowness() -> float:
    """How many times slower the slowest core of this machine is than most are; 1 where it is none."""
    allowed = os.sched_getaffinity(0)
    try:
        slowest = max(_seconds(core) for core in allowed)
    finally:
        os.sched_setaffinity(0, allowed)
    return min(MOST, max(1.0, slowest / REFERENCE_SECONDS))


def _seconds(core: int) -> float:
    os.sched_setaffinity(0, {core})
    taken = []
    for _ in range(TRIES):
        begun = time.thread_time()
        _work()
        taken.append(time.thread_time() - begun)
    return min(taken)


def _work() -> int:
    """Some of what a gateway does: loops of Python, and objects that are made and dropped."""
    total = 0
    for number in range(20_000):
        total += number % 7
    for _ in range(20):
        total += len(json.loads(_TEXT))
    return total

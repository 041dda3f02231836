"""An event loop whose time is a number: it jumps to the next timer when nothing is ready; hours take moments."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

TURN = 1e-6
"""Seconds that a turn of the loop takes at least."""
TURNS_A_SECOND = 50_000
"""Turns of the loop in one virtual second, after which something spins."""

Result = TypeVar("Result")


class HangsError(Exception):
    """Nothing is ready and no timer is set: everybody waits for somebody else."""


class SpinsError(Exception):
    """The loop turns and turns, and hardly any time passes."""


class _Timers:
    """Stands where a loop has its selector; there are no sockets, only the time until the next timer."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[NoReturn]:
        if timeout is None:
            raise HangsError("nothing is ready, and no timer is set")
        self._loop.turn(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """No threads, no sockets, no real time: what runs on it runs the same way every time."""

    def __init__(self, patience: int = 1) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = _Timers(self)
        self._clock_resolution = 1e-9
        self._patience = patience
        self._second = 0
        self._turns_before = 0
        self.turns = 0
        """Turns of the loop so far."""

    def time(self) -> float:
        return self._now

    def spend(self, seconds: float) -> None:
        """Let time pass as if the code that runs now had taken so long."""
        self._now += seconds

    def turn(self, timeout: float) -> None:
        """One turn: wait, which takes no time at all; and see whether anything still moves."""
        self.turns += 1
        self._now += max(timeout, TURN)
        if int(self._now) != self._second:
            self._second, self._turns_before = int(self._now), self.turns
        if self.turns - self._turns_before > TURNS_A_SECOND * self._patience:
            self._turns_before = self.turns
            spinning = "\n".join(sorted(whereabouts(task) for task in asyncio.all_tasks(self) if _runs(task)))
            raise SpinsError(f"the loop turns and turns in the second {self._now:.6f}:\n{spinning}")

    def _process_events(self, event_list: list[NoReturn]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else could wake the loop."""


def _runs(task: asyncio.Task[Any]) -> bool:
    """Whether the task waits for nothing."""
    waiter = getattr(task, "_fut_waiter", None)
    return waiter is None or waiter.done()


def whereabouts(task: asyncio.Task[Any]) -> str:
    """The functions that a task is in, the outermost first."""
    places = []
    coroutine: Any = task.get_coro()
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        places.append(f"{coroutine.cr_code.co_qualname}:{coroutine.cr_frame.f_lineno}")
        coroutine = coroutine.cr_await
    return " > ".join(places)


def run(main: Coroutine[Any, Any, Result], patience: int = 1) -> Result:
    """Run to the end, in virtual time. `patience` multiplies how many turns count as spinning."""
    loop = VirtualLoop(patience)
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

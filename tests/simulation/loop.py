"""An event loop whose time is a number: it jumps to the next timer when nothing is ready; hours take moments."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

TURN = 1e-6
"""Seconds that a turn of the loop takes at least."""
TURNS_A_SECOND = 50_000
"""Turns of the loop in one virtual second, after which something spins."""
STEP_SECONDS = 2.0
"""Seconds of the processor (real ones) after which a single step of a task stands in the way of all others. Any real
step takes some milliseconds."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class HangsError(Exception):
    """Nothing is ready and no timer is set: everybody waits for somebody else."""


class SpinsError(Exception):
    """The loop turns and turns, and hardly any time passes."""


class StandsStillError(BaseException):
    """One task goes on and on without a suspension, so that the loop does not turn. Raised in its midst: not to be
    caught by what catches mistakes of any kind."""


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
        self.stands: StandsStillError | None = None
        """Set where a task was stopped since it did not give way."""

    def time(self) -> float:
        return self._now

    def spend(self, seconds: float) -> None:
        """Let time pass as if the code that runs now had taken so long."""
        self._now += seconds

    def turn(self, timeout: float) -> None:
        """One turn: wait, which takes no time at all; and see whether anything still moves."""
        self.turns += 1
        if self.stands is not None:
            raise self.stands
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


@contextmanager
def watched(loop: VirtualLoop) -> Iterator[None]:
    """Stop a task that keeps the loop from turning. The time of the processor counts: a busy machine is no freeze."""
    seen = -1

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if loop.turns == seen and loop.stands is None:
            task = asyncio.current_task(loop)
            where = whereabouts(task) if task is not None else repr(frame)
            loop.stands = StandsStillError(f"no turn of the loop for {STEP_SECONDS:g} s of the processor: {where}")
            raise loop.stands
        seen = loop.turns

    before = signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, STEP_SECONDS, STEP_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def _runs(task: asyncio.Task[Any]) -> bool:
    """Whether the task waits for nothing."""
    waiter = getattr(task, "_fut_waiter", None)
    return waiter is None or waiter.done()


def whereabouts(task: asyncio.Task[Any]) -> str:
    """The functions that a task is in, the outermost first."""
    lines = []
    coroutine: Any = task.get_coro()
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        lines.append(f"{coroutine.cr_code.co_qualname}:{coroutine.cr_frame.f_lineno}")
        coroutine = coroutine.cr_await
    return " > ".join(lines)


def run(main: Coroutine[Any, Any, Result], patience: int = 1) -> Result:
    """Run to the end, in virtual time. `patience` multiplies how many turns count as spinning."""
    loop = VirtualLoop(patience)
    try:
        with watched(loop):
            return loop.run_until_complete(main)
    finally:
        loop.stands = None
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def in_virtual_time(test: Callable[Parameters, Coroutine[Any, Any, None]]) -> Callable[Parameters, None]:
    """A test that runs on such a loop. What it waits for takes as long as the product says, to the microsecond, also
    where the machine is busy or stands still; so it may say how long that is."""

    @functools.wraps(test)
    def timed(*arguments: Parameters.args, **named: Parameters.kwargs) -> None:
        run(test(*arguments, **named))

    return timed

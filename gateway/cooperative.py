"""Yielding: work that shares the event loop leaves it to others in time.

An `await` alone does not yield. It does not suspend where its result is there already: a finished task, a lock that
nobody holds, a queue with something in it, a transport with room, a coroutine that returns at once. A loop around such
an `await` blocks everybody else. If it waits for one of them, it blocks for ever. So each loop yields on every pass,
whatever else it waits for.

Work removes itself from the books of what is under way in its last step. A callback would run too late: others may see
the work as finished before the callback has run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

STEP_SECONDS = 0.0005
"""Seconds of one step's work after which others run before the next step."""
ROUNDS = 5
"""The rounds of the loop for other work: as many as an event takes from the log to the clients. So an event waits
for one step at most, and not for one in each round."""
LONG_SECONDS = 0.01
LONG_ROUNDS = 20
"""A step of this length is followed by this many rounds. A request takes several more rounds than an event, and
should wait for one such step at most."""
PRIORITY_SECONDS = 0.005
"""Seconds that long work lets a live record pass at most, from when the log has noticed that one is there."""
YIELD_SECONDS = 0.005
"""Seconds after which the work of one request yields to others."""
PATIENCE = 1e-6
"""Seconds that a step may wait for smaller ones, for each byte that it looks into: ten times of what that takes."""


async def give_way() -> None:
    """Let everybody run who is due. Where nobody is, that takes 20 µs."""
    await asyncio.sleep(0)


async def together(calls: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of calls made at the same time. Where one fails the others are ended first, and its error is raised.

    Not `asyncio.TaskGroup`: before Python 3.13 it leaves its task marked as cancelled when a part fails, in which,
    before 3.11.3, no time-out is told from a cancellation any more.
    """
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        running = [task for task in tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
    for error in [task.exception() for task in tasks if not task.cancelled()]:
        if error is not None:
            raise error
    return [task.result() for task in tasks]


def retrieve(future: asyncio.Future[Any]) -> None:
    """A callback for a future whose waiter may have left: asyncio would complain of an error that nobody has
    retrieved."""
    if not future.cancelled():
        future.exception()


class PromptFuture(asyncio.Future[None]):
    """Awaited by one task, which goes on within `go`, and not a turn of the loop later.

    That turn costs a poll of all sockets, and waits for all others who are due in it. Only the callback of a transport
    or a timer gains it: within a task, where another one can't run, `go` is like `set_result`.
    """

    _waiter: tuple[Callable[[Any], object], Context | None] | None = None

    def add_done_callback(self, callback: Callable[[Self], object], /, *, context: Context | None = None) -> None:
        """Called by the task that begins to wait."""
        self._waiter = callback, context

    def go(self) -> None:
        """Let who waits go on; nobody does where it is done."""
        if self.done():
            return
        self.set_result(None)
        if self._waiter is not None:
            callback, context = self._waiter
            if context is not None and asyncio.current_task() is None:
                context.run(callback, self)
            else:
                self.get_loop().call_soon(callback, self, context=context)

    def cancel(self, msg: object = None) -> bool:
        """Called when the task is cancelled."""
        cancelled = super().cancel(msg)
        if cancelled and self._waiter is not None:
            callback, context = self._waiter
            self.get_loop().call_soon(callback, self, context=context)
        return cancelled


class Yielder:
    """Long work of one task, in parts. Begins when it is made."""

    __slots__ = ("_begun", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()

    @property
    def is_due(self) -> bool:
        """Whether this has run for long."""
        return self._loop.time() - self._begun > YIELD_SECONDS

    async def give_way(self) -> None:
        """Let others run, where this has run for long."""
        if self.is_due:
            await give_way()
            self._begun = self._loop.time()


class Priority:
    """Tells long work to wait while a record passes from the log to the live clients.

    Rounds of the loop are not enough where the record comes from a thread of a log: the thread needs the lock of the
    interpreter several times, and gets it late each time while a step is under way.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._ended: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """A record may be there. Any thread may call this."""
        self._until = time.monotonic() + PRIORITY_SECONDS

    def end(self) -> None:
        """What was there has been delivered. Called on the loop."""
        self._until = 0.0
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    @property
    def seconds(self) -> float:
        """Seconds left to let it pass; 0 or less where nothing is on its way."""
        return self._until - time.monotonic()

    async def let_pass(self) -> None:
        """Wait until it has passed, for PRIORITY_SECONDS at most."""
        self._ended = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self.seconds):
                await self._ended
        except TimeoutError:
            pass


live = Priority()
"""One for the process: there is one loop, whichever log the record comes from."""


class FairLock:
    """Work of many tasks, one at a time: `async with` it, around a step that does not wait. Each step is followed by
    some rounds of the loop for all others, and lets a live record pass. That takes no more than half of the time,
    however many records come.

    Steps are taken in the order in which they are due: a small one when it comes, and one of which `turn` tells that it
    is large later. So who needs little does not wait behind all who need much, and these wait for a bounded time.
    """

    def __init__(self) -> None:
        self._busy = False
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        """When each is due, and a number that keeps the order of those who are due at the same time."""
        self._numbers = count()
        self._begun = 0.0
        self._rested = 0.0
        self._works_until = 0.0

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """A step that looks into so many bytes."""
        await self._acquire(size)
        try:
            yield
        finally:
            await self._end()

    async def __aenter__(self) -> None:
        await self._acquire(0)

    async def __aexit__(self, *error: object) -> None:
        await self._end()

    async def _acquire(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        if self._busy:
            due = loop.time() + size * PATIENCE
            handed = loop.create_future()
            heappush(self._waiting, (due, next(self._numbers), handed))
            try:
                await handed
            except asyncio.CancelledError:
                if not handed.cancelled():
                    self._release()
                raise
        self._busy = True
        self._begun = loop.time()

    def _release(self) -> None:
        """Hand it to who is due first; nobody else gets it in between."""
        while self._waiting:
            _, _, handed = heappop(self._waiting)
            if not handed.done():
                handed.set_result(None)
                return
        self._busy = False

    async def _end(self) -> None:
        try:
            await self.give_way()
        finally:
            self._release()

    async def give_way(self) -> None:
        """Yield between two parts of a long step. The lock is kept meanwhile: others that are due in these rounds
        must queue."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._rested > STEP_SECONDS:
            long = now - max(self._begun, self._rested) > LONG_SECONDS
            for _ in range(LONG_ROUNDS if long else ROUNDS):
                await give_way()
            if live.seconds > 0 and self._works_until <= (before := loop.time()):
                await live.let_pass()
                self._works_until = 2 * loop.time() - before
            self._rested = loop.time()


class Gate:
    """Lets a bounded number in at a time; others wait, in order. All who are in share the turns of the loop, and
    hundreds of them would make each turn long for everybody. An owner that takes longer than `seconds` is mostly
    waiting, and no longer counts."""

    def __init__(self, places: int, seconds: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._seconds = seconds

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Be in while the block runs."""
        await self._places.acquire()
        left = asyncio.get_running_loop().call_later(self._seconds, self._places.release)
        try:
            yield
        finally:
            if not left.cancelled() and left.when() > asyncio.get_running_loop().time():
                left.cancel()
                self._places.release()

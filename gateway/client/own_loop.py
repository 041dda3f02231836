"""An event loop for programs that have none, or whose loop is busy: that of a notebook runs all the time."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

from gateway.client.errors import ClientError

Result = TypeVar("Result")

_INHERITED: list[object] = []
"""Loops inherited by a fork. They are kept: a loop that is collected takes its sockets out of the parent's epoll."""


_UNCLOSED: set[OwnLoop] = set()
"""The collector does not see them: of what it finds together it would close the loop before its stream."""


class Process:
    """The one that made an object with a loop or a thread; neither works in a child that was forked."""

    def __init__(self) -> None:
        self._number = os.getpid()

    def is_another(self, *held: object) -> bool:
        """Whether this is a child. Then what is held stays as it is, and is never collected."""
        if os.getpid() == self._number:
            return False
        _INHERITED.extend(held)
        return True

    def check(self) -> None:
        """Raises ClientError in a child."""
        if os.getpid() != self._number:
            raise ClientError("this was made before the process was forked, and is its parent's; make another one")


class OwnLoop:
    """Runs calls to their end, one at a time, in the caller's thread. If a loop runs in it already, a thread that
    ends with the call does so, while the caller's loop is blocked."""

    def __init__(self) -> None:
        # With a factory it does not touch what the thread has set as its loop.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._process = Process()
        _UNCLOSED.add(self)

    def check(self) -> None:
        """Raises ClientError in a child that was forked."""
        self._process.check()

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        """The result of the call. KeyboardInterrupt cancels it, and is raised when it has ended."""
        try:
            self._process.check()
            return self._run_apart(call) if is_busy() else self._runner.run(call)
        finally:
            call.close()

    def close(self) -> None:
        """After the last call."""
        try:
            if is_busy():
                _Apart(self._runner.close).wait()
            else:
                self._runner.close()
        finally:
            _UNCLOSED.discard(self)

    def is_inherited(self) -> bool:
        """Whether it belongs to the process that this one was forked from; nothing is to be closed then."""
        return self._process.is_another(self._runner)

    def _run_apart(self, call: Coroutine[Any, Any, Result]) -> Result:
        loop = self._runner.get_loop()
        begun: list[asyncio.Task[Any]] = []
        interrupted = threading.Event()

        async def interruptible() -> Result:
            task = asyncio.current_task()
            assert task is not None
            begun.append(task)
            if interrupted.is_set():
                raise asyncio.CancelledError
            return await call

        apart = _Apart(lambda: self._runner.run(interruptible()))
        try:
            return apart.wait()
        except BaseException:
            if not apart.outcome.done():
                interrupted.set()
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in begun])
                wait([apart.outcome])
            raise


class _Apart(Generic[Result]):
    """A function that runs in a thread of its own, with what it gave or raised."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self.outcome: Future[Result] = Future()
        """Done when it has ended."""
        self._thread = threading.Thread(target=self._run, name="event-stream")
        self._thread.start()

    def wait(self) -> Result:
        """Its result, or its error."""
        # Not by joining the thread: interrupted in it, Python 3.11 takes a thread that runs for one that has ended.
        wait([self.outcome])
        self._thread.join()
        return self.outcome.result()

    def _run(self) -> None:
        try:
            self.outcome.set_result(self._function())
        except BaseException as error:
            self.outcome.set_exception(error)


def is_busy() -> bool:
    """Whether a loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

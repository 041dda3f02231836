"""`subscribe_blocking`: the events of streams for programs without an event loop."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import ParamSpec, Self

from gateway.client.event import Event
from gateway.client.own_loop import OwnLoop, is_busy
from gateway.client.stream import EventStream, subscribe

Parameters = ParamSpec("Parameters")


_OPEN: weakref.WeakSet[BlockingEventStream] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Streams that a program leaves open are closed at its end, as long as loops can run: later, closing one waits
    for ever."""
    for stream in list(_OPEN):
        # From Python 3.12 on no thread begins here, which a loop wants that has looked up a name; it is closed then.
        with suppress(RuntimeError):
            stream.close()


class BlockingEventStream:
    """An EventStream whose loop runs in the caller's thread, and only while the caller waits for an event. So no
    other thread can be left over, and callbacks run where `next` is called. Inside a running loop, as in a notebook,
    it runs in a thread meanwhile, and so do they. For one thread at a time."""

    def __init__(self, make: Callable[[], EventStream]) -> None:
        self._stream = make()
        self._loop = OwnLoop()
        self._came: deque[Event] = deque()
        """The result that arrived while the caller was interrupted."""
        self._closed = False
        _OPEN.add(self)

    @property
    def position(self) -> str:
        """See EventStream."""
        return self._stream.position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if self._closed:
            raise StopIteration
        self._loop.check()
        if not self._came:
            event = self._stream.ready()
            if event is not None:
                return event
            self._loop.run(self._wait())
        if not self._came:
            raise StopIteration
        return self._came.popleft()

    def batch(self) -> list[Event]:
        """See EventStream."""
        self._loop.check()
        if not self._came and not self._closed:
            self._loop.run(self._wait_for_batch())
        events = list(self._came)
        self._came.clear()
        return events

    def commit(self, event: Event | None = None) -> None:
        """See EventStream."""
        self._loop.run(self._stream.commit(event))

    def close(self) -> None:
        """Close the connection, and store the position."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed, closed = True, self._closed
        if closed or self._loop.is_inherited():
            return
        self._came.clear()
        try:
            self._loop.run(self._stream.__aexit__(kind, error, traceback))
        finally:
            self._loop.close()

    def __del__(self) -> None:
        # A loop that was left with `break`.
        if getattr(self, "_closed", True) or sys.is_finalizing():
            return
        if is_busy():
            # Nobody is waited for here: the collector comes anywhere, also where somebody holds a lock. And it is not
            # done yet: what else it finds in a circle ends first.
            asyncio.get_running_loop().call_soon_threadsafe(self._close_apart)
        else:
            self.close()

    def _close_apart(self) -> None:
        with suppress(RuntimeError):  # the interpreter ends
            threading.Thread(target=self._close_quietly, name="event-stream").start()

    def _close_quietly(self) -> None:
        with suppress(RuntimeError):  # the collector has closed what is read from
            self.close()

    async def _wait(self) -> None:
        with suppress(StopAsyncIteration):
            self._came.append(await anext(self._stream))

    async def _wait_for_batch(self) -> None:
        self._came.extend(await self._stream.batch())


def _twin(make: Callable[Parameters, EventStream]) -> Callable[Parameters, BlockingEventStream]:
    def blocking(*arguments: Parameters.args, **options: Parameters.kwargs) -> BlockingEventStream:
        return BlockingEventStream(lambda: make(*arguments, **options))

    blocking.__doc__ = """As `subscribe`, for programs without an event loop: `for event in subscribe_blocking(…)`."""
    return blocking


subscribe_blocking = _twin(subscribe)
"""As `subscribe`, with the same arguments, for programs without an event loop: `for event in subscribe_blocking(…)`."""

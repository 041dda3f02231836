"""`subscribe_blocking`: the events of streams for programs without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from gateway.client.event import Event
from gateway.client.stream import EventStream, subscribe

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class BlockingEventStream:
    """An EventStream whose loop runs in the caller's thread, and only while an event is waited for: there is no other
    thread that could be left over, and callbacks are called where `next` is. For one thread at a time."""

    def __init__(self, make: Callable[[], EventStream]) -> None:
        self._stream = make()
        self._runner = asyncio.Runner()
        self._closed = False

    @property
    def position(self) -> str:
        """See EventStream."""
        return self._stream.position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if self._closed:
            raise StopIteration
        event = self._stream.ready()
        if event is not None:
            return event
        event = self._run(_next(self._stream))
        if event is None:
            raise StopIteration
        return event

    def batch(self) -> list[Event]:
        """See EventStream."""
        return [] if self._closed else self._run(self._stream.batch())

    def commit(self, event: Event | None = None) -> None:
        """See EventStream."""
        self._run(self._stream.commit(event))

    def close(self) -> None:
        """Close the connection, and store the position."""
        if self._closed:
            return
        self._closed = True
        try:
            self._run(self._stream.aclose())
        finally:
            self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed, closed = True, self._closed
        if closed:
            return
        try:
            self._run(self._stream.__aexit__(kind, error, traceback))
        finally:
            self._runner.close()

    def __del__(self) -> None:
        # A loop that was left with `break`.
        if not getattr(self, "_closed", True):
            self.close()

    def _run(self, call: Coroutine[Any, Any, Result]) -> Result:
        try:
            return self._runner.run(call)
        finally:
            call.close()  # Not begun where a loop runs already, which the runner says.


async def _next(stream: EventStream) -> Event | None:
    return await anext(stream, None)


def _twin(make: Callable[Parameters, EventStream]) -> Callable[Parameters, BlockingEventStream]:
    def blocking(*arguments: Parameters.args, **options: Parameters.kwargs) -> BlockingEventStream:
        return BlockingEventStream(lambda: make(*arguments, **options))

    blocking.__doc__ = """As `subscribe`, for programs without an event loop: `for event in subscribe_blocking(…)`."""
    return blocking


subscribe_blocking = _twin(subscribe)
"""As `subscribe`, with the same arguments, for programs without an event loop: `for event in subscribe_blocking(…)`."""

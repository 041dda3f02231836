"""The threads in which an archive is read and written: pyarrow and delta-rs block their caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from gateway.errors import LogUnavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

READ_SECONDS = 10.0
"""Seconds after which a call ends for who waits for it; the store's own bounds end what the thread does."""

HELD_BYTES = 16 * 1024 * 1024
"""Of records that a reader holds beyond those that it has given: of many partitions, some are read again."""


class Threads:
    """A few threads. Calls wait for a free one."""

    def __init__(self, count: int, name: str) -> None:
        self.pool = ThreadPoolExecutor(count, thread_name_prefix=f"archive-{name}")

    async def run(
        self,
        seconds: float,
        call: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """What a call gives, in a thread. Raises LogUnavailable after so many seconds; the call continues."""
        begun = self.begin(lambda: call(*arguments, **named))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(begun)
        except TimeoutError as error:
            raise LogUnavailable(f"the archive does not answer within {seconds:g} s") from error

    def begin(self, call: Callable[[], Result]) -> Future[Result]:
        """Begin a call. Raises LogUnavailable."""
        try:
            return self.pool.submit(call)
        except RuntimeError as error:
            raise LogUnavailable("the archive is closed") from error

    def close(self) -> None:
        """Wait for nobody; calls that have not begun are dropped."""
        self.pool.shutdown(wait=False, cancel_futures=True)


class Lane(Threads):
    """Threads of others, for one call at a time. A call that nobody waits for any more still works on its table: until
    it ends, others are refused."""

    def __init__(self, threads: Threads) -> None:
        self.pool = threads.pool
        self._last: Future[Any] | None = None

    def begin(self, call: Callable[[], Result]) -> Future[Result]:
        """Begin a call. Raises LogUnavailable where the one before is under way."""
        if self._last is not None and not self._last.done():
            raise LogUnavailable("an earlier step, which took too long, is still under way")
        begun = super().begin(call)
        self._last = begun
        return begun

"""The threads in which an archive is read and written: pyarrow and delta-rs block their caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

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
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=f"archive-{name}")

    async def run(
        self,
        seconds: float,
        call: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """What a call gives, in a thread. Raises LogUnavailable after so many seconds."""
        loop = asyncio.get_running_loop()
        try:
            under_way = loop.run_in_executor(self._pool, lambda: call(*arguments, **named))
        except RuntimeError as error:
            raise LogUnavailable("the archive is closed") from error
        try:
            async with asyncio.timeout(seconds):
                return await under_way
        except TimeoutError as error:
            raise LogUnavailable(f"the archive does not answer within {seconds:g} s") from error

    def close(self) -> None:
        """Wait for nobody; calls that have not begun are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

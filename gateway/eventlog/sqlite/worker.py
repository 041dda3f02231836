"""A thread that alone uses one connection to a SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Concatenate, Generic, ParamSpec, TypeVar

from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.sqlite.connection import SqliteConnection

CALL_SECONDS = 6.0
"""Seconds after which a call ends, however many wait for the thread before it; a locked file is reported earlier."""

Store = TypeVar("Store", bound=SqliteConnection)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Worker(Generic[Store]):
    """Calls come one after another, in the order in which they were made."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{name}")

    async def run(
        self,
        method: Callable[Concatenate[Store, Arguments], Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """Call a method of the store on the thread. Raises LogUnavailable after CALL_SECONDS, which does not end what
        the thread is doing, but what waits for it."""
        loop = asyncio.get_running_loop()
        try:
            call = loop.run_in_executor(self._thread, lambda: method(self._store, *arguments, **named))
        except RuntimeError as error:
            raise LogUnavailable("the log is closed") from error
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call
        except TimeoutError as error:
            raise LogUnavailable(f"SQLite: {method.__name__}: not done within {CALL_SECONDS:g} s") from error

    async def close(self) -> None:
        """Close the connection once the calls under way have ended; bounded in time."""
        with suppress(TimeoutError, LogError):
            await self.run(SqliteConnection.close)
        self._thread.shutdown(wait=False, cancel_futures=True)

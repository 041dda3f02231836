"""Work of foreign libraries on threads of their own, which the end of the process does not wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from gateway.cooperative import retrieve

Result = TypeVar("Result")


async def apart(work: Callable[[], Result]) -> Result:
    """The result of `work`, or its error. Whoever stops waiting leaves the thread behind: unlike those of
    `asyncio.to_thread`, nothing joins it, however long a silent server keeps it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()
    answer.add_done_callback(retrieve)

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            settle: Callable[[], None] = partial(answer.set_exception, error)
        else:
            settle = partial(answer.set_result, result)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if answer.done() else settle())

    threading.Thread(target=run, name="apart", daemon=True).start()
    return await answer

"""Looks into the log: learns what it has by now, which is known once the hub has read it to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.cooperative import retrieve
from gateway.errors import LogUnavailable

LOOK_SECONDS = 4.0
"""Seconds after which a look ends: those who wait for it have promised an answer within five seconds."""


class Looks:
    """One look at a topic is under way at a time. Callers that ask meanwhile share the next one: it ends with all
    events known that were stored before they asked."""

    def __init__(self, reach: Callable[[str], Awaitable[None]]) -> None:
        self._reach = reach
        self._running: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, asyncio.Task[None]] = {}

    async def look(self, topic: str) -> None:
        """Raises LogUnavailable, and Refused where the log does not give all of the topic."""
        task = self._next.get(topic)
        if task is None:
            task = self._next[topic] = asyncio.create_task(self._run(topic, self._running.get(topic)))
            task.add_done_callback(retrieve)
        await asyncio.wait([task])
        if task.cancelled():
            raise LogUnavailable("the gateway stops")
        if (error := task.exception()) is not None:
            raise error

    async def close(self) -> None:
        """All waiting callers receive LogUnavailable."""
        tasks = [*self._running.values(), *self._next.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, topic: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        own = self._running[topic] = self._next.pop(topic)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._reach(topic)
        except TimeoutError:
            raise LogUnavailable(f"{topic}: it was not read to its end within {LOOK_SECONDS:g} s") from None
        finally:
            if self._running.get(topic) is own:
                del self._running[topic]

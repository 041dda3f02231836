"""Looks up names on threads of their own: a resolver that hangs delays only those who asked for the name.

asyncio looks names up on threads that everything else shares (six, on two cores), and waits for them when the process
ends. A few names whose servers are silent would stop everything that reads a file or a key.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from gateway.cooperative import retrieve

LOOKUPS = 16
"""Names that are looked up at once; each has a thread."""


class Lookups:
    """The lookups of one event loop. Callers that ask for a name that is being looked up share the answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._under_way: dict[tuple[Any, ...], asyncio.Future[Any]] = {}

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # as asyncio calls it
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """The result of `socket.getaddrinfo`, or its error. Not bounded in time: the caller is."""
        question = (host, port, family, type, proto, flags)
        answer = self._under_way.get(question)
        if answer is None:
            if len(self._under_way) >= LOOKUPS:
                raise socket.gaierror(socket.EAI_AGAIN, f"{LOOKUPS} other names are being looked up")
            answer = self._under_way[question] = self._loop.create_future()
            answer.add_done_callback(retrieve)
            # A daemon: the end of the process does not wait for it.
            threading.Thread(target=self._look_up, args=(question,), name="lookup", daemon=True).start()
        return await asyncio.shield(answer)

    def _look_up(self, question: tuple[Any, ...]) -> None:
        """The thread."""
        found: Any
        try:
            found = socket.getaddrinfo(*question)
        except Exception as error:
            found = error
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, question, found)

    def _take(self, question: tuple[Any, ...], found: Any) -> None:
        answer = self._under_way.pop(question)
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)


def look_up_apart() -> None:
    """From now on all names of the running loop are looked up so, whichever library asks."""
    loop = asyncio.get_running_loop()
    # A loop has no other place for it, and every library asks the loop.
    if "getaddrinfo" not in vars(loop):
        loop.getaddrinfo = Lookups(loop).getaddrinfo  # type: ignore[method-assign]

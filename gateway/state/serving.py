"""The views of a process as it serves them: which file answers for each, and when there is something new in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from gateway.bounded_cache import BoundedCache
from gateway.catalog.view import View
from gateway.state.files import node_of, path_of, served, state_of
from gateway.state.lookup import Lookup, State
from gateway.state.place import Places

THREADS = 4
"""Reads at a time in a process."""
WALKS = 2
"""Of them, those that look at very many keys: the other threads are for those who ask for one, or follow."""
POLL_SECONDS = 0.05
"""So often a store is looked at that somebody follows."""
CHOICE_SECONDS = 1.0
"""So often it is looked which file answers for a view."""
CACHE_BYTES = 8 * 1024 * 1024
"""Of frames that those who follow share."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Chunk = tuple[bytes, Places, int, bool]
"""Frames, the places and the change after them, and whether there is nothing behind them yet."""


class Serving:
    """One file that answers. Any number of tasks read it."""

    def __init__(self, path: Path, node: int, threads: ThreadPoolExecutor, walks: asyncio.Semaphore) -> None:
        self.path = path
        self._walks = walks
        self.node = node
        self.chunks: BoundedCache[object, Chunk] = BoundedCache(CACHE_BYTES, overhead=500)
        self.mark = 0
        """Changes when the file was written."""
        self.retired = False
        """Whether another file has taken its place."""
        self._threads = threads
        self._idle: list[Lookup] = []
        self._news: asyncio.Future[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._waiting = 0

    async def run(
        self,
        call: Callable[Concatenate[Lookup, Parameters], Result],
        *given: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Result:
        """The result of a method of Lookup. Raises sqlite3.Error, and what the method raises."""

        def work() -> Result:
            lookup, is_sound = self._taken(), True
            try:
                return call(lookup, *given, **named)
            except sqlite3.Error:
                is_sound = False
                raise
            finally:
                if is_sound and len(self._idle) < THREADS and not self.retired:
                    self._idle.append(lookup)
                else:
                    lookup.close()

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _taken(self) -> Lookup:
        try:
            return self._idle.pop()
        except IndexError:  # others may have taken the last since anybody looked
            return self._open()

    def _open(self) -> Lookup:
        """Raises sqlite3.Error, also where another file has the name by now: what is told to a client is of one."""
        lookup = Lookup(self.path)
        if node_of(self.path) != self.node:
            lookup.close()
            raise sqlite3.OperationalError(f"{self.path} is another file now")
        return lookup

    async def walk(
        self,
        call: Callable[Concatenate[Lookup, Parameters], Result],
        *given: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Result:
        """As `run`, for a method that looks at very many keys or changes. Few run at a time; the others wait in
        order."""
        async with self._walks:
            return await self.run(call, *given, **named)

    async def wait(self, mark: int, seconds: float, *endings: asyncio.Future[None]) -> None:
        """Return when the file was written after this mark, one of the endings is done, or the time has passed."""
        if self.mark != mark or self.retired:
            return
        loop = asyncio.get_running_loop()
        if self._news is None:
            self._news = loop.create_future()
        if self._polling is None or self._polling.done():
            self._polling = loop.create_task(self._poll())
        self._waiting += 1
        try:
            await asyncio.wait({self._news, *endings}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1

    async def _poll(self) -> None:
        """While somebody waits. `data_version` is a connection's own, so one connection is kept for it."""
        lookup: Lookup | None = None
        known = -1
        loop = asyncio.get_running_loop()
        try:
            lookup = await loop.run_in_executor(self._threads, self._open)
            while self._waiting and not self.retired:
                version = await loop.run_in_executor(self._threads, lookup.version)
                if version != known:
                    known = version
                    self._tell()
                await asyncio.sleep(POLL_SECONDS)
        except sqlite3.Error:
            await asyncio.sleep(CHOICE_SECONDS)
        finally:
            if lookup is not None:
                lookup.close()

    def _tell(self) -> None:
        self.mark += 1
        news, self._news = self._news, None
        if news is not None:
            news.set_result(None)

    def retire(self) -> None:
        """Another file takes its place."""
        self.retired = True
        self._tell()
        while self._idle:
            self._idle.pop().close()


class Views:
    """All of a process. `declared` gives the views in force."""

    def __init__(self, directory: Path, declared: Callable[[], tuple[View, ...]]) -> None:
        self._directory = directory
        self._declared = declared
        self._threads = ThreadPoolExecutor(THREADS, "views")
        self._walks = asyncio.Semaphore(WALKS)
        self._serving: dict[str, Serving] = {}
        self._looked: dict[str, tuple[float, View]] = {}
        self._looking: dict[str, asyncio.Lock] = {}

    def view(self, name: str) -> View | None:
        """The view of this name, as it is declared."""
        return next((view for view in self._declared() if view.name == name), None)

    def all(self) -> tuple[View, ...]:
        """All that are declared."""
        return self._declared()

    async def serving(self, view: View) -> Serving | None:
        """The file that answers for a view; None while its first is being built."""
        lock = self._looking.setdefault(view.name, asyncio.Lock())
        async with lock:
            loop = asyncio.get_running_loop()
            looked, then = self._looked.get(view.name, (float("-inf"), None))
            known = self._serving.get(view.name)
            if known is not None and then is view and loop.time() - looked < CHOICE_SECONDS:
                return known
            found = await loop.run_in_executor(self._threads, _choose, self._directory, view)
            self._looked[view.name] = loop.time(), view
            if known is not None and (known.path, known.node) == found:
                return known
            if known is not None:
                known.retire()
                del self._serving[view.name]
            if found is None:
                return None
            self._serving[view.name] = made = Serving(*found, self._threads, self._walks)
            return made

    async def building(self, view: View) -> State | None:
        """How far the file of a view is that does not answer yet."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, state_of, path_of(self._directory, view))

    async def close(self) -> None:
        """Release everything."""
        for serving in self._serving.values():
            serving.retire()
        with suppress(RuntimeError):
            self._threads.shutdown(wait=False, cancel_futures=True)


def _choose(directory: Path, view: View) -> tuple[Path, int] | None:
    path = served(directory, view)
    node = None if path is None else node_of(path)
    return None if path is None or node is None else (path, node)

"""A worker's end of the line to its supervisor."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any, Generic, TypeVar

from gateway.errors import ConfigurationError, Problem
from gateway.observability import telemetry
from gateway.observability.figures import Figures
from gateway.process.pipe import Post
from gateway.process.reload import RELOADED
from gateway.process.watchdog import beat_seconds
from gateway.routes.overview import Rows
from gateway.subscription.connections import ConnectionRow, sorted_rows

logger = logging.getLogger("gateway")

TABLE_WAIT = 4.0
"""Seconds that the table of connections waits for the workers; for one that is not there the supervisor answers."""
FIGURES_WAIT = 4.0
"""Seconds that the metrics wait for the supervisor."""
ANSWER_WAIT = 60.0
"""Seconds that a worker waits for the answer of its supervisor to a reload."""


Taken = TypeVar("Taken")


class Line(Generic[Taken]):
    """A worker's line to its supervisor: takes definitions from there, and asks there for a reload. `figures` are those
    that it has to tell."""

    def __init__(
        self,
        connection: Pipe,
        take: Callable[[Taken], Awaitable[list[str]]],
        rows: Rows,
        workers: int,
        stall_limit: float = 0.0,
        figures: Callable[[], Figures] = telemetry.own_figures,
    ) -> None:
        self._own_figures = figures
        self._put_in_force = take
        self._rows = rows
        self._workers = workers
        self._question = 0
        self._tables: dict[int, tuple[list[ConnectionRow], int]] = {}
        """The answers of the workers to the newest question, by their numbers."""
        self._all_answered = asyncio.Event()
        self._one_question = asyncio.Lock()
        self._in_turn = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._answers: asyncio.Queue[object] = asyncio.Queue()
        self._figures: dict[int, asyncio.Future[list[Figures]]] = {}
        """The callers that wait for the figures of the other processes, by question."""
        self._figures_question = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.silent: Sequence[str] = ()
        """Workers that do not answer, and are about to be killed."""
        self.down: Sequence[str] = ()
        """Workers that have ended, and are about to be started again."""
        self.lags: Mapping[str, int] = {}
        """Seconds by which the streams that are derived here are behind their sources."""
        self._loop = asyncio.get_running_loop()
        self._post = Post(connection, self._heard, "line")
        self._beat_seconds = beat_seconds(stall_limit)
        self._beat_waits = False
        self._timer = self._loop.call_soon(self._beat)

    def close(self) -> None:
        """Listen no longer."""
        self._closed = True
        self._timer.cancel()
        self._post.send(self._alive)
        self._post.close()
        for task in self._tasks:
            task.cancel()

    def _beat(self) -> None:
        """Tell that the loop runs, and what it has counted; one beat at a time, also where the supervisor is slow."""
        self._timer = self._loop.call_later(self._beat_seconds, self._beat)
        if not self._beat_waits:
            # Before it is sent: the thread that sends may be through with it before this one goes on.
            self._beat_waits = True
            if not self._post.send(self._beating):
                self._beat_waits = False

    def _beating(self) -> bytes:
        self._beat_waits = False
        return self._alive()

    def _alive(self) -> bytes:
        return pickle.dumps(("alive", self._own_figures()))

    async def reload(self) -> dict[str, Any]:
        """Ask for a reload; returns what changed, and how each worker did. Raises ConfigurationError, Problem."""
        async with self._asking:
            while not self._answers.empty():
                self._answers.get_nowait()
            self._say(("reload",))
            try:
                async with asyncio.timeout(ANSWER_WAIT):
                    answer = await self._answers.get()
            except TimeoutError:
                answer = None
        if isinstance(answer, ConfigurationError):
            raise answer
        if not isinstance(answer, dict):
            raise Problem(500, "Internal error", "the reload failed, or its outcome is unknown; see the log")
        return answer

    def drain(self) -> None:
        """Ask for an end in order, of all workers."""
        self._say(("drain",))

    async def connections(self, order: str, limit: int) -> tuple[list[ConnectionRow], int]:
        """The first open streams of all workers, in this order, and how many there are. One that does not answer soon
        is left out."""
        async with self._one_question:
            self._question += 1
            self._tables = {}
            self._all_answered.clear()
            self._say(("connections", self._question, order, limit))
            with suppress(TimeoutError):
                async with asyncio.timeout(TABLE_WAIT):
                    await self._all_answered.wait()
            tables = self._tables.values()
        rows = sorted_rows((row for rows, _ in tables for row in rows), order, limit)
        return rows, sum(total for _, total in tables)

    async def _tell_connections(self, asker: int, question: int, order: str, limit: int) -> None:
        self._say(("rows", asker, question, await self._rows(order, limit)))

    def _hear(self, worker: int, question: int, table: tuple[list[ConnectionRow], int]) -> None:
        if question == self._question:
            self._tables[worker] = table
            if len(self._tables) == self._workers:
                self._all_answered.set()

    def _say(self, message: tuple[object, ...]) -> None:
        self._post.send(partial(pickle.dumps, message))

    def _heard(self, message: bytes) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._begin, message)

    def _begin(self, message: bytes) -> None:
        # After the end of the line nothing is done for the supervisor: the loop ends. An empty message tells that the
        # supervisor has ended, and with it ends this process.
        if message and not self._closed:
            task = asyncio.create_task(self._receive(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def exposition(self) -> bytes:
        """The metrics of all processes together. Raises Problem."""
        telemetry.tally.publish()
        question = self._figures_question = self._figures_question + 1
        answer = self._figures[question] = self._loop.create_future()
        try:
            self._say(("figures", question))
            async with asyncio.timeout(FIGURES_WAIT):
                others = await answer
        except TimeoutError:
            raise Problem(
                503, "Service unavailable", "the supervisor does not report the metrics of the workers"
            ) from None
        finally:
            del self._figures[question]
        return await asyncio.to_thread(lambda: telemetry.exposition_of([telemetry.own_figures(), *others]))

    async def _receive(self, message: bytes) -> None:
        async with self._in_turn:
            # Compiles the schemas, beside the streams.
            kind, *rest = await asyncio.to_thread(pickle.loads, message)
            if kind == "list":
                asker, question, order, limit = rest
                await self._tell_connections(asker, question, order, limit)
                return
            if kind == "rows":
                worker, question, table = rest
                self._hear(worker, question, table)
                return
            if kind == "figures":
                question, others = rest
                if (waiting := self._figures.get(question)) is not None and not waiting.done():
                    waiting.set_result(others)
                return
            if kind == "workers":
                self.silent, self.down = rest
                return
            if kind == "lags":
                self.lags = rest[0]
                return
            if kind == "answer":
                self._answers.put_nowait(rest[0])
                return
            serial, taken = rest
            status = RELOADED
            try:
                for note in await self._put_in_force(taken):
                    logger.warning("%s", note)
            except Exception as error:
                logger.exception("new definitions could not be put in force")
                status = f"{type(error).__name__}: {error}"
            self._say(("taken", serial, status))

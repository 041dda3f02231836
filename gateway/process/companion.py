"""The process that derives and runs rules, beside a server that is one process and began without anything to process.

A thread of the server does what a supervisor does for several: it starts that process at a reload, watches it, hands it
definitions, and ends it where nothing is left for it. The server's event loop waits for none of that.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import Any, cast

from gateway.observability import telemetry
from gateway.process.processing import Declared
from gateway.process.supervisor import RELOAD_WAIT, STOP_SECONDS, Run, Supervisor
from gateway.process.worker import TURN
from gateway.settings.table import Settings


class Companion(Supervisor):
    """A supervisor without servers. `process` is the main function of the one that it has."""

    def __init__(self, settings: Settings, declared: Declared, process: Run) -> None:
        # What servers need is never asked for.
        super().__init__(settings, declared, cast(Any, None), cast(Any, None), process)
        self._asked: queue.SimpleQueue[tuple[Declared, Future[list[str]]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    @property
    def told(self) -> tuple[list[str], list[str]]:
        """The processes that do not answer, and those that have ended and are started again."""
        return self._told

    @property
    def lags(self) -> dict[str, int]:
        """Seconds by which derived streams are behind their sources."""
        return self._lags

    async def take(self, declared: Declared) -> list[str]:
        """Put declarations in force; how the process did, where there is one."""
        if self._thread is None:
            if declared.is_empty:
                return []
            self._thread = threading.Thread(target=self._watch, name="companion", daemon=True)
            self._thread.start()
        answer: Future[list[str]] = Future()
        self._asked.put((declared, answer))
        try:
            async with asyncio.timeout(2 * RELOAD_WAIT):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            return ["has not answered"]

    async def exposition(self) -> bytes:
        """The metrics of both processes."""
        telemetry.tally.publish()
        others = self._figures(list(self._workers))
        return await asyncio.to_thread(lambda: telemetry.exposition_of([telemetry.own_figures(), *others]))

    async def close(self) -> None:
        """End the process in order; bounded in time."""
        self._ending.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _answer_one(self, declared: Declared, answer: Future[list[str]]) -> None:
        self._declared = declared
        statuses = self._hand_over()
        self._start_processing()
        self._dismiss_processing()
        if not answer.cancelled():
            answer.set_result(statuses)

    def _watch(self) -> None:
        resource_tracker.ensure_running()
        while not self._ending.is_set():
            try:
                self._turn()
                while not self._asked.empty():
                    self._answer_one(*self._asked.get())
            except Exception as error:
                telemetry.mistake("process", error)
                time.sleep(TURN)
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._wait_for(self._workers, lambda: time.monotonic() > deadline):
            worker.kill()

"""Several processes that share the public port, and the one that starts, reloads and stops them.

The supervisor alone reads the configuration again. It checks all of it, hands the same definitions to every worker, and
starts a worker that died with those in force: a broken file is met by none of them, and none has others than the rest.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from gateway import telemetry
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, Problem
from gateway.reload import RELOADED, Reloader, tell, tell_refusal
from gateway.routes.overview import Rows
from gateway.settings import Settings
from gateway.subscription.connections import Connection, sorted_rows

logger = logging.getLogger("gateway")

STOP_SECONDS = 20.0
"""A worker that has not ended so long after the drain time is killed: intake stores what it took, which takes a while
where the log is slow."""
RESTART_WAIT = 1.0
"""Seconds before a worker that died is started again."""
TURN = 0.1
"""Seconds in which the supervisor sees a signal."""
RELOAD_WAIT = 20.0
"""Seconds that all workers may take to put definitions in force; one that has died is there again by then."""
TABLE_WAIT = 4.0
"""Seconds that the table of connections waits for the workers; one that is started again is there by then."""
ANSWER_WAIT = 60.0
"""Seconds that a worker waits for the answer of its supervisor to a reload."""

HELD_BACK = (signal.SIGINT, signal.SIGHUP)
"""A worker starts with these blocked. The first it lets through once it can end in order, the second never: what a
terminal or an operator sends to all processes comes from the supervisor."""

Run = Callable[[Settings, Definitions, int, Pipe], None]
"""What a worker does: (settings, definitions, its number, its line to the supervisor)."""


@dataclass(eq=False, slots=True)
class _Worker:
    number: int
    process: BaseProcess
    line: Pipe
    status: str = RELOADED
    """How the newest reload went; empty until it says. One that is started begins with what is in force."""
    sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: bytes) -> None:
        """Returns at once: a worker that hangs does not read, and must keep nobody waiting."""
        threading.Thread(target=self._send, args=(message,), daemon=True).start()

    def _send(self, message: bytes) -> None:
        with self.sending:
            _send(self.line, message)


class Supervisor:
    """Starts the workers, starts those again that die, reloads them, and stops them all at a signal."""

    def __init__(self, settings: Settings, definitions: Definitions, reloader: Reloader, run: Run) -> None:
        self._settings = settings
        self._definitions = definitions
        self._reloader = reloader
        self._run = run
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._stopping: list[int] = []
        self._hung_up = False
        self._asking: list[_Worker] = []
        self._serial = 0

    def run(self) -> int:
        """Until a signal; returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._stopping.append(number))
        signal.signal(signal.SIGHUP, self._on_hang_up)
        figures = tempfile.mkdtemp(prefix="gateway-figures-")
        os.environ[telemetry.DIRECTORY] = figures
        try:
            return self._supervise()
        finally:
            del os.environ[telemetry.DIRECTORY]
            shutil.rmtree(figures, ignore_errors=True)

    def _supervise(self) -> int:
        resource_tracker.ensure_running()  # which would lift the block of signals when the first worker starts
        self._workers = [self._start(number) for number in range(self._settings.workers)]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        while not self._stopping:
            self._listen(TURN)
            self._replace_the_dead()
            if self._hung_up or self._asking:
                self._reload()
        return self._stop()

    def _on_hang_up(self, *_: object) -> None:
        self._hung_up = True

    def _start(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        arguments = (self._settings, self._definitions, number, theirs)
        process = self._context.Process(target=self._run, args=arguments, name=f"worker-{number}")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Worker(number, process, ours)

    def _replace_the_dead(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker.process.is_alive() or self._stopping:
                continue
            logger.error("worker %d ended with status %s; starting another", number, worker.process.exitcode)
            worker.line.close()
            self._asking = [one for one in self._asking if one is not worker]
            # Its counts stay, and are gone on with; what it said of itself holds no longer.
            mark_process_dead(worker.process.name)  # type: ignore[no-untyped-call]
            time.sleep(RESTART_WAIT)
            self._workers[number] = self._start(number)

    def _listen(self, seconds: float) -> None:
        """Take what workers say, for so long at most. The end of one is seen elsewhere."""
        lines = {worker.line: worker for worker in self._workers if worker.process.is_alive()}
        ready = wait([*lines, *(worker.process.sentinel for worker in lines.values())], seconds)
        for line, worker in lines.items():
            if line in ready:
                with suppress(EOFError, OSError):
                    self._take(worker, line.recv())

    def _take(self, worker: _Worker, said: tuple[Any, ...]) -> None:
        kind, *rest = said
        if kind == "reload":
            self._asking.append(worker)
        elif kind == "drain":
            self._stopping.append(signal.SIGTERM)
        elif kind == "connections":
            self._tell_all(("list", worker.number, *rest))
        elif kind == "rows":
            asker, *table = rest
            self._workers[asker].send(pickle.dumps(("rows", worker.number, *table)))
        elif rest[0] == self._serial:
            worker.status = rest[1]

    def _tell_all(self, message: tuple[object, ...]) -> None:
        for worker in self._workers:
            worker.send(pickle.dumps(message))

    def _reload(self) -> None:
        """Read the configuration, hand it to all workers, and answer those that asked."""
        self._hung_up = False
        asking, self._asking = self._asking, []
        try:
            found = self._reloader.read()
        except ConfigurationError as error:
            tell_refusal(error)
            self._answer(asking, error)
            return
        except Exception:
            logger.exception("nothing was reloaded, by a mistake of the gateway")
            self._answer(asking, None)
            return
        self._reloader.take(found)
        self._definitions = found.definitions
        document = {**found.document, "workers": self._hand_over(found.definitions)}
        tell(document)
        self._answer(asking, document)

    def _hand_over(self, definitions: Definitions) -> list[str]:
        """Give the definitions to all workers; how each of them did."""
        self._serial += 1
        message = pickle.dumps(("take", self._serial, definitions))
        for worker in self._workers:
            worker.status = ""
            worker.send(message)
        deadline = time.monotonic() + RELOAD_WAIT
        while not self._stopping and time.monotonic() < deadline:
            self._replace_the_dead()
            # One that was started meanwhile began with them.
            if all(worker.status for worker in self._workers):
                break
            self._listen(TURN)
        statuses = [worker.status or "has not answered" for worker in self._workers]
        for number, status in enumerate(statuses):
            if status != RELOADED:
                logger.error("worker %d was not reloaded: %s", number, status)
        return statuses

    def _answer(self, asking: list[_Worker], answer: object) -> None:
        message = pickle.dumps(("answer", answer))
        for worker in asking:
            worker.send(message)

    def _stop(self) -> int:
        # The interpreter gives up its handlers before it ends.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + self._settings.drain_time + STOP_SECONDS
        running = self._workers
        while running := [worker for worker in running if worker.process.is_alive()]:
            if len(self._stopping) > 1 or time.monotonic() > deadline:
                for worker in running:
                    logger.warning("worker %d has not ended yet, and is killed", worker.number)
                    worker.process.kill()
                    worker.process.join()
            time.sleep(0.02)
        return 0 if len(self._stopping) == 1 else 128 + self._stopping[-1]


def _send(line: Pipe, message: bytes) -> None:
    with suppress(OSError):
        line.send_bytes(message)


class Line:
    """A worker's line to its supervisor: takes definitions from there, and asks there for a reload."""

    def __init__(
        self, connection: Pipe, take: Callable[[Definitions], Awaitable[list[str]]], rows: Rows, workers: int
    ) -> None:
        self._connection = connection
        self._put_in_force = take
        self._rows = rows
        self._workers = workers
        self._sending = threading.Lock()
        self._question = 0
        self._tables: dict[int, tuple[list[Connection], int]] = {}
        """What each worker has answered to the newest question, by its number."""
        self._all_answered = asyncio.Event()
        self._one_question = asyncio.Lock()
        self._in_turn = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._answers: asyncio.Queue[object] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_reader(connection.fileno(), self._readable)

    def close(self) -> None:
        """Listen no longer."""
        asyncio.get_running_loop().remove_reader(self._connection.fileno())
        for task in self._tasks:
            task.cancel()

    async def reload(self) -> dict[str, Any]:
        """Ask for a reload; returns what changed, and how each worker did. Raises ConfigurationError, Problem."""
        async with self._asking:
            while not self._answers.empty():
                self._answers.get_nowait()
            await self._say(("reload",))
            try:
                async with asyncio.timeout(ANSWER_WAIT):
                    answer = await self._answers.get()
            except TimeoutError:
                answer = None
        if isinstance(answer, ConfigurationError):
            raise answer
        if not isinstance(answer, dict):
            raise Problem(500, "Internal error", "the reload has failed, or is not known to be done; see the log")
        return answer

    def drain(self) -> None:
        """Ask for an end in order, of all workers."""
        task = asyncio.create_task(self._say(("drain",)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def connections(self, order: str, limit: int) -> tuple[list[Connection], int]:
        """The first open streams of all workers, in this order, and how many there are. One that does not answer soon
        is left out."""
        async with self._one_question:
            self._question += 1
            self._tables = {}
            self._all_answered.clear()
            await self._say(("connections", self._question, order, limit))
            with suppress(TimeoutError):
                async with asyncio.timeout(TABLE_WAIT):
                    await self._all_answered.wait()
            tables = self._tables.values()
        rows = sorted_rows((row for rows, _ in tables for row in rows), order, limit)
        return rows, sum(total for _, total in tables)

    async def _tell_connections(self, asker: int, question: int, order: str, limit: int) -> None:
        await self._say(("rows", asker, question, await self._rows(order, limit)))

    def _hear(self, worker: int, question: int, table: tuple[list[Connection], int]) -> None:
        if question == self._question:
            self._tables[worker] = table
            if len(self._tables) == self._workers:
                self._all_answered.set()

    async def _say(self, message: tuple[object, ...]) -> None:
        """Beside the event loop: the supervisor may be busy, and a table is long."""
        await asyncio.to_thread(self._send, pickle.dumps(message))

    def _send(self, message: bytes) -> None:
        with self._sending:
            _send(self._connection, message)

    def _readable(self) -> None:
        try:
            message = self._connection.recv_bytes()
        except (EOFError, OSError):
            # The supervisor has ended, and with it ends this process.
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            return
        task = asyncio.create_task(self._receive(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
            if kind == "answer":
                self._answers.put_nowait(rest[0])
                return
            serial, definitions = rest
            status = RELOADED
            try:
                for note in await self._put_in_force(definitions):
                    logger.warning("%s", note)
            except Exception as error:
                logger.exception("new definitions could not be put in force")
                status = f"{type(error).__name__}: {error}"
            await self._say(("taken", serial, status))

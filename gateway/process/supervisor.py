"""The supervisor: starts, watches, reloads and stops several processes that share the public port.

Only the supervisor reads the configuration again. It checks all of it and hands the same definitions to every worker. A
worker that died starts again with the definitions in force. So no worker meets a broken file, and none has other
definitions than the rest.

Each worker reports once a second that its loop runs, and what it has counted (`worker.py`). One that is silent for
`stall_limit` is killed. Its counts are kept, its gauges dropped. The supervisor itself waits for nobody.

One more process derives streams and runs rules, where the configuration has any. It serves nobody: while it is missing
the others are as ready as before, and it is started again for ever.
"""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any

from gateway.definitions import Definitions
from gateway.errors import ConfigurationError
from gateway.observability import telemetry
from gateway.observability.figures import Figures
from gateway.process.pipe import Post
from gateway.process.processing import Declared
from gateway.process.reload import RELOADED, Reloader, tell, tell_refusal
from gateway.process.restarts import LONGEST_PAUSE, REFUSED_STATUS, Restarts, cause
from gateway.process.worker import PROCESSING, TURN, Worker
from gateway.settings.table import Settings

logger = logging.getLogger("gateway")

STOP_SECONDS = 20.0
"""Seconds after the drain time until a worker that has not ended is killed. The intake stores what it accepted,
which takes a while if the log is slow."""
KILL_SECONDS = 5.0
"""Seconds in which a worker that was killed has ended, unless the system holds it."""
LOOK_SECONDS = 0.02
"""Seconds between two looks whether workers have ended."""
RELOAD_WAIT = 20.0
"""Seconds that all workers may take to put definitions in force; one that is started again begins with them."""
FAILED_STATUS = 71
"""The exit status where workers end again and again (EX_OSERR of sysexits.h)."""

HELD_BACK = (signal.SIGINT, signal.SIGHUP)
"""A worker starts with these blocked. It unblocks the first once it can end in order, and the second never. The
supervisor passes on the signals that a terminal or an operator sends to all processes."""
Run = Callable[[Settings, int, Pipe], None]
"""The main function of a worker: (settings, its number, its line to the supervisor, whose first message are the
definitions)."""


class Supervisor:
    """Starts the workers, starts those again that end, reloads them, and stops them all at a signal."""

    def __init__(
        self, settings: Settings, declared: Declared, reloader: Reloader, run: Run, process: Run | None = None
    ) -> None:
        """`process` is the main function of the process that derives streams and runs rules; None: that is not done
        here."""
        self._settings = settings
        self._declared = declared
        self._reloader = reloader
        self._run = run
        self._process = process
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[Worker] = []
        self._restarts = [Restarts() for _ in range(settings.workers + 1)]
        self._inbox: queue.SimpleQueue[tuple[Worker, bytes]] = queue.SimpleQueue()
        self._ended = Figures()
        """The counts of workers that have ended."""
        self._counting = threading.Lock()
        """Held while counts pass from a worker to those of the ended: another thread may ask for both."""
        self._told: tuple[list[str], list[str]] = ([], [])
        """The workers that do not answer, and those that have ended, as last reported to all."""
        self._lags: dict[str, int] = {}
        """How far derived streams are behind their sources, as last reported to all."""
        self._looked = time.monotonic()
        self._signals: list[int] = []
        """The signals to end, as they came: the second ends the workers at once."""
        self._draining = False
        """Whether the process ends in order, also without a signal."""
        self._failure = 0
        """The exit status, where the workers are why the process ends."""
        self._hung_up = False
        self._asking: list[Worker] = []
        self._serial = 0

    def run(self) -> int:
        """Until a signal; returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._signals.append(number))
        signal.signal(signal.SIGHUP, self._on_hang_up)
        resource_tracker.ensure_running()  # which would lift the block of signals when the first worker starts
        self._workers = [self._start(number) for number in range(self._settings.workers)]
        self._start_processing()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        while not self._stopping:
            self._turn()
            if self._hung_up or self._asking:
                self._reload()
        return self._stop()

    @property
    def _stopping(self) -> bool:
        return self._draining or bool(self._signals)

    def _on_hang_up(self, *_: object) -> None:
        self._hung_up = True

    def _start_processing(self) -> None:
        """Start the process that derives and runs rules, where there is something to do and none yet."""
        if self._process is not None and not self._declared.is_empty and all(one.serves for one in self._workers):
            self._workers.append(self._start(self._settings.workers))

    def _dismiss_processing(self) -> None:
        """End it, where there is nothing left to do. Another may start once it has ended."""
        for worker in self._workers:
            if not worker.serves and self._declared.is_empty and not worker.dismissed:
                worker.dismissed = True
                worker.terminate()

    def _start(self, number: int) -> Worker:
        ours, theirs = self._context.Pipe()
        serves = number < self._settings.workers
        process = self._context.Process(
            target=self._run if serves else self._process,
            args=(self._settings, number, theirs),
            name=f"worker-{number}" if serves else PROCESSING,
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        # They come along the line: what a process is started with is written to it while the supervisor waits.
        return self._connect(number, process, ours, self._first(number))

    def _first(self, number: int) -> bytes:
        """What a process begins with."""
        return pickle.dumps(self._share(number < self._settings.workers))

    def _share(self, serves: bool) -> Definitions | Declared:
        """The part of what is declared that is for a server, or for the one that processes."""
        return self._declared.definitions if serves else self._declared

    def _connect(self, number: int, process: BaseProcess, line: Pipe, first: bytes) -> Worker:
        def heard(message: bytes) -> None:
            self._inbox.put((worker, message))

        worker = Worker(number, process, number < self._settings.workers, self._settings.stall_limit)
        worker.post = Post(line, heard, process.name)
        worker.post.send(first)
        return worker

    def _turn(self) -> None:
        """Listen, and look after the workers, for a moment."""
        self._listen(TURN)
        now = time.monotonic()
        elapsed, self._looked = now - self._looked, now
        for number, worker in enumerate(list(self._workers)):
            if worker.dismissed and worker.has_ended:
                self._let_go(worker)
            elif worker.due is None and worker.has_ended:
                self._bury(worker, now)
            elif worker.due is None:
                worker.judge(elapsed)
            elif now >= worker.due and not self._stopping:
                self._workers[number] = self._start(worker.number)
        self._tell_workers()
        self._tell_lags()

    def _listen(self, seconds: float) -> None:
        """Process the messages of the workers for this many seconds."""
        deadline = time.monotonic() + seconds
        with suppress(queue.Empty):
            while (rest := deadline - time.monotonic()) > 0:
                worker, message = self._inbox.get(timeout=rest)
                if message:  # else it has ended, which is seen elsewhere
                    self._take(worker, pickle.loads(message))

    def _bury(self, worker: Worker, now: float) -> None:
        """A worker has ended: its counts stay, and are gone on with; what it said of itself holds no longer."""
        kind, why = cause(worker.process.exitcode, worker.asked)
        telemetry.worker_ended(kind)
        worker.post.close()
        self._keep_counts(worker)
        # Another begins with the definitions that are in force then.
        worker.status = RELOADED
        self._asking = [one for one in self._asking if one is not worker]
        if worker.serves and worker.process.exitcode == REFUSED_STATUS:
            logger.critical("%s cannot serve, and says above why; the process ends", worker.told)
            self._give_up(worker, 1)
            return
        pause = self._restarts[worker.number].pause(now - worker.begun)
        if pause is None and not worker.serves:
            pause = LONGEST_PAUSE  # The servers go on without it.
        if pause is None:
            logger.critical("%s %s, as did those before it soon after their start; the process ends", worker.told, why)
            self._give_up(worker, FAILED_STATUS)
            return
        logger.error("%s %s; another is started in %g s", worker.told, why, pause)
        worker.due = now + pause

    def _let_go(self, worker: Worker) -> None:
        """It has ended as it was told to. What it has counted stays."""
        logger.info("%s has ended: nothing is left to do", worker.told)
        worker.post.close()
        self._keep_counts(worker)
        self._workers.remove(worker)
        self._start_processing()  # where a reload has declared something meanwhile

    def _give_up(self, worker: Worker, status: int) -> None:
        """End the process with this status, since a worker has ended and no other makes sense."""
        worker.due = float("inf")
        self._failure = status
        self._draining = True

    def _tell_workers(self) -> None:
        """Let all know which of them do not answer, and which are not there, where that has changed."""
        up = [worker for worker in self._workers if worker.due is None]
        silent = [worker.process.name for worker in up if worker.is_silent and worker.serves]
        down = [worker.process.name for worker in self._workers if worker.due is not None]
        # Nobody waits for the one that processes, and it is as good as ended.
        down += [worker.process.name for worker in up if worker.is_silent and not worker.serves]
        if self._told != (silent, down):
            self._told = silent, down
            self._tell_all(("workers", silent, down))

    def _tell_lags(self) -> None:
        """Let those who serve know how far derived streams are behind their sources, where that has changed."""
        lags: dict[str, int] = {}
        for worker in self._workers:
            if not worker.serves and worker.due is None and not worker.is_silent:
                lags |= telemetry.derive_lags(worker.figures)
        if self._lags != lags:
            self._lags = lags
            self._tell_all(("lags", lags))

    def _take(self, worker: Worker, said: tuple[Any, ...]) -> None:
        kind, *rest = said
        if kind == "alive":
            worker.beats += 1
            if worker.due is None:  # else its counts are among those of the ended
                worker.figures = rest[0]
            if worker.beats == 1 and any(self._told):
                self._send(worker, pickle.dumps(("workers", *self._told)))
            if worker.beats == 1 and worker.serves and self._lags:
                self._send(worker, pickle.dumps(("lags", self._lags)))
        elif kind == "figures":
            self._send(worker, pickle.dumps(("figures", rest[0], self._others(worker))))
        elif kind == "reload":
            if self._stopping:
                self._answer([worker], None)
            else:
                self._asking.append(worker)
        elif kind == "drain":
            self._draining = True
        elif kind == "connections":
            self._tell_all(("list", worker.number, *rest))
            for other in self._servers():
                if other.due is not None or other.has_ended or other.is_silent:
                    self._send(worker, pickle.dumps(("rows", other.number, rest[0], ([], 0))))
        elif kind == "rows":
            asker, *table = rest
            self._send(self._workers[asker], pickle.dumps(("rows", worker.number, *table)))
        elif rest[0] == self._serial:
            worker.status = rest[1]

    def _others(self, asker: Worker) -> list[Figures]:
        """The figures of all processes but one; of those that do not answer the counts alone."""
        return [telemetry.own_counts(), *self._figures([one for one in self._workers if one is not asker])]

    def _figures(self, workers: list[Worker]) -> list[Figures]:
        """The figures of these, and what those that have ended have counted. Called from any thread."""
        with self._counting:
            told = [Figures(one.figures.counts) if one.is_silent else one.figures for one in workers]
            return [Figures(dict(self._ended.counts)), *told]

    def _keep_counts(self, worker: Worker) -> None:
        with self._counting:
            self._ended.add_counts(worker.figures)
            worker.figures = Figures()

    def _servers(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.serves]

    def _tell_all(self, message: tuple[object, ...]) -> None:
        """Tell those who serve."""
        for worker in self._servers():
            self._send(worker, pickle.dumps(message))

    def _send(self, worker: Worker, message: bytes) -> None:
        if worker.due is None and not worker.post.send(message):
            logger.error("%s reads no messages, and is killed", worker.told)
            worker.kill()

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
            logger.exception("nothing was reloaded, by an internal error")
            self._answer(asking, None)
            return
        self._reloader.take(found)
        self._declared = found.declared
        document = {**found.document, "workers": self._hand_over()}
        self._start_processing()
        self._dismiss_processing()
        tell(document)
        self._answer(asking, document)

    def _hand_over(self) -> list[str]:
        """Give the definitions to all workers; how each of them did, first those that serve."""
        self._serial += 1
        messages = {serves: pickle.dumps(("take", self._serial, self._share(serves))) for serves in (True, False)}
        for worker in self._workers:
            if worker.due is None:
                worker.status = ""
                self._send(worker, messages[worker.serves])
        deadline = time.monotonic() + RELOAD_WAIT
        while not self._stopping and time.monotonic() < deadline:
            # One that was started meanwhile began with them.
            if all(worker.status for worker in self._workers):
                break
            self._turn()
        statuses = {worker.told: worker.status or "has not answered" for worker in self._workers}
        for told, status in statuses.items():
            if status != RELOADED:
                logger.error("%s was not reloaded: %s", told, status)
        return list(statuses.values())

    def _answer(self, asking: list[Worker], answer: object) -> None:
        message = pickle.dumps(("answer", answer))
        for worker in asking:
            self._send(worker, message)

    def _stop(self) -> int:
        """End all in order, and report what they tell until then; returns the exit status."""
        # The interpreter gives up its handlers before it ends.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for worker in self._workers:
            worker.terminate()
            if worker.is_silent:
                worker.kill()
        deadline = time.monotonic() + self._settings.drain_time + STOP_SECONDS
        running = self._wait_for(self._workers, lambda: len(self._signals) > 1 or time.monotonic() > deadline)
        for worker in running:
            logger.warning("%s has not ended yet, and is killed", worker.told)
            worker.kill()
        deadline = time.monotonic() + KILL_SECONDS
        for worker in self._wait_for(running, lambda: time.monotonic() > deadline):
            logger.error("%s was killed, and does not end%s", worker.told, worker.state)
        if self._failure:
            return self._failure
        return 128 + self._signals[-1] if len(self._signals) > 1 else 0

    def _wait_for(self, workers: list[Worker], enough: Callable[[], bool]) -> list[Worker]:
        """Listen until they have ended, or it is enough; returns those that have not."""
        while (running := [worker for worker in workers if not worker.has_ended]) and not enough():
            self._listen(LOOK_SECONDS)
        return running

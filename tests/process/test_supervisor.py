"""The supervisor and its workers, each end of the line by itself."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any, cast

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, RestartNeeded
from gateway.observability import telemetry
from gateway.observability.figures import Figures
from gateway.process import supervisor as supervisor_module
from gateway.process.processing import Declared
from gateway.process.reload import Found, Reloader
from gateway.process.restarts import MOST_EARLY_ENDS, REFUSED_STATUS
from gateway.process.supervisor import FAILED_STATUS, Supervisor
from gateway.process.worker import GRACE_SECONDS, PROCESSING, STACKS_SECONDS, START_SECONDS, TURN, Worker
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.process.kit import GAUGE, KEY, PATIENCE, declared, definitions


class FakeProcess:
    """A process that lives until it is killed, or `exitcode` is set."""

    def __init__(self, number: int, serves: bool) -> None:
        self.name = f"worker-{number}" if serves else PROCESSING
        self.pid = None
        self.exitcode: int | None = None

    def is_alive(self) -> bool:
        return self.exitcode is None

    def kill(self) -> None:
        self.exitcode = -signal.SIGKILL

    def terminate(self) -> None:
        self.exitcode = 0


class FakeReloader:
    """Finds what it is told to find."""

    def __init__(self, outcome: Definitions | Exception) -> None:
        self.outcome = outcome

    def read(self) -> Found:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        nothing: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
        settings: dict[str, list[str]] = {"changed": [], "restart": []}
        document = {
            "streams": nothing,
            "schemas": nothing,
            "rules": nothing,
            "views": nothing,
            "settings": settings,
            "warnings": [],
        }
        return Found(Settings(), self.outcome, document)

    def take(self, found: Found) -> None:
        assert found.definitions is self.outcome


class Supervised(Supervisor):
    """A supervisor of workers that are this test: it starts no processes, and has the other ends of the lines."""

    def __init__(self, outcome: Definitions | Exception, count: int, **settings: Any) -> None:
        given = Settings(workers=count, **settings)
        super().__init__(given, declared("old"), cast(Reloader, FakeReloader(outcome)), lambda *_: None)
        self.lines: dict[int, Connection] = {}
        self.started: list[int] = []
        self._workers = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> Worker:
        ours, self.lines[number] = multiprocessing.Pipe()
        self.started.append(number)
        assert number <= self._settings.workers
        worker = self._connect(
            number, cast(Any, FakeProcess(number, number < self._settings.workers)), ours, self._first(number)
        )
        first = self.lines[number].recv()
        taken = first if worker.serves else first.definitions
        assert list(taken.catalog.streams) == list(self._declared.definitions.catalog.streams)
        return worker

    def process(self, number: int) -> FakeProcess:
        return cast(FakeProcess, self._workers[number].process)

    def alive(self, number: int, figures: Figures | None = None) -> None:
        """A worker tells that it lives."""
        self._take(self._workers[number], ("alive", figures or Figures()))

    def judge(self, number: int, seconds: float) -> None:
        """Look at a worker for so long."""
        for _ in range(round(seconds / TURN)):
            self._workers[number].judge(TURN)


def answering(line: Connection, *statuses: str, late: int = 0) -> tuple[threading.Thread, list[Any]]:
    """A worker that answers so to each message (or to one so much before), and keeps what was said to it."""
    heard: list[Any] = []

    def run() -> None:
        for status in statuses:
            kind, serial, taken = line.recv()
            heard.append((kind, list(taken.catalog.streams)))
            line.send(("taken", serial - late, status))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, heard


@pytest.mark.long
def test_every_worker_gets_the_same_and_the_answer_tells_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "RELOAD_WAIT", 3.0)
    supervisor = Supervised(definitions("new"), 4)
    lines = supervisor.lines
    # The third hangs; the fourth answers a question that was asked before.
    workers = [
        answering(lines[0], "reloaded"),
        answering(lines[1], "KeyError: 'x'"),
        answering(lines[3], "reloaded", late=1),
    ]
    lines[0].send(("reload",))
    supervisor._listen(0.3)
    supervisor._reload()
    for thread, heard in workers:
        thread.join(PATIENCE)
        assert heard == [("take", ["new"])]
    kind, answer = lines[0].recv()
    assert kind == "answer"
    assert answer["workers"] == ["reloaded", "KeyError: 'x'", "has not answered", "has not answered"]
    assert list(supervisor._declared.definitions.catalog.streams) == ["new"]
    assert not lines[1].poll()


@pytest.mark.parametrize("error", [ConfigurationError(["a:1: x"]), RestartNeeded(["a:2: y"]), ZeroDivisionError()])
def test_no_worker_hears_of_what_is_broken(error: Exception) -> None:
    supervisor = Supervised(error, 2)
    lines = supervisor.lines
    lines[0].send(("reload",))
    supervisor._listen(0.3)
    supervisor._reload()
    assert lines[0].poll(PATIENCE)
    kind, answer = lines[0].recv()
    assert kind == "answer"
    if isinstance(error, ConfigurationError):
        assert (type(answer), answer.mistakes) == (type(error), error.mistakes)
    else:
        assert answer is None
    assert not lines[1].poll()
    assert list(supervisor._declared.definitions.catalog.streams) == ["old"]


def test_a_worker_that_hangs_is_killed_and_its_gauges_end_before() -> None:
    supervisor = Supervised(definitions("new"), 2, stall_limit=10)
    supervisor.alive(0)
    supervisor.alive(1, Figures({KEY: 4.0}, {GAUGE: 2.0}))
    told = supervisor._others(supervisor._workers[0])
    assert told[-1].gauges == {GAUGE: 2.0}
    supervisor.judge(1, 4)
    supervisor._tell_workers()
    assert supervisor.lines[0].recv() == ("workers", ["worker-1"], [])
    told = supervisor._others(supervisor._workers[0])
    assert (told[-1].counts, told[-1].gauges) == ({KEY: 4.0}, {})
    supervisor.judge(1, 10 + GRACE_SECONDS - 4 - TURN)
    assert supervisor.process(1).is_alive()
    supervisor.judge(1, STACKS_SECONDS + 3 * TURN)
    assert not supervisor.process(1).is_alive()
    supervisor._bury(supervisor._workers[1], 100.0)
    assert supervisor._ended.counts == {KEY: 4.0}
    assert supervisor._others(supervisor._workers[0])[-1].counts == {}


def test_a_worker_that_beats_is_left_alone_and_time_in_which_nobody_looked_is_not_counted() -> None:
    supervisor = Supervised(definitions("new"), 1, stall_limit=10)
    for _ in range(10):
        supervisor.alive(0)
        supervisor.judge(0, 9)
    # All of it was stopped, or the machine slept.
    supervisor._workers[0].judge(3600)
    supervisor.judge(0, 2)
    assert supervisor.process(0).is_alive()


def test_a_worker_may_take_long_to_start_and_not_for_ever() -> None:
    supervisor = Supervised(definitions("new"), 1, stall_limit=10)
    supervisor.judge(0, START_SECONDS - 1)
    assert not supervisor._workers[0].is_silent
    assert supervisor.process(0).is_alive()
    supervisor.judge(0, 1 + STACKS_SECONDS + 3 * TURN)
    assert not supervisor.process(0).is_alive()


def test_without_a_limit_nobody_is_killed() -> None:
    supervisor = Supervised(definitions("new"), 1, stall_limit=0)
    supervisor.alive(0)
    supervisor.judge(0, 1000)
    assert supervisor.process(0).is_alive()
    assert supervisor._workers[0].is_silent


def test_a_worker_that_takes_nothing_is_killed() -> None:
    supervisor = Supervised(definitions("new"), 1)
    # Nobody reads at the other end: a message fills the pipe, and others wait.
    for _ in range(200):
        supervisor._send(supervisor._workers[0], bytes(1 << 20))
    assert not supervisor.process(0).is_alive()


def test_a_worker_that_ended_is_started_again_while_others_are_served() -> None:
    supervisor = Supervised(definitions("new"), 2)
    supervisor.process(1).exitcode = -signal.SIGBUS
    supervisor._turn()
    # In the pause all goes on, and for the one that is not there the supervisor answers.
    supervisor.lines[0].send(("connections", 7, "since", 10))
    supervisor._turn()
    heard_of = [supervisor.lines[0].recv() for _ in range(3)]
    assert ("workers", [], ["worker-1"]) in heard_of
    assert ("rows", 1, 7, ([], 0)) in heard_of
    assert supervisor.started == [0, 1]
    supervisor._workers[1].due = 0.0
    supervisor._turn()
    assert supervisor.started == [0, 1, 1]
    assert supervisor.process(1).is_alive()


@pytest.mark.long
def test_workers_that_end_again_and_again_end_the_process() -> None:
    supervisor = Supervised(definitions("new"), 2)
    starts = 0
    while not supervisor._stopping:
        supervisor.process(1).exitcode = 1
        supervisor._turn()
        supervisor._workers[1].due = 0.0
        supervisor._turn()
        starts += 1
        assert starts <= MOST_EARLY_ENDS
    assert starts == MOST_EARLY_ENDS
    assert supervisor._failure == FAILED_STATUS


def test_a_worker_that_cannot_serve_ends_the_process_at_once() -> None:
    supervisor = Supervised(definitions("new"), 2)
    supervisor.process(1).exitcode = REFUSED_STATUS
    supervisor._turn()
    assert supervisor._stopping
    assert supervisor._failure == 1
    assert supervisor.started == [0, 1]


def test_those_that_end_report_until_then() -> None:
    supervisor = Supervised(definitions("new"), 3)
    supervisor.alive(1, Figures({KEY: 2.0}, {GAUGE: 1.0}))
    supervisor.process(2).exitcode = 0
    line = supervisor.lines[0]
    for question in (("drain",), ("reload",), ("figures", 1), ("connections", 1, "lag", 10)):
        line.send(question)
    heard: list[Any] = []
    deadline = time.monotonic() + PATIENCE
    while len(heard) < 4 and time.monotonic() < deadline:
        supervisor._wait_for(supervisor._workers[:1], line.poll)
        heard.append(line.recv())
    answers = {kind: rest for kind, *rest in heard}
    assert answers["answer"] == [None]
    assert any(figures.gauges for figures in answers["figures"][1])
    assert answers["list"] == [0, 1, "lag", 10]
    assert answers["rows"] == [2, 1, ([], 0)]
    assert supervisor._stopping
    assert supervisor._signals == []


class Processed(Supervised):
    """A supervisor of servers, and of the one that derives streams and runs rules."""

    def __init__(self, count: int = 1, **settings: Any) -> None:
        super().__init__(definitions("new"), count, **settings)
        self._process = lambda *_: None
        derived = Catalog([Stream("a", ("a",)), Stream("b", ("b",), derive=Derivation(("a",)))])
        self._declared = Declared(Definitions(derived, SchemaRepository([])), ())
        self._start_processing()


def test_the_one_that_processes_is_started_where_there_is_something_to_do() -> None:
    assert Processed().started == [0, 1]
    supervisor = Supervised(definitions("new"), 1)
    supervisor._process = lambda *_: None
    supervisor._start_processing()
    assert supervisor.started == [0]
    # A reload may declare the first, and later others.
    supervisor._declared = Processed()._declared
    for _ in range(2):
        supervisor._start_processing()
    assert supervisor.started == [0, 1]
    off = Supervised(definitions("new"), 1)
    off._declared = supervisor._declared
    off._start_processing()
    assert off.started == [0]


def test_the_one_that_processes_is_started_again_for_ever_and_the_servers_are_ready() -> None:
    supervisor = Processed()
    pauses = []
    for _ in range(MOST_EARLY_ENDS + 2):
        supervisor.process(1).exitcode = 1
        supervisor._bury(supervisor._workers[1], 0.0)
        pauses.append(supervisor._workers[1].due)
        supervisor._tell_workers()
        supervisor._workers[1] = supervisor._start(1)
    assert pauses == [1, 2, 4, 8, 16, *[30] * (MOST_EARLY_ENDS - 3)]
    assert not supervisor._stopping
    assert supervisor.lines[0].recv() == ("workers", [], ["processing"])


def test_servers_know_how_far_derived_streams_are_behind() -> None:
    supervisor = Processed(stall_limit=10)
    gauges = {("gateway_derive_lag_seconds",) * 2 + ((("stream", "a"),),): 61.7, ("other", "other", ()): 1.0}
    supervisor.alive(0)
    supervisor._take(supervisor._workers[1], ("alive", Figures(gauges=gauges)))
    for _ in range(3):
        supervisor._tell_lags()
    assert supervisor.lines[0].recv() == ("lags", {"a": 62})
    assert not supervisor.lines[0].poll(0.1)
    # Another server learns of it at its first beat; of one that hangs nothing is known.
    supervisor._workers[0].beats = 0
    supervisor.alive(0)
    assert supervisor.lines[0].recv() == ("lags", {"a": 62})
    supervisor.judge(1, 6)
    supervisor._tell_lags()
    assert supervisor.lines[0].recv() == ("lags", {})


def test_one_that_processes_and_hangs_is_told_as_away_and_killed() -> None:
    supervisor = Processed(stall_limit=10)
    supervisor.alive(0)
    supervisor.alive(1)
    supervisor.judge(1, 4)
    supervisor._tell_workers()
    assert supervisor.lines[0].recv() == ("workers", [], ["processing"])
    supervisor.judge(1, 10 + GRACE_SECONDS + STACKS_SECONDS)
    assert not supervisor.process(1).is_alive()


def test_the_one_that_processes_has_no_connections_and_is_not_asked() -> None:
    supervisor = Processed()
    supervisor._take(supervisor._workers[0], ("connections", 7, "since", 10))
    assert supervisor.lines[0].recv() == ("list", 0, 7, "since", 10)
    supervisor._workers[1].due = 0.0
    supervisor._take(supervisor._workers[0], ("connections", 8, "since", 10))
    assert supervisor.lines[0].recv() == ("list", 0, 8, "since", 10)
    assert not supervisor.lines[0].poll(0.1)
    assert not supervisor.lines[1].poll()


def test_the_counts_of_the_one_that_processes_are_among_all() -> None:
    supervisor = Processed()
    supervisor.alive(1, Figures({KEY: 4.0}))
    assert supervisor._others(supervisor._workers[0])[-1].counts == {KEY: 4.0}
    figures = telemetry.labelled_figures()
    # It serves nobody: that its log answers is for the servers to say, and the lowest value counts.
    assert figures.counts.keys() == telemetry.own_counts().counts.keys()
    assert GAUGE not in figures.gauges


def test_a_reload_hands_the_rules_to_the_one_that_processes() -> None:
    supervisor = Processed()
    line, heard = supervisor.lines[1], []

    def answer() -> None:
        kind, serial, taken = line.recv()
        heard.append((kind, type(taken), list(taken.definitions.catalog.streams)))
        line.send(("taken", serial, "reloaded"))

    threads = [threading.Thread(target=answer), answering(supervisor.lines[0], "reloaded")[0]]
    threads[0].start()
    supervisor._reload()
    for thread in threads:
        thread.join(PATIENCE)
    assert heard == [("take", Declared, ["new"])]
    assert [worker.status for worker in supervisor._workers] == ["reloaded", "reloaded"]

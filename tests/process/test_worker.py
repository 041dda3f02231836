"""Workers whose status is lost, and workers that nothing ends: the supervisor sees the one, and waits for neither."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gateway.process import supervisor as supervisor_module
from gateway.process.supervisor import STOP_SECONDS
from gateway.process.worker import Worker
from tests.process.kit import PATIENCE, definitions
from tests.process.test_supervisor import Supervised


class Believed:
    """A process that `multiprocessing` takes to be alive for ever, as one whose status it cannot have."""

    def __init__(self, pid: int) -> None:
        self.name = "worker-0"
        self.pid = pid
        self.exitcode = None
        self.signals: list[str] = []

    def is_alive(self) -> bool:
        return True

    def terminate(self) -> None:
        self.signals.append("terminate")

    def kill(self) -> None:
        self.signals.append("kill")


@pytest.fixture
def hanging_up() -> Iterator[None]:
    """A stop ignores SIGHUP from then on."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def started(*command: str) -> int:
    return os.posix_spawn(command[0], command, os.environ)


def running() -> int:
    """A process that runs until it is killed."""
    return started(sys.executable, "-c", "import signal; signal.pause()")


def worker_of(pid: int) -> tuple[Worker, Believed]:
    process = Believed(pid)
    return Worker(0, cast(Any, process), True, 10), process


def test_a_worker_has_ended_though_somebody_else_has_taken_its_status() -> None:
    pid = running()
    worker, process = worker_of(pid)
    before = worker.has_ended
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (before, worker.has_ended) == (False, True)
    # The number may be another process's by now.
    worker.terminate()
    worker.kill()
    assert process.signals == []


def test_a_look_leaves_the_status_to_whom_it_belongs() -> None:
    pid = started("/bin/false")
    worker, _ = worker_of(pid)
    deadline = time.monotonic() + PATIENCE
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        assert time.monotonic() < deadline
    assert not worker.has_ended, "multiprocessing is to say how it has ended"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


@pytest.mark.usefixtures("hanging_up")
def test_a_stop_waits_for_no_status_that_is_lost() -> None:
    supervisor = Supervised(definitions("new"), 2)
    pid = started("/bin/true")
    os.waitpid(pid, 0)
    lost = supervisor._workers[1].process = cast(Any, Believed(pid))
    supervisor._signals.append(signal.SIGTERM)
    begun = time.monotonic()
    assert supervisor._stop() == 0
    assert time.monotonic() - begun < STOP_SECONDS
    assert lost.signals == []


@pytest.mark.usefixtures("hanging_up")
def test_a_stop_waits_for_nobody_whom_nothing_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_module, "KILL_SECONDS", 0.05)
    supervisor = Supervised(definitions("new"), 2)
    pid = running()
    held = supervisor._workers[1].process = cast(Any, Believed(pid))
    supervisor._signals += [signal.SIGINT, signal.SIGINT]
    try:
        assert supervisor._stop() == 128 + signal.SIGINT
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert held.signals == ["terminate", "kill"]
    told = [record.getMessage() for record in caplog.records]
    assert told == ["worker 1 has not ended yet, and is killed", "worker 1 was killed, and does not end"]


def test_a_worker_whose_status_is_lost_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervised(definitions("new"), 2)
    pid = started("/bin/true")
    os.waitpid(pid, 0)
    supervisor._workers[1].process = cast(Any, Believed(pid))
    supervisor._turn()
    assert supervisor._workers[1].due is not None
    assert "nobody knows how" in caplog.text
    supervisor._workers[1].due = 0.0
    supervisor._turn()
    assert supervisor.started == [0, 1, 1]

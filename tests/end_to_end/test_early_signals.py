"""A signal is heard from the first moment of a process, also where it is the first of its container."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.process import ROOT, WAIT, environment
from tests.services.kafka import free_port
from tests.speed import slowness

pytestmark = pytest.mark.end_to_end

MOMENTS = (0.05, 0.4, 1.5)
"""Seconds after the start: while modules are imported, and later."""


EARLY_SECONDS = 0.3
"""Of its own time a process has taken no more before it hears signals: what it serves with takes longer to import."""


def catches(process: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal by now. Where it has one for SIGTERM, its handlers are those of the
    gateway; before, the interpreter alone is there, which answers SIGINT as it likes."""
    status = Path(f"/proc/{process}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def send(process: subprocess.Popen[bytes], number: signal.Signals, hears: bool) -> None:
    """Send a signal to a process, which ends. The interpreter alone may pass over an interrupt, where one comes into
    what it takes no exception of; of that nothing is promised."""
    process.send_signal(number)
    if not hears:
        process.kill()


def seconds_of(process: int) -> float:
    """What a process has taken of the processors."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_child(process: int) -> int:
    """The process that another one starts, once it runs Python."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        if children and "python" in Path(f"/proc/{children[0]}/cmdline").read_text().partition("\0")[0]:
            return int(children[0])
        time.sleep(0.01)
    raise TimeoutError(process)


def command(directory: Path, *arguments: str) -> list[str]:
    ports = ["--port", str(free_port()), "--admin-port", str(free_port())]
    log = ["--log", f"sqlite:///{directory / 'events.db'}"]
    return [sys.executable, "-m", "gateway", "serve", *ports, *log, *arguments]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_ends_whenever_it_is_told(tmp_path: Path, number: signal.Signals, workers: int) -> None:
    for moment in MOMENTS:
        with subprocess.Popen(
            command(tmp_path, "--workers", str(workers), "--drain-time", "0.1"),
            cwd=ROOT,
            env=environment(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            time.sleep(moment)
            hears = catches(process.pid, signal.SIGTERM)
            send(process, number, hears)
            errors = process.communicate(timeout=WAIT)[1].decode()
        if hears:
            assert process.returncode in (0, 128 + number), (moment, errors)
            assert "Traceback" not in errors, (moment, errors)


def test_a_command_that_is_interrupted_while_it_starts_says_nothing(tmp_path: Path) -> None:
    for moment in (0.1, 0.4):
        with subprocess.Popen(
            [sys.executable, "-m", "gateway", "tail", "a", "--server", f"http://127.0.0.1:{free_port()}"],
            cwd=ROOT,
            env=environment(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            time.sleep(moment)
            hears = catches(process.pid, signal.SIGTERM)
            send(process, signal.SIGINT, hears)
            errors = process.communicate(timeout=WAIT)[1].decode()
        assert not hears or "Traceback" not in errors, (moment, errors)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_process_of_a_container_hears_it_too(tmp_path: Path, workers: int) -> None:
    """The system keeps from a first process the signals for which it has no handler."""
    inside = shlex.join(command(tmp_path, "--workers", str(workers), "--drain-time", "0.1"))
    early = EARLY_SECONDS * slowness()
    for moment in (0.0, 1.5):
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", f"exec {inside}"],
            cwd=ROOT,
            env=environment(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        child = first_child(process.pid)
        while not catches(child, signal.SIGTERM):
            assert seconds_of(child) < early
            time.sleep(0.01)
        time.sleep(moment)
        os.kill(child, signal.SIGTERM)
        errors = process.communicate(timeout=WAIT)[1].decode()
        assert process.returncode in (0, 128 + signal.SIGTERM), (moment, errors)
        assert "Traceback" not in errors

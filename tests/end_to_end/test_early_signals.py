"""A signal is heard from the first moment of a process, also where it is the first of its container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.process import ROOT, WAIT, environment
from tests.services.kafka import free_port

pytestmark = pytest.mark.end_to_end

MOMENTS = (0.05, 0.4, 1.5)
"""Seconds after the start: while modules are imported, and later."""


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
            process.send_signal(number)
            errors = process.communicate(timeout=WAIT)[1].decode()
        assert process.returncode in (0, 128 + number, -number), (moment, errors)
        assert "Traceback" not in errors, (moment, errors)
        if process.returncode < 0:
            assert moment < 0.3, "only the interpreter itself may not have been there yet"


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
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=WAIT)[1].decode()
        assert "Traceback" not in errors, (moment, errors)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_process_of_a_container_hears_it_too(tmp_path: Path, workers: int) -> None:
    """The system keeps from a first process the signals for which it has no handler."""
    inside = " ".join(command(tmp_path, "--workers", str(workers), "--drain-time", "0.1"))
    for moment in (0.5, 2.0):
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", f"exec {inside}"],
            cwd=ROOT,
            env=environment(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        time.sleep(moment)
        (child,) = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(child), signal.SIGTERM)
        errors = process.communicate(timeout=WAIT)[1].decode()
        assert process.returncode in (0, 128 + signal.SIGTERM), (moment, errors)
        assert "Traceback" not in errors

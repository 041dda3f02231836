"""What is asked of the kernel, of a profile, and of a compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtests import native
from loadtests.machine import MeasurementError, free_port, usage

ROOT = Path(__file__).parent.parent.parent

BURNING = """
import os, signal, sys, time
from pathlib import Path
from loadtests.sampling import Sampler

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))

Sampler(Path(sys.argv[1])).install()
os.kill(os.getpid(), signal.SIGUSR1)
burn(0.5)
os.kill(os.getpid(), signal.SIGUSR2)
"""


def test_the_cpu_of_a_process_is_known_to_the_nanosecond() -> None:
    before = time.process_time()
    found = usage(os.getpid())
    assert before <= found.cpu <= time.process_time()
    assert found.user >= 0
    assert found.system >= 0


@pytest.mark.long
def test_a_free_port_is_given_once_and_never_taken_by_a_connection() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)
    assert first < 20_000 or not any(first <= port <= last for port in ports)


@pytest.mark.long
def test_a_sampler_finds_the_function_that_burns(tmp_path: Path) -> None:
    file = tmp_path / "profile"
    subprocess.run([sys.executable, "-c", BURNING, str(file)], cwd=ROOT, check=True, timeout=60)
    samples = json.loads(file.read_text())
    assert samples.pop("__main__ burn") > 5 * sum(samples.values())


def test_without_a_compiler_there_is_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeasurementError, match="C compiler"):
        native.compiled("reader", "-shared")

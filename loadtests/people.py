"""Locust as a process, its people all of one kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from loadtests.machine import CLIENT_CORES, MeasurementError, Usage, usage
from loadtests.server import STREAM

STOP_SECONDS = 60
QUIET_SECONDS = 0.5
QUIET_PART = 0.1
"""People who use less of a core have nothing to do."""


class Locust:
    """So many browsers of locustfile.py, all arriving at once, on the clients' core."""

    def __init__(self, port: int, count: int, directory: Path) -> None:
        command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py")), "Browser"]
        command += ["--headless", "--json", "--users", str(count), "--spawn-rate", str(count)]
        command += ["--host", f"http://127.0.0.1:{port}", "--stream", STREAM]
        self._log = directory / "locust.log"
        with self._log.open("w") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        os.sched_setaffinity(self._process.pid, CLIENT_CORES[:1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def wait_until(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait while they come. Raises MeasurementError."""
        deadline = time.monotonic() + seconds
        while not done():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MeasurementError(f"Locust is not ready: {self._log.read_text()[-1000:]}")
            time.sleep(0.1)

    def settle(self, seconds: float) -> None:
        """Wait until they have nothing to read any more."""
        deadline, used = time.monotonic() + seconds, -1.0
        while self.usage().cpu - used > QUIET_PART * QUIET_SECONDS and time.monotonic() < deadline:
            used = self.usage().cpu
            time.sleep(QUIET_SECONDS)

    def usage(self) -> Usage:
        """CPU seconds."""
        return usage(self._process.pid)

    def events(self) -> int:
        """End it; how many events its people have had, each of them in order. Raises MeasurementError."""
        self._process.terminate()
        try:
            output, _ = self._process.communicate(timeout=STOP_SECONDS)
            entries: list[dict[str, Any]] = json.loads(output)
        except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
            raise MeasurementError(f"Locust does not tell what it had: {error}") from error
        if faults := sum(entry["num_failures"] for entry in entries):
            raise MeasurementError(f"Locust tells of {faults} faults")
        return sum(entry["num_requests"] for entry in entries if entry["method"] == "event")

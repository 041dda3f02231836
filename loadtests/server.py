"""What is measured: the gateway, or the floor, as a process of its own on a core of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from loadtests import sampling
from loadtests.derived import write_schema
from loadtests.machine import (
    SERVER_CORE,
    MeasurementError,
    Usage,
    bytes_read,
    family,
    free_port,
    resident,
    usage,
)
from loadtests.native import compiled

START_SECONDS = 60
ANSWER_SECONDS = 30
STOP_SECONDS = 15
STREAM = "load"
PATH = f"/v2/stream/{STREAM}"
_COUNTER = re.compile(r"^(gateway_\w+(?:\{.*\})?) ([0-9.e+-]+)$", re.MULTILINE)


class Server:
    """A running server, on the cores that it is given."""

    def __init__(
        self, name: str, command: Sequence[str], port: int, directory: Path, cores: Collection[int] = (SERVER_CORE,)
    ) -> None:
        self.name = name
        self.port = port
        self.log = directory / f"{port}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        os.sched_setaffinity(self.process.pid, cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def wait_until_ready(self, path: str) -> None:
        """Wait until a request for the path is answered with 200."""
        deadline = time.monotonic() + START_SECONDS
        answer = "nothing"
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                answer = str(get(self.port, path)[0])
                if answer == "200":
                    return
            except OSError as error:
                answer = str(error)
            time.sleep(0.1)
        self.__exit__()
        raise MeasurementError(f"{self.name} did not start ({answer}):\n{self.log.read_text()[-2000:]}")

    def usage(self) -> Usage:
        """CPU seconds of the process and its children."""
        return sum((usage(pid) for pid in family(self.process.pid)), Usage())

    def usages(self) -> list[Usage]:
        """CPU seconds of the process, and of each of its children."""
        return [usage(pid) for pid in family(self.process.pid)]

    def cpu(self) -> float:
        """Seconds of CPU that the process and its children have used."""
        return self.usage().cpu

    def memory(self) -> int:
        """Resident bytes of the process and its children."""
        return sum(resident(pid) for pid in family(self.process.pid))

    def bytes_read(self) -> int:
        """Bytes that the process and its children have read from files."""
        return sum(bytes_read(pid) for pid in family(self.process.pid))

    def counters(self) -> dict[str, float]:
        """What the server counts of itself."""
        return {}

    def begin_profile(self) -> None:
        """Begin to tell where its CPU goes."""

    def end_profile(self) -> dict[str, dict[str, float]]:
        """Where it went since: parts of the CPU (%) by function of `python`, and of the `kernel`."""
        return {}


class Gateway(Server):
    """`gateway serve` with one stream, and `streams` that are made of it, as YAML; their rows are of the schema `row`.
    `settings` are flags of its command line."""

    def __init__(
        self,
        log: str,
        flush_interval: float,
        directory: Path,
        topic: str = STREAM,
        settings: Sequence[str] = (),
        cores: Collection[int] = (SERVER_CORE,),
        profiled: bool = False,
        streams: str = "",
    ) -> None:
        self._profile = directory / f"profile-{time.time_ns()}" if profiled else None
        config = directory / "gateway.yaml"
        config.write_text(f"streams:\n  {STREAM}:\n    topics: [{topic}]\n{streams}")
        if streams:
            settings = [*settings, "--schemas", str(write_schema(directory))]
        port, self._admin_port = free_port(), free_port()
        program = [sampling.__name__, str(self._profile)] if self._profile else ["gateway"]
        command = [sys.executable, "-m", *program, "serve", "--log", log, "--config", str(config)]
        command += ["--port", str(port), "--admin-port", str(self._admin_port)]
        command += ["--flush-interval", str(flush_interval), *settings]
        super().__init__(f"gateway, {flush_interval * 1000:g} ms", command, port, directory, cores)
        self.wait_until_ready("/readyz")

    def counters(self) -> dict[str, float]:
        """The metrics; of several workers, those of the first."""
        with suppress(OSError):
            _, text = get(self._admin_port, "/metrics")
            return {name: float(value) for name, value in _COUNTER.findall(text)}
        return {}

    def begin_profile(self) -> None:
        """See Server."""
        if self._profile is not None:
            self.process.send_signal(signal.SIGUSR1)
            self._perf = sampling.Perf(self.process.pid, self._profile.with_suffix(".perf"))

    def end_profile(self) -> dict[str, dict[str, float]]:
        """See Server."""
        if self._profile is None:
            return {}
        self.process.send_signal(signal.SIGUSR2)
        kernel = self._perf.parts()
        deadline = time.monotonic() + STOP_SECONDS
        while not self._profile.exists():
            if time.monotonic() > deadline:
                raise MeasurementError("the server does not tell where its CPU went")
            time.sleep(0.02)
        samples: dict[str, int] = json.loads(self._profile.read_text())
        total = sum(samples.values()) or 1
        return {"python": {name: 100 * count / total for name, count in samples.items()}, "kernel": kernel}


class Floor(Server):
    """The C program. It makes its events itself, after `go`."""

    def __init__(self, events: int, rate: int, flush_interval: float, directory: Path) -> None:
        port = free_port()
        command = [str(compiled("floor")), str(port), str(events), str(rate), str(round(flush_interval * 1000))]
        super().__init__(f"floor, {flush_interval * 1000:g} ms", command, port, directory)
        self.wait_until_ready(PATH)

    def go(self) -> None:
        """Begin."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()


def get(port: int, path: str) -> tuple[int, str]:
    """The status of an answer, and its text where it is one that ends. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        streams = answer.getheader("content-type", "").startswith("text/event-stream")
        return answer.status, "" if streams else answer.read().decode()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()

"""What is measured: the gateway, or the floor, as a process of its own on a core of its own."""

from __future__ import annotations

import http.client
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from loadtests.client import MeasurementError

# One core for the server, another for clients and producer (the same where there is only one).
SERVER_CORE = min(os.sched_getaffinity(0))
CLIENT_CORE = max(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30
STREAM = "load"
PATH = f"/v2/stream/{STREAM}"


def allow_files(count: int) -> None:
    """Raise the bound of open files, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise MeasurementError(f"{count} open files are needed, and only {hard} allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server."""

    def __init__(self, name: str, command: list[str], port: int, directory: Path) -> None:
        self.name = name
        self.port = port
        self.log = directory / f"{port}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        os.sched_setaffinity(self.process.pid, {SERVER_CORE})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_until_ready(self, path: str) -> None:
        """Wait until a request for the path is answered with 200."""
        deadline = time.monotonic() + START_SECONDS
        answer = "nothing"
        while time.monotonic() < deadline and self.process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            try:
                connection.request("GET", path)
                answer = str(connection.getresponse().status)
                if answer == "200":
                    return
            except OSError as error:
                answer = str(error)
            finally:
                connection.close()
            time.sleep(0.1)
        raise MeasurementError(f"{self.name} did not start ({answer}):\n{self.log.read_text()[-2000:]}")

    def cpu(self) -> float:
        """Seconds of CPU that the process and its children have used."""
        return sum(cpu(pid) for pid in _family(self.process.pid))

    def memory(self) -> int:
        """Resident bytes of the process and its children."""
        return sum(_resident(pid) for pid in _family(self.process.pid))


class Gateway(Server):
    """`gateway serve` with one stream."""

    def __init__(self, log: str, flush_interval: float, directory: Path, topic: str = STREAM) -> None:
        config = directory / "gateway.yaml"
        config.write_text(f"streams:\n  {STREAM}:\n    topics: [{topic}]\n")
        port = free_port()
        command = [sys.executable, "-m", "gateway", "serve", "--log", log, "--config", str(config)]
        command += ["--port", str(port), "--admin-port", "0", "--flush-interval", str(flush_interval)]
        super().__init__(f"gateway, {flush_interval * 1000:g} ms", command, port, directory)
        self.wait_until_ready("/readyz")


class Floor(Server):
    """The C program. It makes its events itself, after `go`."""

    def __init__(self, events: int, rate: int, flush_interval: float, directory: Path) -> None:
        program = directory / "floor"
        if not program.exists():
            compiler = shutil.which("cc") or shutil.which("gcc")
            if compiler is None:
                raise MeasurementError("the floor needs a C compiler (or --no-floor)")
            subprocess.run([compiler, "-O2", "-o", program, Path(__file__).with_name("floor.c")], check=True)
        port = free_port()
        command = [str(program), str(port), str(events), str(rate), str(round(flush_interval * 1000))]
        super().__init__(f"floor, {flush_interval * 1000:g} ms", command, port, directory)
        self.wait_until_ready(PATH)

    def go(self) -> None:
        """Begin."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()


def cpu(pid: int) -> float:
    """Seconds of CPU, user and system, of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]

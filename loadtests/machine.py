"""What the kernel says of processes, cores and this machine."""

from __future__ import annotations

import ipaddress
import os
import platform
import random
import resource
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CORES = len(os.sched_getaffinity(0))
SERVER_CORE = min(os.sched_getaffinity(0))
"""The core of the server; clients, producer and broker have the others (the same where there is only one)."""
CLIENT_CORES = sorted(os.sched_getaffinity(0) - {SERVER_CORE}) or [SERVER_CORE]
FIRST_PORT = 10_000
"""Of those that `free_port` gives: servers that everybody knows are below."""
_given_ports: set[int] = set()
TICKS = os.sysconf("SC_CLK_TCK")
_IDLE_COLUMNS = (3, 4)
_CPU_CLOCK = 2
"""With the complement of a process's id above it, the clock of all that the process has run (clock_getcpuclockid)."""


HALT_SECONDS = 10.0


def halt(pid: int) -> None:
    """Stop a process (SIGSTOP). Returns once none of its threads runs: they may go on until the one that is to take the
    signal is given a core. Raises TimeoutError."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + HALT_SECONDS
    while not all(_state(thread) in "TZX" for thread in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} did not stop within {HALT_SECONDS:g} s")
        time.sleep(0.001)


def _state(thread: Path) -> str:
    """As in proc(5), behind the name in parentheses; X for one that has ended meanwhile."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


class MeasurementError(Exception):
    """The measurement is worth nothing: what was measured did not do its work."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds. `waited` is the time that a thread could have run, and something else had its core."""

    user: float = 0.0
    system: float = 0.0
    waited: float = 0.0

    @property
    def cpu(self) -> float:
        """User and system."""
        return self.user + self.system

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.user + other.user, self.system + other.system, self.waited + other.waited)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.user - other.user, self.system - other.system, self.waited - other.waited)


def usage(pid: int) -> Usage:
    """Of all threads of a process, also of those that have ended. The ticks of /proc tell only user from system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    waited = sum(int(thread.read_text().split()[1]) for thread in threads) / 1e9
    user, system = int(fields[11]), int(fields[12])
    cpu = time.clock_gettime(~pid << 3 | _CPU_CLOCK)
    part = user / (user + system) if user + system else 1.0
    return Usage(cpu * part, cpu * (1 - part), waited)


def own_usage() -> tuple[float, float]:
    """Seconds that this thread ran, and that it waited for its core."""
    ran, waited, _ = Path("/proc/thread-self/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def resident(pid: int) -> int:
    """Bytes of memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def bytes_read(pid: int) -> int:
    """By read and sendfile, from files also where the page was in memory; not what came by recv."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def busy(core: int | None = None) -> float:
    """Seconds in which a core did anything, interrupts included; None is all cores together."""
    name = "cpu" if core is None else f"cpu{core}"
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.split()[0] == name)
    # The last two columns, guests, are counted in the first two.
    columns = [int(column) for column in line.split()[1:9]]
    return sum(value for index, value in enumerate(columns) if index not in _IDLE_COLUMNS) / TICKS


def allow_files(count: int) -> None:
    """Raise the bound of open files, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard == resource.RLIM_INFINITY else max(hard, count)
    try:
        # Beyond the hard limit only root gets.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), most))
    except (OSError, ValueError) as error:
        raise MeasurementError(f"{count} open files are needed, and only {hard} allowed (ulimit -Hn)") from error


def allowed_files() -> int:
    """Files that a process may open at the most, once it has raised its bound."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def kernel_memory() -> int:
    """Bytes that the kernel holds for itself: its objects, and what sockets hold unread and unsent."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    slab = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Slab:"))
    sockets = Path("/proc/net/sockstat").read_text().split("TCP:")[1].split("mem ")[1].split()[0]
    return slab + int(sockets) * os.sysconf("SC_PAGESIZE")


def free_port() -> int:
    """A port that nobody uses now, another one each time.

    It is below those that the kernel gives to connections: one of these may have it before the server that it is for.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # Of processes that test side by side, each has ports of its own: one that is given out need not be bound yet.
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    candidates = sorted(set(range(FIRST_PORT + int(worker[2:]), first, int(workers))) - _given_ports)
    for port in random.SystemRandom().sample(candidates, min(len(candidates), 100)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given_ports.add(port)
            return port
    # The range begins so low that there are none below it.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def loopback_only(hosts: str) -> str:
    """`host:port,…` again. Raises MeasurementError for anything but this machine: no load leaves it."""
    for address in hosts.split(","):
        host, _, port = address.rpartition(":")
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            raise MeasurementError(f"{address} is no host:port of this machine ({error})") from error
        if not all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found):
            raise MeasurementError(f"{host} is not this machine: the load tests talk to loopback only")
    return hosts


def describe() -> dict[str, str | int]:
    """The machine, for the reader of a report."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": CORES,
        "memory_gb": round(memory / 1e6),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }

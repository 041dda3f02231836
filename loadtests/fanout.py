"""What the gateway costs on this machine, beside a C program that sends the same bytes (floor.c).

    python -m loadtests.fanout --clients 1000 --rate 100 1000 --seconds 10 --flush-interval 0.02 0.1
    python -m loadtests.fanout idle --connections 5000
    python -m loadtests.fanout replay --events 500000 [--log kafka://127.0.0.1:9092]

The server has one core, clients and producer another. Events are 1.2 KB. Each client's events are counted, and those
of some are checked one by one: a run with a gap or a repetition is a failed one (exit status 1). A table comes first,
then a line of JSON. `client percent` near 100 means that the clients were the bottleneck.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.client import Clients, MeasurementError
from loadtests.produce import loopback_hosts
from loadtests.server import CLIENT_CORE, PATH, STREAM, Floor, Gateway, Server, allow_files

SAMPLED = 20
CONNECT_SECONDS = 120
LATE_SECONDS = 30
SETTLE_SECONDS = 2
WARM_CONNECTIONS = 100
SLOWEST_APPEND = 5000


@dataclass(frozen=True, slots=True)
class Fanout:
    """Every event to every client."""

    server: str
    clients: int
    rate: int
    deliveries: int
    deliveries_per_second: float
    cpu_us_per_delivery: float
    p50_ms: float
    p99_ms: float
    server_percent: float
    client_percent: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Connections on which nothing happens."""

    server: str
    connections: int
    before_mb: float
    after_mb: float
    kb_per_connection: float


@dataclass(frozen=True, slots=True)
class Replay:
    """History to one client."""

    server: str
    events: int
    seconds: float
    events_per_second: float
    mb_per_second: float
    cpu_us_per_event: float
    client_percent: float


class Producer:
    """The producing process."""

    def __init__(self, log: str, topic: str, events: int, rate: int) -> None:
        command = [sys.executable, "-m", "loadtests.produce", log, topic, str(events), str(rate)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def go(self) -> None:
        """Begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        """Until the log has all."""
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if said != word:
            raise MeasurementError(f"the producer said {said!r} and not {word!r}")


class Stopwatch:
    """Wall time, and the CPU time of a server and of this process, since it was made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._start, self._cpu, self._own = time.monotonic(), server.cpu(), time.process_time()

    def read(self) -> tuple[float, float, float]:
        """Seconds, the server's CPU seconds, and this process's CPU as a part of a core in percent."""
        seconds = time.monotonic() - self._start
        return seconds, self._server.cpu() - self._cpu, 100 * (time.process_time() - self._own) / seconds


def check(clients: Clients, events: int) -> None:
    """Each client must have had each event once."""
    faults = [f"{client.events} of {events} events" for client in clients if client.events != events]
    faults += [
        f"{sample.gaps} missing and {sample.repeated} repeated, up to {sample.following} of {events}"
        for sample in clients.samples
        if sample.gaps or sample.repeated or sample.following != events
    ]
    if faults:
        raise MeasurementError(f"{len(faults)} faults: " + "; ".join(faults[:5]))


def percentile(values: Sequence[int], part: float) -> float:
    """Of nanoseconds, in milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] / 1e6 if ordered else 0.0


def measure_fanout(server: Server, go: Callable[[], None], count: int, rate: int, events: int) -> Fanout:
    """Connect, begin, and read until every client has had everything."""
    with Clients(server.port, PATH, SAMPLED) as clients:
        clients.connect(count, CONNECT_SECONDS)
        watch = Stopwatch(server)
        go()
        deadline = time.monotonic() + events / rate + LATE_SECONDS
        try:
            clients.run(lambda: clients.events >= events * count, deadline)
        except MeasurementError:
            check(clients, events)
            raise
        seconds, used, own = watch.read()
        clients.turn()
        check(clients, events)
        delays = [delay for sample in clients.samples for delay in sample.delays[min(rate, events // 2) :]]
        per_delivery = 1e6 * used / clients.events
        return Fanout(
            server.name, count, rate, clients.events, clients.events / seconds, per_delivery,
            percentile(delays, 0.5), percentile(delays, 0.99), 100 * used / seconds, own,
        )  # fmt: skip


def fanout(arguments: argparse.Namespace, directory: Path) -> list[Any]:
    """Every rate, with every flush interval, of the floor and of the gateway."""
    results: list[Any] = []
    allow_files(arguments.clients + 100)
    for rate in arguments.rate:
        events = max(1, int(rate * arguments.seconds))
        for interval in arguments.flush_interval:
            if arguments.floor:
                with Floor(events, rate, interval, directory) as floor:
                    results.append(measure_fanout(floor, floor.go, arguments.clients, rate, events))
            if arguments.gateway:
                log, topic = place(arguments.log, directory)
                with (
                    Producer(log, topic, events, rate) as producer,
                    Gateway(log, interval, directory, topic) as gateway,
                ):
                    results.append(measure_fanout(gateway, producer.go, arguments.clients, rate, events))
    return results


def idle(arguments: argparse.Namespace, directory: Path) -> list[Any]:
    """Memory of connections on which nothing happens, after the first hundred have loaded what there is to load."""
    allow_files(arguments.connections + WARM_CONNECTIONS + 100)
    results: list[Any] = []
    interval = arguments.flush_interval[0]
    log, topic = place(arguments.log, directory)
    servers: list[Callable[[], Server]] = []
    if arguments.floor:
        servers.append(lambda: Floor(1, 1, interval, directory))
    if arguments.gateway:
        servers.append(lambda: Gateway(log, interval, directory, topic))
    with Producer(log, topic, 0, 0):  # makes the topic
        for start in servers:
            with start() as server, Clients(server.port, PATH, 0) as clients:
                clients.connect(WARM_CONNECTIONS, CONNECT_SECONDS)
                before = server.memory()
                clients.connect(arguments.connections, CONNECT_SECONDS)
                settled = time.monotonic() + SETTLE_SECONDS
                clients.run(lambda settled=settled: time.monotonic() > settled, settled + 1)  # type: ignore[misc]
                after = server.memory()
                each = (after - before) / arguments.connections / 1024
                results.append(Idle(server.name, arguments.connections, before / 1e6, after / 1e6, each))
    return results


def replay(arguments: argparse.Namespace, directory: Path) -> list[Any]:
    """A filled log, read from its first event by one client."""
    events = arguments.events
    log, topic = place(arguments.log, directory)
    since = time.time_ns() // 1_000_000 - 1000
    with Producer(log, topic, events, 0) as producer:
        producer.go()
        producer.wait()
    with Gateway(log, arguments.flush_interval[0], directory, topic) as gateway:
        with Clients(gateway.port, f"{PATH}?since={since}", 1) as clients:
            watch = Stopwatch(gateway)
            clients.connect(1, CONNECT_SECONDS)
            deadline = time.monotonic() + events / SLOWEST_APPEND + LATE_SECONDS
            try:
                clients.run(lambda: clients.events >= events, deadline)
            finally:
                seconds, used, own = watch.read()
                check(clients, events)
            megabytes = clients.received / 1e6
        return [
            Replay("gateway", events, seconds, events / seconds, megabytes / seconds, 1e6 * used / events, own),
        ]


def place(log: str | None, directory: Path) -> tuple[str, str]:
    """The log of a run and a topic that nobody has used."""
    topic = f"{STREAM}-{time.time_ns()}"
    if log is None:
        return f"sqlite:///{directory}/{topic}.db", topic
    if log.startswith("kafka://"):
        loopback_hosts(log)
    return log, topic


def show(results: list[Any]) -> None:
    """A table, then JSON."""
    rows = [dataclasses.asdict(result) for result in results]
    cells = [[f"{value:,.2f}" if isinstance(value, float) else f"{value}" for value in row.values()] for row in rows]
    names = [name.replace("_", " ") for name in rows[0]]
    widths = [max(len(cell) for cell in column) for column in zip(names, *cells, strict=True)]
    for line in [names, *cells]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(json.dumps(rows))


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log", help="a log on loopback; a new SQLite file by default")
    common.add_argument("--flush-interval", type=float, nargs="+", default=[0.1], metavar="SECONDS")
    common.add_argument("--no-floor", dest="floor", action="store_false", help="leave the C program out")
    common.add_argument("--no-gateway", dest="gateway", action="store_false", help="the C program alone")
    parser = argparse.ArgumentParser(prog="python -m loadtests.fanout", description=__doc__, parents=[common],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rate", type=int, nargs="+", default=[100, 1000], metavar="EVENTS/S")
    parser.add_argument("--seconds", type=float, default=10)
    parser.set_defaults(run=fanout)
    kinds = parser.add_subparsers()
    kind = kinds.add_parser("idle", parents=[common], help="memory of idle connections")
    kind.add_argument("--connections", type=int, default=5000)
    kind.set_defaults(run=idle)
    kind = kinds.add_parser("replay", parents=[common], help="history to one client")
    kind.add_argument("--events", type=int, default=500_000)
    kind.set_defaults(run=replay)
    return parser.parse_args(given)


def main() -> int:
    """Measure, and show it."""
    arguments = parse()
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(prefix="loadtest-") as directory:
        try:
            results = arguments.run(arguments, Path(directory))
        except MeasurementError as failure:
            print(f"FAILED: {failure}", file=sys.stderr)
            return 1
    if results:
        show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

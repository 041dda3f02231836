"""What a rule costs: requests a second of one process, over the embedded log or Kafka.

    python -m loadtests.rules
    python -m loadtests.rules --events 20000 --concurrency 50 --failing 10
    python -m loadtests.rules --log kafka

`gateway rules run` sends one POST for each event to a small server on loopback, in a process of its own. The server
answers 204, or 503 the first time to the share of events that `--failing` names. `requests/s` is by the clock, `µs` the
CPU time of the rule's process for each request. An event that does not arrive fails the run (exit status 1).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import Process, Queue
from pathlib import Path
from typing import Any

import orjson

from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from loadtests.kafka import KafkaBroker, jars
from loadtests.machine import CLIENT_CORES, SERVER_CORE, MeasurementError, free_port

STREAM, DEAD = "load", "load.dead"
SECONDS = 120.0
"""A run that takes longer has failed."""
LARGEST = 200_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run has shown; `us_per_request` is CPU time of the rule's process."""

    requests: int
    requests_per_second: float
    us_per_request: float
    megabytes: float


class _Target:
    """The server: counts what arrives, and says so once all has."""

    def __init__(self, events: int, failing: int, told: Queue[tuple[int, float, float]]) -> None:
        self._events, self._failing, self._told = events, failing, told
        self._tried: set[bytes] = set()
        self._done: set[bytes] = set()
        self._calls = 0
        self._first = 0.0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
                number = orjson.loads(await reader.readexactly(length))["n"]
                key = head.split(b"idempotency-key: ", 1)[1].split(b"\r\n", 1)[0]
                writer.write(self._answer(key, number))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, key: bytes, number: int) -> bytes:
        self._calls += 1
        self._first = self._first or time.monotonic()
        if number % 100 < self._failing and key not in self._tried:
            self._tried.add(key)
            return b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
        self._done.add(key)
        if len(self._done) == self._events:
            self._told.put((self._calls, self._first, time.monotonic()))
        return b"HTTP/1.1 204 No Content\r\n\r\n"


def _serve(port: int, events: int, failing: int, told: Queue[tuple[int, float, float]]) -> None:
    os.sched_setaffinity(0, CLIENT_CORES)

    async def main() -> None:
        target = _Target(events, failing, told)
        server = await asyncio.start_server(target.handle, "127.0.0.1", port)
        async with server:
            await server.serve_forever()

    asyncio.run(main())


def _configuration(directory: Path, port: int, concurrency: int) -> Path:
    schemas = Path(__file__).parents[1] / "config" / "schemas"
    rule = {
        "on": [STREAM],
        "do": [{"request": {"url": f"http://127.0.0.1:{port}/purge/{{event.title}}", "json": {"n": "event.n"}}}],
        "key": "event.title",
        "concurrency": concurrency,
        "retry": {"after": ["1s", "2s"]},
        "dead_stream": DEAD,
    }
    document: dict[str, Any] = {
        "schema_repositories": [str(schemas)],
        "rule_networks": ["127.0.0.0/8"],
        "streams": {STREAM: {}, DEAD: {"schema_title": "gateway/error"}},
        "rules": {"load": rule},
    }
    path = directory / "gateway.yaml"
    path.write_text(json.dumps(document))
    return path


async def _fill(log: EventLog, events: int) -> None:
    for start in range(0, events, 1000):
        made = [
            {"$schema": "/x/1.0.0", "meta": {"id": f"{n}", "dt": "2026-01-01T00:00:00Z"}, "n": n, "title": f"Page {n}",
             "comment": "x" * 800}
            for n in range(start, min(start + 1000, events))
        ]  # fmt: skip
        await log.append(STREAM, [NewRecord(orjson.dumps(one), partition=0) for one in made])


def _cpu_and_memory(pid: int) -> tuple[float, float]:
    """Seconds and megabytes of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / _TICKS, int(resident.split()[1]) / 1024


async def _measure(url: str, log: EventLog, directory: Path, options: argparse.Namespace) -> Cost:
    port = free_port()
    told: Queue[tuple[int, float, float]] = Queue()
    server = Process(target=_serve, args=(port, options.events, options.failing, told), daemon=True)
    server.start()
    await log.open()
    await log.create(STREAM)
    config = _configuration(directory, port, options.concurrency)
    command = [sys.executable, "-m", "gateway", "rules", "run", "--log", url, "--config", str(config)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        os.sched_setaffinity(process.pid, [SERVER_CORE])
        # The rule is about what comes after it has begun.
        while "load.replay" not in await log.describe(["load.replay"]):  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        before, _ = _cpu_and_memory(process.pid)
        await _fill(log, options.events)
        try:
            calls, first, last = await asyncio.to_thread(told.get, True, SECONDS)
        except Exception as error:
            raise MeasurementError(f"not all events have arrived within {SECONDS:g} s") from error
        cpu, megabytes = _cpu_and_memory(process.pid)
        return Cost(calls, calls / (last - first), (cpu - before) / calls * 1e6, megabytes)
    finally:
        process.terminate()
        await process.wait()
        server.terminate()
        await log.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure once; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--concurrency", type=int, default=20)
    parser.add_argument("--failing", type=int, default=0, help="percent of the events that fail the first time")
    parser.add_argument("--log", choices=("sqlite", "kafka"), default="sqlite")
    options = parser.parse_args(arguments)
    if not 1 <= options.events <= LARGEST or not 0 <= options.failing <= 100:
        parser.error(f"--events is from 1 to {LARGEST}, --failing from 0 to 100")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log: EventLog
        if options.log == "sqlite":
            url = f"sqlite:///{directory / 'events.db'}"
            log = SqliteLog(directory / "events.db")
        else:
            found = jars()
            if found is None:
                parser.error("there are no jars of Kafka; scripts/test gets them, or --log sqlite does without")
            broker = KafkaBroker(directory / "kafka", found)
            broker.start()
            stack.callback(broker.stop)
            url, log = f"kafka://{broker.bootstrap}", KafkaLog([broker.bootstrap])
        try:
            cost = asyncio.run(_measure(url, log, directory, options))
        except MeasurementError as error:
            print(f"loadtests.rules: {error}", file=sys.stderr)
            return 1
    print(
        f"{options.log}, concurrency {options.concurrency}, {options.failing} % failing: {cost.requests} requests, "
        f"{cost.requests_per_second:.0f} requests/s, {cost.us_per_request:.0f} µs, {cost.megabytes:.0f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

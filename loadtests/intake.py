"""What it costs to take events in: POST /v1/events into Kafka, validated and acknowledged.

    python -m loadtests.intake
    python -m loadtests.intake --batch 1 --batch 100 --seconds 10 --connections 64
    python -m loadtests.intake --log sqlite
    python -m loadtests.intake --schemas DIRECTORY --title mediawiki/recentchange --events events.ndjson

The gateway has one core; broker and clients share the others. Clients keep their connections and send the next
request when the last one is answered, each event with an id of its own. `events/s` is what was acknowledged, `µs` the
CPU time of the gateway for each event (what its hub does with it included), `busy` the share of its core. The last line
is the latency of single events at half the rate of the first, sent when they are due whether or not the others are
answered. A request that is not answered with 201, or an event that is not in the log in the end, fails the run (exit
status 1).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.demo.wiki import WikiSample
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import demand
from gateway.model.record import TopicPartition
from loadtests.kafka import KafkaBroker, jars
from loadtests.machine import CLIENT_CORES, SERVER_CORE, MeasurementError, free_port
from loadtests.server import Server

STREAM = "load"
SAMPLE_EVENTS = 1000
FIRST_TIME = 1_700_000_000_000
WARM_SECONDS = 1.0
ANSWER_SECONDS = 30.0
EMPTY_ID = b"00000000-0000-4000-8000-000000000000"
HEAD = b"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run has shown. Times are in milliseconds, but for `us_per_event` of the gateway's CPU."""

    batch: int
    events: int
    events_per_second: float
    us_per_event: float
    busy_percent: float
    p50_ms: float
    p99_ms: float


class Gateway(Server):
    """`gateway serve` with one stream that takes events."""

    def __init__(self, log: str, title: str, schemas: Path, directory: Path) -> None:
        config = directory / "gateway.yaml"
        settings = {"schema_repositories": [str(schemas.resolve())], "streams": {STREAM: {"schema_title": title}}}
        config.write_text(json.dumps(settings))
        port = free_port()
        command = [sys.executable, "-m", "gateway", "serve", "--log", log, "--config", str(config)]
        command += ["--port", str(port), "--admin-port", str(free_port())]
        super().__init__("gateway", command, port, directory, [SERVER_CORE])
        self.wait_until_ready("/readyz")


class Requests:
    """Requests of so many events, each event with another id."""

    def __init__(self, templates: Sequence[bytes], batch: int) -> None:
        self._templates = templates
        self._batch = batch
        self.events = 0
        """Those that were made."""

    def next(self) -> bytes:
        """The next request, head and body."""
        parts = []
        for _ in range(self._batch):
            number = self.events
            self.events += 1
            template = self._templates[number % len(self._templates)]
            parts.append(template.replace(EMPTY_ID, b"%08x-0000-4000-8000-%012x" % (self._batch, number), 1))
        body = b"[%b]" % b",".join(parts) if self._batch > 1 else parts[0]
        return HEAD % len(body) + body


class Connection(asyncio.Protocol):
    """One connection of a client. Answers come in the order of the requests."""

    def __init__(self) -> None:
        self._held = b""
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the status of its answer."""
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._transport.write(request)
        return waiting

    def data_received(self, data: bytes) -> None:
        self._held += data
        while True:
            head, ending, rest = self._held.partition(b"\r\n\r\n")
            if not ending:
                return
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(rest) < size:
                return
            self._held = rest[size:]
            self._waiting.popleft().set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        while self._waiting:
            self._waiting.popleft().set_exception(MeasurementError(f"the gateway closed a connection: {exc}"))

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


async def connect(port: int, count: int) -> list[Connection]:
    """So many connections."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]


async def one_after_another(connection: Connection, requests: Requests, until: float, times: list[float]) -> None:
    """Send requests until the time has come."""
    while (begun := time.perf_counter()) < until:
        await answered(connection.send(requests.next()))
        times.append(time.perf_counter() - begun)


async def answered(status: asyncio.Future[int]) -> None:
    """Wait for 201."""
    async with asyncio.timeout(ANSWER_SECONDS):
        if await status != 201:
            raise MeasurementError(f"a request was answered with {status.result()}")


async def saturate(server: Gateway, requests: Requests, batch: int, connections: int, seconds: float) -> Cost:
    """As fast as the gateway takes them."""
    opened = await connect(server.port, connections)

    async def run(duration: float) -> list[float]:
        times: list[float] = []
        until = time.perf_counter() + duration
        await asyncio.gather(*(one_after_another(connection, requests, until, times) for connection in opened))
        return times

    await run(WARM_SECONDS)
    before, cpu, begun = requests.events, server.cpu(), time.perf_counter()
    times = await run(seconds)
    spent, cpu, events = time.perf_counter() - begun, server.cpu() - cpu, requests.events - before
    for connection in opened:
        connection.close()
    return cost(batch, events, spent, cpu, times)


async def at_rate(server: Gateway, requests: Requests, rate: float, connections: int, seconds: float) -> Cost:
    """Single events at a rate; the time of each counts from when it was due."""
    opened = await connect(server.port, connections)
    times: list[float] = []

    async def one(connection: Connection, due: float) -> None:
        await answered(connection.send(requests.next()))
        times.append(time.perf_counter() - due)

    before, cpu, begun = requests.events, server.cpu(), time.perf_counter()
    async with asyncio.TaskGroup() as group:  # noqa: TID251
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            group.create_task(one(opened[number % connections], due))
    spent, cpu, events = time.perf_counter() - begun, server.cpu() - cpu, requests.events - before
    for connection in opened:
        connection.close()
    return cost(1, events, spent, cpu, times)


def cost(batch: int, events: int, seconds: float, cpu: float, times: list[float]) -> Cost:
    """What was measured, as it is shown."""
    ordered = sorted(times)
    quantiles = [1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    return Cost(batch, events, events / seconds, 1e6 * cpu / events, 100 * cpu / seconds, *quantiles)


def templates(title: str, schemas_events: Path | None) -> list[bytes]:
    """Events, compact, each with the same id and the stream of the measurement."""
    if schemas_events is not None:
        found = [orjson.loads(line) for line in schemas_events.read_bytes().splitlines()]
    else:
        sample = WikiSample(7, FIRST_TIME)
        found = [sample.next(FIRST_TIME + 50 * number)[0] for number in range(SAMPLE_EVENTS)]
    if not all(event["$schema"].startswith(f"/{title}/") for event in found):
        raise MeasurementError(f"the events are not all of the schema {title}")
    return [
        orjson.dumps({**event, "meta": {**event["meta"], "id": EMPTY_ID.decode(), "stream": STREAM}}) for event in found
    ]


async def stored(log: EventLog) -> int:
    """How many events the log has."""
    await log.open()
    try:
        place = TopicPartition(STREAM, 0)
        bounds = demand(await log.bounds([place]))[place]
        return bounds.end - bounds.start
    finally:
        await log.close()


@contextmanager
def logs(kind: str, directory: Path) -> Iterator[tuple[str, EventLog]]:
    """A log of its own for the measurement: its URL, and a way to look into it."""
    if kind == "sqlite":
        path = directory / "events.db"
        yield f"sqlite:///{path}", SqliteLog(str(path))
        return
    found = jars()
    if found is None:
        raise MeasurementError("there are no jars of Kafka; scripts/test gets them, or --log sqlite does without")
    broker = KafkaBroker(directory / "kafka", found)
    broker.start()
    try:
        assert broker.pid is not None
        os.sched_setaffinity(broker.pid, CLIENT_CORES)
        yield f"kafka://{broker.bootstrap}", KafkaLog([broker.bootstrap], {})
    finally:
        broker.stop()


async def measure(arguments: argparse.Namespace, server: Gateway, log: EventLog) -> list[Cost]:
    """Every run."""
    events = templates(arguments.title, arguments.events)
    size = sum(map(len, events)) / len(events)
    print(f"{arguments.title}, {len(events)} events of {size:.0f} bytes, {arguments.connections} connections")
    print(f"{'batch':>7}{'events/s':>12}{'µs':>9}{'busy':>7}{'p50 ms':>9}{'p99 ms':>9}")
    costs, made = [], 0
    for batch in arguments.batch:
        requests = Requests(events, batch)
        costs.append(await saturate(server, requests, batch, arguments.connections, arguments.seconds))
        show(costs[-1])
        made += requests.events
    requests = Requests(events, 1)
    requests.events = made  # so that its ids are others
    rate = arguments.rate or costs[0].events_per_second / costs[0].batch / 2
    costs.append(await at_rate(server, requests, rate, arguments.connections, arguments.seconds))
    show(costs[-1])
    if (found := await stored(log)) != requests.events:
        raise MeasurementError(f"{found} events are stored of {requests.events} that were acknowledged")
    return costs


def show(found: Cost) -> None:
    """One line of the table."""
    print(
        f"{found.batch:>7}{found.events_per_second:>12,.0f}{found.us_per_event:>9.1f}{found.busy_percent:>6.0f}%",
        end="",
    )
    print(f"{found.p50_ms:>9.1f}{found.p99_ms:>9.1f}", flush=True)


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.intake", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--log", choices=["kafka", "sqlite"], default="kafka")
    parser.add_argument("--batch", type=int, action="append", help="events in a request (default: 1 and 100)")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, help="requests/s of the last line, instead of half of the first")
    parser.add_argument("--schemas", type=Path, default=Path("config/schemas"))
    parser.add_argument("--title", default="wiki/change")
    parser.add_argument("--events", type=Path, help="newline-delimited JSON instead of the sample feed's")
    arguments = parser.parse_args(given)
    arguments.batch = arguments.batch or [1, 100]
    return arguments


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and show it."""
    arguments = parse(given)
    os.sched_setaffinity(0, CLIENT_CORES)
    try:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url, log = stack.enter_context(logs(arguments.log, directory))
            server = stack.enter_context(Gateway(url, arguments.title, arguments.schemas, directory))
            costs: list[Any] = [asdict(found) for found in asyncio.run(measure(arguments, server, log))]
    except (MeasurementError, ExceptionGroup) as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    print(json.dumps(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())

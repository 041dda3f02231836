"""What a run runs on: a log, a server over it, and what makes the events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.kafka import KafkaBroker
from loadtests.machine import CLIENT_CORES, SERVER_CORE, MeasurementError, bytes_read
from loadtests.produce import Producer
from loadtests.scenario import Scenario, Side
from loadtests.server import PATH, STREAM, Floor, Gateway, Server

FASTEST_RATE = 1_000_000
"""Events a second of the floor where it stands beside a replay: they are all there at once."""


@dataclass(slots=True)
class Environment:
    """What runs share: a directory, a broker (made when first asked for), and how the clients run."""

    directory: Path
    broker: Callable[[], tuple[str, KafkaBroker | None]]
    client_processes: int = 1
    profiled: bool = False

    def log(self, side: Side) -> tuple[str, str]:
        """The log of a run, and a topic that nobody has used."""
        topic = f"{STREAM}-{time.time_ns()}"
        if side.log == "kafka":
            return f"kafka://{self.broker()[0]}", topic
        return f"sqlite:///{self.directory}/{topic}.db", topic

    def log_bytes(self, side: Side, server: Server) -> float:
        """The bytes of the log that were read until now: of the file by the gateway, or by Kafka's broker to send them;
        not a number where the broker is not ours."""
        if side.log == "sqlite":
            return server.bytes_read()
        broker = self.broker()[1]
        return math.nan if broker is None or broker.pid is None else bytes_read(broker.pid)


@dataclass(slots=True)
class Feed:
    """A server and what makes its events. `wait` gives when each event was acknowledged by the log (ns), or nothing.

    `settle` is how long after its answer (s) a client may still miss an event, at a server that answers too early.
    """

    server: Server
    go: Callable[[], None]
    wait: Callable[[], Sequence[int]] = tuple
    path: str = PATH
    settle: float = 0.0
    topic: str = ""


@contextmanager
def floor(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """The C program, which makes its events itself."""
    with Floor(scenario.total, scenario.rate, scenario.flush_interval, environment.directory) as server:
        yield Feed(server, server.go)


@contextmanager
def live_gateway(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """The gateway, with a producer that is ready."""
    log, topic = environment.log(side)
    with (
        Producer(log, topic, scenario.total, scenario.rate, scenario.payload) as producer,
        gateway(environment, scenario, side, log, topic) as server,
    ):
        yield Feed(server, producer.go, producer.wait)


@contextmanager
def past_gateway(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """The gateway, on a log that has all events already."""
    log, topic = environment.log(side)
    since = time.time_ns() // 1_000_000 - 1000
    with Producer(log, topic, scenario.total, 0, scenario.payload) as producer:
        producer.go()
        producer.wait()
    with gateway(environment, scenario, side, log, topic) as server:
        yield Feed(server, lambda: None, path=f"{PATH}?since={since}")


@contextmanager
def past_floor(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """The C program, which makes all events at once."""
    with Floor(scenario.total, FASTEST_RATE, scenario.flush_interval, environment.directory) as server:
        yield Feed(server, server.go)


@contextmanager
def gateway(environment: Environment, scenario: Scenario, side: Side, log: str, topic: str) -> Iterator[Gateway]:
    """The gateway as the side has it. Raises MeasurementError where it met a mistake of
    its own."""
    settings = [*side.settings, *(["--workers", str(side.workers)] if side.workers > 1 else [])]
    cores = {SERVER_CORE, *CLIENT_CORES} if side.shared else {SERVER_CORE}
    where, profiled = environment.directory, environment.profiled
    with Gateway(log, scenario.flush_interval, where, topic, settings, cores, profiled, side.streams) as server:
        yield server
    if "Traceback" in (said := server.log.read_text(errors="replace")):
        raise MeasurementError(f"the server met a mistake of its own: {said[-1000:]}")


@contextmanager
def both_gateway(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """The gateway, on a log that has `events` already, and with a producer of more that is ready."""
    log, topic = environment.log(side)
    with Producer(log, topic, scenario.events, 0, scenario.payload) as history:
        history.go()
        history.wait()
    live = scenario.live_events
    with (
        Producer(log, topic, live, scenario.rate, scenario.payload) as producer,
        gateway(environment, scenario, side, log, topic) as server,
    ):
        yield Feed(server, producer.go, producer.wait, topic=topic)


SERVERS: dict[str, Callable[[Environment, Scenario, Side], AbstractContextManager[Feed]]] = {
    "floor": floor,
    "gateway": live_gateway,
}
PAST = {"floor": past_floor, "gateway": past_gateway}

"""Each peer as it is started and fed."""

from __future__ import annotations

import os
import secrets
import string
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loadtests.feeds import Environment, Feed
from loadtests.machine import SERVER_CORE, MeasurementError, free_port
from loadtests.peers import publish, starlette_sse
from loadtests.produce import Producer
from loadtests.scenario import Scenario, Side
from loadtests.server import Server

HERE = Path(__file__).parent
CACHE = Path(".cache/peers")
KAFKA_SSE = CACHE / "kafka-sse" / "node_modules"
NGINX = CACHE / "nchan" / "usr" / "sbin" / "nginx"
NCHAN_MODULE = CACHE / "nchan" / "usr" / "lib" / "nginx" / "modules" / "ngx_nchan_module.so"
MERCURE = CACHE / "mercure" / "v0.24.2"
STARLETTE = HERE / "starlette_sse.py"
INSTALLED = {"kafka-sse": KAFKA_SSE / "kafka-sse", "nchan": NCHAN_MODULE, "mercure": MERCURE, "starlette": STARLETTE}
HEALTH = "/healthz"

KAFKA_SSE_THREADS = 128
"""A client of KafkaSSE that waits for its next event holds a thread of Node's pool, which has four by default."""

CONSUMER_SETTLE_SECONDS = 2.0
"""Servers with a consumer a client answer before it has asked for the end of the topic."""


class Peer(Server):
    """A peer, on the server's core from its first instruction on: what counts the cores at its start counts one."""

    def __init__(self, name: str, command: list[str], port: int, directory: Path, variables: Mapping[str, str]) -> None:
        given = [f"{variable}={value}" for variable, value in variables.items()]
        super().__init__(name, ["taskset", "--cpu-list", str(SERVER_CORE), "env", *given, *command], port, directory)
        self.wait_until_ready(HEALTH)


class Publisher(Producer):
    """The process that publishes to a peer by HTTP."""

    def __init__(self, form: str, port: int, scenario: Scenario, variables: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", publish.__name__, form, str(port), scenario.payload]
        command += [str(scenario.total), str(scenario.rate)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
        )
        self._expect("ready")


@contextmanager
def kafka_sse(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """KafkaSSE, on the gateway's Kafka."""
    (log, topic), port = environment.log(side), free_port()
    command = ["node", str(HERE / "kafka_sse" / "server.cjs"), str(port), log.removeprefix("kafka://")]
    variables = {"NODE_PATH": str(KAFKA_SSE.resolve()), "UV_THREADPOOL_SIZE": str(KAFKA_SSE_THREADS)}
    with (
        Producer(log, topic, scenario.total, scenario.rate, scenario.payload) as producer,
        Peer(side.name, command, port, environment.directory, variables) as server,
    ):
        yield Feed(server, producer.go, producer.wait, f"/{topic}", settle=CONSUMER_SETTLE_SECONDS)


@contextmanager
def starlette(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """Starlette with sse-starlette, on the gateway's Kafka."""
    (log, topic), port = environment.log(side), free_port()
    command = [sys.executable, "-m", starlette_sse.__name__, str(port), log.removeprefix("kafka://")]
    with (
        Producer(log, topic, scenario.total, scenario.rate, scenario.payload) as producer,
        Peer(side.name, command, port, environment.directory, {}) as server,
    ):
        yield Feed(server, producer.go, producer.wait, f"/{topic}", settle=CONSUMER_SETTLE_SECONDS)


@contextmanager
def nchan(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """Nginx with nchan."""
    port = free_port()
    directory = environment.directory / f"nchan-{port}"
    directory.mkdir()
    configuration = directory / "nginx.conf"
    template = string.Template((HERE / "nchan.conf").read_text())
    configuration.write_text(template.substitute(port=port, module=NCHAN_MODULE.resolve()))
    command = [str(NGINX), "-p", str(directory), "-c", str(configuration)]
    with (
        Peer(side.name, command, port, environment.directory, {}) as server,
        Publisher("nchan", port, scenario, {}) as publisher,
    ):
        yield Feed(server, publisher.go, path="/subscribe")


@contextmanager
def mercure(environment: Environment, scenario: Scenario, side: Side) -> Iterator[Feed]:
    """Mercure, with the transport that is the last word of the side's name."""
    port = free_port()
    directory = str(environment.directory / f"mercure-{port}")
    key = {publish.KEY_VARIABLE: secrets.token_hex(32)}
    variables = {
        "PORT": str(port),
        "TRANSPORT": side.name.split()[-1],
        "XDG_DATA_HOME": directory,
        "XDG_CONFIG_HOME": directory,
    }
    command = [str(MERCURE), "run", "--adapter", "caddyfile", "--config", str(HERE / "Caddyfile")]
    with (
        Peer(side.name, command, port, environment.directory, {**variables, **key}) as server,
        Publisher("mercure", port, scenario, key) as publisher,
    ):
        yield Feed(server, publisher.go, path=f"/.well-known/mercure?topic={publish.TOPIC}")


PEERS = {"kafka-sse": kafka_sse, "nchan": nchan, "mercure": mercure, "starlette": starlette}


def require(peers: Collection[str]) -> None:
    """Raises MeasurementError for a peer that `setup` has not got yet."""
    missing = [peer for peer in peers if not INSTALLED[peer].exists()]
    if missing:
        raise MeasurementError(
            f"not there: {', '.join(missing)}. Please run: loadtests/peers/setup {' '.join(missing)}"
        )

"""A real Kafka broker for tests: one node, started and stopped as a test wishes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

JARS_VARIABLE = "GATEWAY_TEST_KAFKA_JARS"
"""The environment variable with the directory of Kafka's jars."""

DEFAULT_JARS = Path(".cache/kafka")

RUNNING_VARIABLE = "GATEWAY_TEST_KAFKA"
"""The environment variable with `host:port` of a broker that runs already, for tests that need not stop it."""

START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02

STARTED = "Kafka Server started"

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "250",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": "12000000",
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "100",
    "log.segment.delete.delay.ms": "100",
    "log.initial.task.delay.ms": "500",
}


def jars() -> Path | None:
    """The directory of Kafka's jars, None where there is none."""
    directory = Path(os.environ.get(JARS_VARIABLE, DEFAULT_JARS))
    return directory if any(directory.glob("kafka_*.jar")) else None


def running_broker() -> str | None:
    """The broker that runs already, as `host:port`."""
    return os.environ.get(RUNNING_VARIABLE) or None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class KafkaBroker:
    """A broker with a port and a data directory of its own, which it keeps when it is started again.

    The methods block: call them on a thread from asynchronous tests.
    """

    def __init__(
        self, directory: Path, jars: Path, heap: str = "512m", properties: Mapping[str, str] | None = None
    ) -> None:
        self._directory = directory
        self._java = ["java", f"-Xmx{heap}", "-XX:TieredStopAtLevel=1", "-cp", f"{jars.resolve()}/*"]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._format(PROPERTIES | dict(properties or {}))

    @property
    def bootstrap(self) -> str:
        """`host:port`"""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker writes to its output."""
        return self._directory / "broker.log"

    def start(self) -> None:
        """Start, also again; returns when clients are served."""
        if self._process is not None:
            return
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._directory / "server.properties")],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while STARTED not in self.log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the broker has not started: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it in an orderly way (SIGTERM)."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay, and nothing is answered (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the broker does not run")
        self._process.send_signal(number)

    def _format(self, properties: Mapping[str, str]) -> None:
        controller = free_port()
        self._directory.mkdir(parents=True, exist_ok=True)
        settings = {
            **properties,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(self._directory / "data"),
        }
        path = self._directory / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        logging = ["-Dorg.slf4j.simpleLogger.logFile=System.out"]
        self._java = [self._java[0], *logging, *self._java[1:]]
        subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(path)],
            check=True,
            stdout=subprocess.DEVNULL,
        )

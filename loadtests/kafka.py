"""Real Kafka brokers for tests and measurements, started and stopped as they wish."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from loadtests.machine import free_port, halt
from loadtests.zookeeper import ZooKeeper, version_of

Given = TypeVar("Given")
Result = TypeVar("Result")

JARS_VARIABLE = "GATEWAY_TEST_KAFKA_JARS"
"""The environment variable with the directory of Kafka's jars."""

DEFAULT_JARS = Path(".cache/kafka")

START_SECONDS = 120.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02

STARTED = ("Kafka Server started", "[KafkaServer id=1] started")
"""The second of one with a ZooKeeper."""

WITHOUT_ZOOKEEPER = (3, 3)
"""From this version on. The tests use no broker of several together before it, and no users of SCRAM."""

ARCHIVE = "classes.jsa"
"""The file beside the jars with their classes as the virtual machine has them in memory. With it, a broker starts in
half of the time. The virtual machine ignores one of another Java."""

PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "CLIENTS",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "250",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": "12000000",
    # Tests write records of any time; what is to expire has a topic of its own settings.
    "log.retention.ms": "-1",
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "100",
    "log.segment.delete.delay.ms": "100",
    "log.initial.task.delay.ms": "500",
}

CLUSTER_PROPERTIES = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "auto.leader.rebalance.enable": "false",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.election.backoff.max.ms": "300",
    "controller.quorum.fetch.timeout.ms": "1000",
}
"""Leaders move when a test moves them or ends their broker, and at no other time."""


class Quorum(NamedTuple):
    """The cluster that a broker is part of: its id, the broker's number, and the port of each controller by number."""

    identity: str
    node: int
    controllers: Mapping[int, int]


def jars() -> Path | None:
    """The directory of Kafka's jars, None where there is none."""
    directory = Path(os.environ.get(JARS_VARIABLE, DEFAULT_JARS))
    return directory if any(directory.glob("kafka_*.jar")) else None


class KafkaBroker:
    """A broker with a port and a data directory of its own, which it keeps when it is started again.

    It is a controller too, alone unless it is told its quorum. `users` are those known to SCRAM, with their passwords;
    `listeners` more names of listeners, each with its port and the port that clients are told.
    The methods block: call them on a thread from asynchronous tests.
    """

    def __init__(
        self,
        directory: Path,
        jars: Path,
        heap: str = "512m",
        properties: Mapping[str, str] | None = None,
        quorum: Quorum | None = None,
        users: Mapping[str, str] | None = None,
        listeners: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self._directory = directory
        options = [f"-Xmx{heap}", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.logFile=System.out"]
        if (archive := jars.resolve() / ARCHIVE).exists():
            options.append(f"-XX:SharedArchiveFile={archive}")
        self._java = ["java", *options, "-cp", f"{jars.resolve()}/*"]
        old = version_of(jars) < WITHOUT_ZOOKEEPER
        self._zookeeper = ZooKeeper(directory, self._java) if old else None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        quorum = quorum or Quorum(new_identity(), 1, {1: free_port()})
        self._listeners = listeners or {}
        self._format(PROPERTIES | dict(properties or {}), quorum, users or {})

    @property
    def pid(self) -> int | None:
        """Its process, where it runs."""
        return None if self._process is None else self._process.pid

    @property
    def bootstrap(self) -> str:
        """`host:port`"""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker writes to its output."""
        return self._directory / "broker.log"

    def segments(self, topic: str, partition: int = 0) -> list[Path]:
        """The files with the records of a partition, the oldest first."""
        return sorted((self._directory / "data" / f"{topic}-{partition}").glob("*.log"))

    def start(self) -> None:
        """Start, also again; returns when clients are served."""
        if self._process is not None:
            return
        if self._zookeeper is not None:
            self._zookeeper.start()
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._directory / "server.properties")],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not any(line in self.log.read_text(errors="replace") for line in STARTED):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the broker has not started: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_SECONDS)

    @property
    def is_old(self) -> bool:
        """Whether it needs a ZooKeeper, with which the tests start no cluster and no users."""
        return self._zookeeper is not None

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
        if self._zookeeper is not None:
            self._zookeeper.kill()

    def archive_classes(self, archive: Path) -> None:
        """Start it, and write the classes that it has loaded into a file when it ends."""
        self._java.insert(1, f"-XX:ArchiveClassesAtExit={archive}")
        self.start()
        process = self._process
        self.stop()
        if process is None or process.returncode == -signal.SIGKILL:
            raise RuntimeError("the broker did not come to its end in time")

    def pause(self) -> None:
        """Let it hang: connections stay, and nothing is answered (SIGSTOP)."""
        if self._process is None:
            raise RuntimeError("the broker does not run")
        halt(self._process.pid)

    def resume(self) -> None:
        """End a pause (SIGCONT); one that does not hang goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the broker does not run")
        self._process.send_signal(number)

    def _format(self, properties: Mapping[str, str], quorum: Quorum, users: Mapping[str, str]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        own = f"CONTROLLER://127.0.0.1:{quorum.controllers[quorum.node]}"
        clients = {"CLIENTS": (self.port, self.port), **self._listeners}
        listening = [f"{name}://127.0.0.1:{port}" for name, (port, _) in clients.items()]
        advertised = [f"{name}://127.0.0.1:{told}" for name, (_, told) in clients.items()]
        voters = (f"{node}@127.0.0.1:{port}" for node, port in quorum.controllers.items())
        settings = {
            **properties,
            "node.id": str(quorum.node),
            "controller.quorum.voters": ",".join(voters),
            "listeners": ",".join([*listening, own]),
            "advertised.listeners": ",".join(advertised),
            "log.dirs": str(self._directory / "data"),
        }
        path = self._directory / "server.properties"
        if self._zookeeper is not None:
            settings = self._zookeeper.properties(settings)
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if self._zookeeper is not None:
            return
        credentials = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in users.items()]
        known = [argument for credential in credentials for argument in ("--add-scram", credential)]
        command = ["kafka.tools.StorageTool", "format", "-t", quorum.identity, "-c", str(path), *known]
        subprocess.run([*self._java, *command], check=True, stdout=subprocess.DEVNULL)


class KafkaCluster:
    """Three brokers that are the controllers too, each of which may be stopped, killed or paused."""

    def __init__(self, directory: Path, jars: Path) -> None:
        identity = new_identity()
        controllers = {node: free_port() for node in (1, 2, 3)}

        def make(node: int) -> KafkaBroker:
            quorum = Quorum(identity, node, controllers)
            return KafkaBroker(directory / str(node), jars, "256m", CLUSTER_PROPERTIES, quorum)

        self.brokers = dict(zip(controllers, _at_once(make, controllers), strict=True))

    @property
    def bootstrap(self) -> str:
        """`host:port` of each broker, with commas."""
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    def start(self) -> None:
        """Start those that do not run: none of them serves before most of them do."""
        _at_once(KafkaBroker.start, self.brokers.values())

    def kill(self) -> None:
        """End all of them at once."""
        for broker in self.brokers.values():
            broker.kill()


def new_identity() -> str:
    """The id of a new cluster."""
    return uuid.uuid4().hex[:22]


def _at_once(call: Callable[[Given], Result], items: Iterable[Given]) -> Sequence[Result]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(call, items))


def archive_classes(directory: Path) -> None:
    """Make the archive of these jars, where there is none."""
    if (directory / ARCHIVE).exists():
        return
    with TemporaryDirectory(dir=directory) as made:
        archive = Path(made, ARCHIVE)
        KafkaBroker(Path(made, "broker"), directory).archive_classes(archive)
        # There is a whole one or none, whenever this is interrupted.
        archive.replace(directory / ARCHIVE)


if __name__ == "__main__":
    archive_classes(jars() or DEFAULT_JARS)

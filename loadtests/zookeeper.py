"""The ZooKeeper that a Kafka before 3.3 needs beside it."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.machine import free_port

TICK_MILLISECONDS = 300
SESSION_SECONDS = 1.0
"""A broker that was killed is gone for ZooKeeper after this. Another of its number cannot start before."""
START_SECONDS = 30.0
POLL_SECONDS = 0.05
_JAR = re.compile(r"kafka_[\d.]+-(\d+)\.(\d+)\.")
_OF_QUORUM = ("process.roles", "controller.", "node.id", "listener.security.protocol.map")


def version_of(jars: Path) -> tuple[int, int]:
    """The version of Kafka whose jars these are."""
    found = (_JAR.match(path.name) for path in jars.glob("kafka_*.jar"))
    return max((int(one[1]), int(one[2])) for one in found if one is not None)


class ZooKeeper:
    """Keeps what brokers know of each other, in a directory of its own."""

    def __init__(self, directory: Path, java: Sequence[str]) -> None:
        self.port = free_port()
        self._directory = directory
        self._command = [
            *java,
            "-Dzookeeper.admin.enableServer=false",
            "org.apache.zookeeper.server.ZooKeeperServerMain",
            str(self.port),
            str(directory / "zookeeper"),
            str(TICK_MILLISECONDS),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def properties(self, of_quorum: Mapping[str, str]) -> dict[str, str]:
        """The settings of a broker, from those of one in a quorum."""
        kept = {name: value for name, value in of_quorum.items() if not name.startswith(_OF_QUORUM)}
        protocols = of_quorum["listener.security.protocol.map"].split(",")
        listeners = [one for one in of_quorum["listeners"].split(",") if not one.startswith("CONTROLLER:")]
        return kept | {
            "broker.id": of_quorum["node.id"],
            "listener.security.protocol.map": ",".join(one for one in protocols if not one.startswith("CONTROLLER:")),
            "listeners": ",".join(listeners),
            "zookeeper.connect": f"127.0.0.1:{self.port}",
            "zookeeper.session.timeout.ms": str(int(1000 * SESSION_SECONDS)),
        }

    def start(self) -> None:
        """Start, where it does not run; returns when it answers, and knows of no broker."""
        if self._process is not None:
            return
        begun = (self._directory / "zookeeper").exists()
        with (self._directory / "zookeeper.log").open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(2 * SESSION_SECONDS if begun else 0)
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.kill()
                    raise RuntimeError("ZooKeeper has not started") from None
                time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

"""A Flink in one JVM, which runs scripts to their end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from loadtests.machine import free_port

JARS_VARIABLE = "GATEWAY_TEST_FLINK_JARS"
"""The environment variable with the directory of Flink's jars."""
DEFAULT_JARS = Path(".cache/flink")
SECONDS = float(os.environ.get("GATEWAY_CONFORMANCE_SECONDS", "240"))
"""A job that takes longer is taken for one that hangs; a quiet machine needs a minute."""

_CONFIG = Path(__file__).parents[2] / "config/flink"
_OPTIONS = {
    "parallelism.default": "2",
    "taskmanager.numberOfTaskSlots": "2",
    "taskmanager.memory.network.min": "256mb",
    "taskmanager.memory.network.max": "256mb",
    "taskmanager.memory.managed.size": "1gb",
    # What fails is seen.
    "restart-strategy.type": "none",
}


def jars() -> Path | None:
    """The directory of Flink's jars, None where there is none."""
    directory = Path(os.environ.get(JARS_VARIABLE, DEFAULT_JARS))
    return directory.absolute() if any(directory.glob("flink-table-planner-loader-*.jar")) else None


def bounded(script: str) -> str:
    """The script for what its sources have by now, instead of for ever."""
    start = "'scan.startup.mode' = 'earliest-offset',"
    assert start in script
    return script.replace(start, f"{start}\n  'scan.bounded.mode' = 'latest-offset',")


def run(scripts: Sequence[str], directory: Path, jars_directory: Path) -> None:
    """Run them as one job, and wait for its end."""
    (directory / "conf").mkdir()
    (directory / "conf/config.yaml").write_text("{}\n")
    # Flink looks the machine's own name up, which a resolver need not know.
    (directory / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
    files = []
    for number, script in enumerate(scripts):
        files.append(directory / f"{number:03}.sql")
        files[-1].write_text(script)
    port = str(free_port())
    options = {
        **_OPTIONS,
        "execution.checkpointing.dir": (directory / "checkpoints").as_uri(),
        "rest.port": port,
        "rest.bind-port": port,
        "io.tmp.dirs": str(directory),
    }
    command = [
        "java",
        f"@{_CONFIG / 'java.options'}",
        # What is short gains nothing from the second compiler; a collector of several threads takes those of others.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xmx1500m",
        "-Xmn500m",
        f"-Djdk.net.hosts.file={directory / 'hosts'}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-cp",
        f"{jars_directory}/*",
        str(_CONFIG / "SqlRunner.java"),
        "--local",
        *(f"{key}={value}" for key, value in options.items()),
        *map(str, files),
    ]
    environment = {**os.environ, "FLINK_CONF_DIR": str(directory / "conf")}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, output[-8_000:]

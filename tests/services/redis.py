"""A Redis server that a test starts, stops, kills and halts; its port stays the same."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.services.kafka import free_port
from tests.services.process import ServiceProcess

START_SECONDS = 60.0
ANSWER_SECONDS = 60.0


def patient(patch: pytest.MonkeyPatch) -> None:
    """Redis is away where its connections end, and not where a busy machine gives it, or the test, no core for half a
    second."""
    answers_within(patch, ANSWER_SECONDS)


def answers_within(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on it is away when an answer takes longer."""
    for module in ("outbound.scripted_redis", "limits.redis"):
        patch.setattr(f"gateway.{module}.ANSWER_SECONDS", seconds)


class RedisServer(ServiceProcess):
    """`redis-server`, which keeps nothing when it ends."""

    def __init__(self, directory: Path, program: str, *words: str) -> None:
        super().__init__()
        self.port = free_port()
        self._command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(directory),
            *words,
        ]

    @property
    def url(self) -> str:
        """As the setting has it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it where it does not run, and let it go on where it was halted."""
        if not self.go_on():
            self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
        return False


def redis_program() -> str | None:
    """The program, where it is installed."""
    return shutil.which("redis-server")

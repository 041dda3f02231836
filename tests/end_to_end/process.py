"""A gateway in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.plain_http import http_client
from tests.services.kafka import free_port

ROOT = Path(__file__).parent.parent.parent
WAIT = 60.0
"""Seconds until something that is sure to come counts as missing: also on two cores that run five tests at once."""
POLL = 0.03

Streams = Mapping[str, Mapping[str, Any]]


def environment() -> dict[str, str]:
    """The environment without settings of the gateway, and with warnings as errors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


async def eventually(
    check: Callable[[], Awaitable[bool]], what: str, seconds: float = WAIT, told: Callable[[], str] = str
) -> None:
    """Wait for what nothing tells of. `told`: what to say of it where it does not come."""
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s{told()}"
        await asyncio.sleep(POLL)


class GatewayProcess:
    """`python -m gateway`, started, stopped and killed as a test wishes; its ports stay the same."""

    def __init__(
        self, directory: Path, *arguments: str, command: str = "serve", host: str = "127.0.0.1", port: int = 0
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.port = port or free_port()
        self.admin_port = free_port()
        self.variables: dict[str, str] = {}
        """More of its environment."""
        self._output = directory / "stdout"
        self._errors = directory / "stderr"
        self._output_to: Path | None = None
        self._errors_to: Path | None = None
        ports = ["--host", host, "--port", str(self.port), "--admin-port", str(self.admin_port)]
        self._command = [sys.executable, "-m", "gateway", command, *ports, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []
        self._told = "nothing"
        """What /readyz said last."""

    @property
    def address(self) -> str:
        """The URL of the public port."""
        return f"http://{self.host}:{self.port}"

    @property
    def error_path(self) -> Path:
        """The file of its standard error."""
        return self._errors

    @property
    def output(self) -> str:
        """What it wrote to standard output."""
        return self._output.read_text() if self._output.exists() else ""

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text() if self._errors.exists() else ""

    @property
    def pid(self) -> int:
        """The process, or the supervisor of its workers."""
        assert self._process is not None
        return self._process.pid

    def redirect(self, path: Path, output: bool = False) -> None:
        """Let it write its errors, and its output, to a file that is there."""
        self._errors_to = path
        if output:
            self._output_to = path

    def close_errors(self) -> None:
        """Start it without a standard error."""
        self.wrap("sh", "-c", 'exec "$@" 2>&-', "sh")

    def wrap(self, *command: str) -> None:
        """Start it by another program."""
        self._command = [*command, *self._command]

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        assert self._process is None
        output_to, errors_to = self._output_to or self._output, self._errors_to or self._errors
        # No buffer, and no seek: it may be a pipe.
        with open(output_to, "ab", 0) as output, open(errors_to, "ab", 0) as errors:
            given = environment() | self.variables
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=errors, cwd=ROOT, env=given, start_new_session=True
            )
        self._groups.append(self._process.pid)

    async def start(self) -> None:
        """Start, also again; returns when it is ready."""
        self.launch()
        await self.ready()

    async def ready(self, seconds: float = WAIT) -> None:
        """Wait until it says that it is, and its admin port answers. Of several workers one has the admin port, and
        another may be ready before it."""

        async def check() -> bool:
            status = await self.readiness()
            if status == 503:
                with suppress(httpx.TransportError):
                    self._told = await self.inside("/readyz")  # which says more
            return status == 200 and await self._is_inside_open()

        await eventually(
            check, "the gateway is ready", seconds, told=lambda: f"; /readyz said last:\n{self._told}\n{self.errors}"
        )

    async def readiness(self) -> int:
        """The status of /readyz, 0 where the port is closed."""
        assert self._process is not None
        assert self._process.poll() is None, f"the gateway has ended:\n{self.errors}"
        try:
            answer = await self.get("/readyz")
        except httpx.TransportError as error:
            self._told = repr(error)
            return 0
        self._told = f"{answer.status_code} {answer.text}"
        return answer.status_code

    async def _is_inside_open(self) -> bool:
        try:
            await self.inside("/healthz")
        except httpx.TransportError as error:
            self._told += f", and the admin port is closed: {error!r}"
            return False
        return True

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """One request."""
        async with http_client(base_url=self.address, timeout=WAIT) as client:
            return await client.get(path, **more)

    async def metrics(self) -> str:
        """What /metrics tells."""
        return await self.inside("/metrics")

    async def inside(self, path: str) -> str:
        """What the admin port answers."""
        async with http_client(timeout=WAIT) as client:
            return (await client.get(f"http://127.0.0.1:{self.admin_port}{path}")).text

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM), and wait for nothing."""
        assert self._process is not None
        self._process.terminate()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and all its workers at once."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def workers(self) -> list[int]:
        """The ids of its workers."""
        assert self._process is not None
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                command = (status.parent / "cmdline").read_bytes()
                if parent == self._process.pid and b"spawn_main" in command:
                    found.append(int(status.parent.name))
        return found

    async def ended(self) -> int:
        """Wait for its end; the exit status."""
        assert self._process is not None
        status = await asyncio.to_thread(self._process.wait, WAIT)
        self._process = None
        return status

    async def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.terminate()
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        await self.ended()

    def clear_up(self) -> None:
        """End what still runs, and show what it said."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        sys.stderr.write(self.errors)


def configuration(directory: Path, streams: Streams, **settings: Any) -> Path:
    """A configuration file. The settings are such that nothing waits long."""
    given = {"metadata_interval": 0.3, "heartbeat": 0.5, "retry": 200, "drain_time": 0.3, **settings}
    path = directory / "gateway.yaml"
    path.write_text(json.dumps({**given, "streams": streams}))
    return path


def run(arguments: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """A command of the gateway that ends by itself."""
    result = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        input=given,
        capture_output=True,
        cwd=ROOT,
        env=environment(),
        timeout=WAIT,
        check=False,
    )
    texts = result.stdout.decode(), result.stderr.decode()
    assert "Traceback" not in texts[1], texts[1]
    return subprocess.CompletedProcess(result.args, result.returncode, *texts)

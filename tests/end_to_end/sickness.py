"""A gateway whose processes fall sick as a test orders."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import httpx

from gateway.app.composition import open_log
from gateway.model.record import NewRecord
from gateway.settings.table import Settings
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import GatewayProcess, configuration, eventually

PROMPT = 20.0
"""Seconds within which what must not stand is answered: on a busy machine, and before a watchdog ends what stands."""


SICK = """
import os, sys, time
from multiprocessing import current_process
from pathlib import Path

PLACE = Path(os.environ["SICK_PLACE"])

def sicken() -> None:
    '''What a test wants of a process: files named after it are its orders.'''
    import asyncio
    from gateway.app.gateway import Gateway

    serve = Gateway.run

    async def run(self, *arguments, **named):
        async def look():
            while True:
                await asyncio.sleep(0.05)
                for order in PLACE.glob(f"{current_process().name}.*"):
                    kind = order.suffix
                    order.unlink()
                    if kind == ".stand":
                        time.sleep(3600)
                    if kind == ".hold":
                        import ctypes
                        while True:  # A signal, as that which asks for the stacks, ends a sleep.
                            ctypes.PyDLL(None).sleep(3600)  # which holds Python's lock
        if (PLACE / f"{current_process().name}-dies").exists():
            os._exit(9)
        looking = asyncio.create_task(look())
        try:
            await serve(self, *arguments, **named)
        finally:
            looking.cancel()

    Gateway.run = run

if PLACE.is_dir() and not any("resource_tracker" in one for one in sys.orig_argv):
    from gateway.process import restarts
    restarts.FIRST_PAUSE = restarts.LONGEST_PAUSE = float(os.environ.get("SICK_PAUSE", "1"))
    sicken()
    from gateway.process import worker
    worker.STACKS_SECONDS = 5.0  # A worker that is killed may have to wait for a core, to write them.
"""


class Site:
    """A gateway with one stream, and the log that it reads."""

    def __init__(self, directory: Path, launch: Launch) -> None:
        self.directory = directory
        self.url = f"sqlite:///{directory / 'events.db'}"
        self.orders = directory / "orders"
        self._launch = launch
        (directory / "schemas").mkdir()
        self.orders.mkdir()

    def make(self, *arguments: str, **settings: Any) -> GatewayProcess:
        """A gateway that is not started yet."""
        schemas = [str(self.directory / "schemas")]
        config = configuration(self.directory, {"one": {}}, schema_repositories=schemas, **settings)
        return self._launch("--config", str(config), "--log", self.url, *arguments)

    def sicken(self, gateway: GatewayProcess, pause: float = 1.0) -> None:
        """Let the test give orders to its processes."""
        modules = self.directory / "modules"
        modules.mkdir(exist_ok=True)
        (modules / "sitecustomize.py").write_text(SICK)
        gateway.variables |= {
            "PYTHONPATH": str(modules),
            "SICK_PLACE": str(self.orders),
            "SICK_PAUSE": str(pause),
        }

    async def store(self, *values: bytes) -> None:
        """Put values into the stream's topic."""
        log = open_log(Settings(log=self.url))
        await log.open()
        await log.create("one")
        await log.append("one", [NewRecord(value, None, int(time.time() * 1000)) for value in values])
        await log.close()


async def prompt(url: str) -> httpx.Response:
    """A request that must not wait."""
    async with httpx.AsyncClient(timeout=PROMPT, trust_env=False) as client:
        return await client.get(url)


async def says(gateway: GatewayProcess, text: str, times: int = 1) -> None:
    """Wait for a line of the log."""

    async def said() -> bool:
        return gateway.errors.count(text) >= times

    await eventually(said, f"{text!r} in the log")


def sample(text: str, name: str) -> float:
    """The sum of a metric's samples."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


async def serves_and_counts(gateway: GatewayProcess) -> None:
    """Both workers serve, and their figures are told."""
    gateway.launch()
    await gateway.ready()

    async def counted() -> bool:
        try:
            return sample(await gateway.metrics(), "gateway_workers") == 2
        except httpx.ConnectError:
            return False  # The worker with the admin port begins later than the other.

    await eventually(counted, "both workers")
    for _ in range(50):
        assert (await prompt(f"{gateway.address}/v2/streams")).status_code == 200
    assert sample(await gateway.metrics(), "gateway_workers_ended_total") == 0
    assert await gateway.stop() == 0

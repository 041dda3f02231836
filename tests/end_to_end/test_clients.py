"""Real clients that lose their connection, and their server, under load: nothing is lost and nothing repeated."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.conftest import NODE_CLIENTS
from tests.end_to_end.conftest import Serve
from tests.end_to_end.kafka import Producer, create_topic
from tests.end_to_end.process import WAIT, GatewayProcess
from tests.end_to_end.relay import Relay
from tests.end_to_end.stream import Transcript, check_sequence

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

COUNT = 8000
RATE = 2500
CUTS = (1000, 2500, 6500)
RESTART = 4000


class Program(Transcript):
    """A program whose output is a stream."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(65536):
            self.feed(data)
        self.finish()

    async def close(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading


class Lines(Program):
    """A program that writes one JSON object a line."""

    def __init__(self, process: Process) -> None:
        self.gaps: list[str] = []
        super().__init__(process)

    def feed(self, data: bytes) -> None:
        """See Transcript."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "n" in told:
                self.numbers.append(told["n"])
            if "gap" in told:
                self.gaps.append(told["gap"])
        self._changed.set()


@asynccontextmanager
async def relay_to(gateway: GatewayProcess) -> AsyncIterator[Relay]:
    relay = Relay(gateway.port)
    await relay.open()
    yield relay
    await relay.close()


async def run_curl(curl: str, url: str, last_id: str | None, options: list[str]) -> Program:
    given = ["-H", f"Last-Event-ID: {last_id}"] if last_id else []
    return Program(await asyncio.create_subprocess_exec(curl, "-sS", "-N", *options, *given, url, stdout=PIPE))


@pytest.mark.parametrize("options", [[], ["--compressed"]], ids=["plain", "compressed"])
async def test_curl(kafka: str, serve: Serve, producer: Producer, topic: str, *, curl: str, options: list[str]) -> None:
    await create_topic(kafka, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    numbers: list[int] = []
    async with relay_to(gateway) as relay:
        url = f"http://127.0.0.1:{relay.port}/v2/stream/numbers"
        program = await run_curl(curl, url, None, options)
        await program.until(lambda: program.last_id, "the first bytes")
        loading = asyncio.create_task(producer.load(topic, COUNT, RATE))
        for stop_at in sorted((*CUTS, RESTART)):
            await program.number(stop_at)
            if stop_at == RESTART:
                await gateway.kill()
                await gateway.start()
            else:
                relay.cut()
            await program.end()
            await program.close()
            numbers += program.numbers
            assert not program.named("gap")
            program = await run_curl(curl, url, program.last_id, options)
        await loading
        await program.number(COUNT - 1)
        await program.close()
    check_sequence(numbers + program.numbers, 0, COUNT - 1)


async def test_eventsource(kafka: str, serve: Serve, producer: Producer, topic: str, node: str) -> None:
    await create_topic(kafka, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    async with relay_to(gateway) as relay:
        url = f"http://127.0.0.1:{relay.port}/v2/stream/numbers?since=1h"
        command = [node, str(NODE_CLIENTS / "collect.mjs"), url]
        program = Lines(await asyncio.create_subprocess_exec(*command, stdout=PIPE))
        loading = asyncio.create_task(producer.load(topic, COUNT, RATE))
        for stop_at in sorted((*CUTS, RESTART)):
            await program.number(stop_at)
            if stop_at == RESTART:
                await gateway.stop()
                await gateway.start()
            else:
                relay.cut()
        await loading
        async with asyncio.timeout(WAIT):
            await program.number(COUNT - 1)
        await program.close()
    check_sequence(program.numbers, 0, COUNT - 1)
    assert not program.gaps

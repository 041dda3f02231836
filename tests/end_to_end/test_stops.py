"""How a server ends, with the embedded log."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import Launch, Serve
from tests.end_to_end.embedded import CONFIGURATION, STREAM, STREAMS, eventually_printed, lines, produce
from tests.end_to_end.process import WAIT, eventually
from tests.end_to_end.stream import Client
from tests.services.kafka import free_port

pytestmark = pytest.mark.end_to_end

ALLOWED = 20.0
"""Seconds beyond the drain time after which a gateway has ended, as docs/OPERATING.md promises."""
DRAIN = 12.0
"""Seconds: long enough for a busy machine to see what is so only while streams end."""


@pytest.fixture
def log(tmp_path: Path) -> str:
    """The URL of an embedded log of the test's own."""
    return f"sqlite:///{tmp_path / 'log' / 'events.db'}"


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_drains(serve: Serve, client: Client, log: str, workers: int) -> None:
    gateway = await serve(STREAMS, log, drain_time=DRAIN, workers=workers)
    streams = [await client.stream(gateway.port, "numbers") for _ in range(10)]
    started = time.monotonic()
    gateway.terminate()

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        except ConnectionRefusedError:
            return True
        writer.transport.abort()
        return False

    await eventually(refused, "the port is closed")
    assert not all(stream.over for stream in streams)
    assert await gateway.ended() == 0
    assert time.monotonic() - started < DRAIN + ALLOWED
    assert "is killed" not in gateway.errors
    for stream in streams:
        await stream.end()
        assert stream.complete


@pytest.mark.parametrize("all_serve", [True, False])
async def test_a_signal_to_every_process_drains(serve: Serve, client: Client, log: str, *, all_serve: bool) -> None:
    """As Ctrl-C in a terminal sends it, and a service manager; also where a worker is still being started."""
    gateway = await serve(STREAMS, log, drain_time=1, workers=2)
    if all_serve:
        await eventually_printed(lambda: gateway.errors.count("serving ") == 2)
    streams = [await client.stream(gateway.port, "numbers") for _ in range(10)]
    gateway.signal_group(signal.SIGINT)
    assert await gateway.ended() == 0
    for stream in streams:
        await stream.end()
        assert stream.complete


async def test_a_worker_that_dies_is_started_again(serve: Serve, log: str) -> None:
    gateway = await serve(STREAMS, log, workers=2)
    await eventually_printed(lambda: gateway.errors.count("serving ") == 2)
    os.kill(gateway.workers()[0], signal.SIGKILL)
    await eventually_printed(lambda: gateway.errors.count("serving ") == 3)
    assert "another is started" in gateway.errors
    assert await gateway.stop() == 0


async def test_workers_end_with_their_supervisor(serve: Serve, client: Client, log: str) -> None:
    gateway = await serve(STREAMS, log, workers=2)
    streams = [await client.stream(gateway.port, "numbers") for _ in range(4)]
    workers = gateway.workers()
    assert len(workers) == 2
    await gateway.kill()
    for stream in streams:
        await stream.end()
    await eventually_printed(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


async def test_a_stop_while_a_client_does_not_read(gateways: Launch, client: Client, log: str) -> None:
    gateway = gateways("--log", log, *CONFIGURATION, "--drain-time", "0.5")
    await gateway.start()
    stream = await client.stream(gateway.port, STREAM)
    stream.pause()
    assert (await asyncio.to_thread(produce, log, lines(0, 30_000)))[0] == 0
    started = time.monotonic()
    assert await gateway.stop() == 0
    assert time.monotonic() - started < ALLOWED
    # The client is cut off, and nobody waits for it until the bound of requests.
    assert "requests have not ended" not in gateway.errors


async def test_a_stop_while_the_log_is_away(serve: Serve, client: Client) -> None:
    gateway = await serve(STREAMS, f"kafka://127.0.0.1:{free_port()}", ready=False, startup_wait=0.2)

    async def serves() -> bool:
        return await gateway.readiness() == 503

    await eventually(serves, "the port is open")
    stream = await client.stream(gateway.port, "numbers")
    await stream.heard("waiting for the log")
    started = time.monotonic()
    assert await gateway.stop() == 0
    assert time.monotonic() - started < ALLOWED
    await stream.end()
    assert stream.complete


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_second_signal_ends_at_once(serve: Serve, client: Client, log: str, workers: int) -> None:
    gateway = await serve(STREAMS, log, drain_time=60, workers=workers)
    streams = [await client.stream(gateway.port, "numbers") for _ in range(3)]
    gateway.terminate()
    await eventually_printed(lambda: any(stream.over for stream in streams))
    gateway.terminate()
    assert await gateway.ended() == 128 + signal.SIGTERM


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_signal_after_a_drain_ends_in_order(serve: Serve, client: Client, log: str, workers: int) -> None:
    """As a service manager's, after a hook that has asked for the drain."""
    gateway = await serve(STREAMS, log, drain_time=DRAIN, workers=workers)
    # A worker that is still being started would end at the signal, and never say that it drains.
    await eventually_printed(lambda: gateway.errors.count("serving ") == workers)
    # So many that each worker has some of them, and drains as long as the other: the system deals them out at random.
    streams = [await client.stream(gateway.port, "numbers") for _ in range(40)]
    async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as admin:
        for _ in range(2):
            assert (await admin.post(f"http://127.0.0.1:{gateway.admin_port}/-/drain")).status_code == 202

    async def drains() -> bool:
        return f"gateway_draining {workers:.1f}" in await gateway.metrics()

    await eventually(drains, "all of it drains")
    assert not all(stream.over for stream in streams)
    gateway.terminate()
    assert await gateway.ended() == 0
    for stream in streams:
        await stream.end()
        assert stream.complete


async def test_an_interrupt_while_the_workers_start(serve: Serve, log: str) -> None:
    gateway = await serve(STREAMS, log, ready=False, workers=2)
    await eventually_printed(lambda: len(gateway.workers()) == 2)
    gateway.signal_group(signal.SIGINT)
    assert await gateway.ended() == 0

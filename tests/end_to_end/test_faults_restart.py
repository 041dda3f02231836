"""Two gateways, one with two workers, restarted one after the other in order (SIGTERM), under two thousand clients."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable

import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.conftest import Serve
from tests.end_to_end.kafka import Producer
from tests.end_to_end.process import ROOT
from tests.eventlog.kit import create_topic

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

CLIENTS = 2000
EVENTS = 200
PAUSE = 0.1
"""Seconds between two events."""
KEPT = 20
"""Events that come when both gateways run again."""
ANSWER = 1 << 20
"""Bytes that the crowd may say at once."""


async def test_a_rolling_restart_under_two_thousand_clients(
    kafka: str, serve: Serve, producer: Producer, account: Callable[[str], Account], topic: str
) -> None:
    await create_topic(kafka, topic)
    streams = {"numbers": {"topics": [topic]}}
    gateways = [await serve(streams, f"kafka://{kafka}", drain_time=2, workers=workers) for workers in (1, 2)]
    ports = ",".join(str(gateway.port) for gateway in gateways)
    arguments = [ports, "/v2/stream/numbers", str(CLIENTS), str(EVENTS - 1)]
    crowd = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.end_to_end.crowd", *arguments, stdout=PIPE, cwd=ROOT, limit=ANSWER
    )
    assert crowd.stdout is not None
    assert await crowd.stdout.readline() == b"open\n"
    restarted = asyncio.Event()

    async def load() -> None:
        for number in range(EVENTS):
            if number == EVENTS - KEPT:
                await restarted.wait()
            await producer.send(topic, [number])
            await asyncio.sleep(PAUSE)

    loading = asyncio.create_task(load())
    for gateway in gateways:
        assert await gateway.stop() == 0
        await gateway.start()
    restarted.set()
    await loading
    assert await crowd.stdout.readline() == b"half\n"
    counted = json.loads(await crowd.stdout.readline())
    assert await crowd.wait() == 0
    assert counted["responses"] >= 2, "every client was sent away once at least"
    line = account("rolling restart of two gateways")
    line.add(CLIENTS, counted["events"], counted["lost"], counted["repeated"], counted["gaps"])
    line.healed(counted["heal"])
    line.close()
    assert counted["gaps"] == 0

"""A gateway that is killed (SIGKILL) under many clients, mid-replay and mid-stream, and started again."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

from tests.end_to_end.conftest import Accounts, Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import Producer
from tests.end_to_end.process import ROOT
from tests.eventlog.kit import create_topic

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

CLIENTS = 500
HISTORY = 1000
LIVE = 2500
RATE = 400
KILLS = (500, 2500)
"""Killed when these events have come: of the history, and of what comes live, whose last third comes only then."""
ANSWER = 1 << 20
"""Bytes that the crowd may say at once."""


async def test_a_gateway_that_is_killed_under_five_hundred_clients(
    kafka: str,
    serve: Serve,
    follow: Follow,
    producer: Producer,
    account: Accounts,
    topic: str,
) -> None:
    await create_topic(kafka, topic)
    await producer.send(topic, range(HISTORY), padding=300)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    last = HISTORY + LIVE - 1
    watched = await follow(gateway.port, "numbers", since=1)
    await watched.number(KILLS[0])
    arguments = [str(gateway.port), "/v2/stream/numbers?since=1", str(CLIENTS), str(last), "halt"]
    crowd = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.end_to_end.crowd", *arguments, stdout=PIPE, cwd=ROOT, limit=ANSWER
    )
    assert crowd.stdout is not None
    assert await crowd.stdout.readline() == b"open\n"
    # Nobody has all before the second.
    killed = asyncio.Event()
    loading = asyncio.create_task(producer.load(topic, LIVE, RATE, first=HISTORY, until=killed))
    for number in KILLS:
        await watched.number(number)
        if number > HISTORY:
            # Whoever reads slowest is a machine's matter: one of the crowd at least is to be past the history.
            assert await crowd.stdout.readline() == b"half\n"
        await gateway.kill()
        # It stopped itself amid the replay, of which it would have all before a busy machine has come to kill.
        crowd.send_signal(signal.SIGCONT)
        await gateway.start()
    killed.set()
    await loading
    counted = json.loads(await crowd.stdout.readline())
    assert await crowd.wait() == 0
    # Not how each ended when it had all.
    cuts = counted["cuts"][: len(KILLS) * CLIENTS]
    assert min(cuts) < HISTORY <= max(cuts), "some were cut off mid-replay, and some mid-stream"
    assert counted["responses"] == len(KILLS) + 1
    line = account("gateway killed twice", f"{RATE} events/s, {CLIENTS} clients")
    line.add(CLIENTS, counted["events"], counted["lost"], counted["repeated"], counted["gaps"])
    line.healed(counted["heal"])
    await watched.number(last)
    line.count(watched, range(last + 1))
    line.close()
    assert counted["gaps"] == 0

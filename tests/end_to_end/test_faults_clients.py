"""Clients that come and go at random, read nothing or a byte a second, or send what is no request."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.machine import resident
from tests.effort import lasting
from tests.end_to_end.conftest import Accounts, Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.numbers import STREAM, Sender, numbered
from tests.end_to_end.process import ROOT, GatewayProcess, eventually

pytestmark = pytest.mark.end_to_end

CONNECTIONS = lasting(2000, 10_000)
CHURN_SECONDS = lasting(8, 150)
ROUND_SECONDS = lasting(8, 30)
"""Of the first churn, after which memory is what it is when there has been some."""
GROWTH = 8_000_000 + 7600 * CONNECTIONS
"""Bytes of memory that may be more after the churn: what the allocator keeps of the connections that were open at the
same time, where they were fewer in the first churn. Connections that are not forgotten would add up to several times
that."""
HOSTILE = lasting(60, 300)
HOSTILE_SECONDS = lasting(5, 60)


def files(gateway: GatewayProcess) -> int:
    """Its open file descriptors."""
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


async def disturb(gateway: GatewayProcess, kind: str, connections: int, seconds: int) -> dict[str, int]:
    """Clients in a process of their own, and what they counted."""
    arguments = [str(gateway.port), kind, str(connections), str(seconds)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.end_to_end.strangers", *arguments, stdout=PIPE, cwd=ROOT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    counted: dict[str, int] = json.loads(said)
    return counted


async def test_connections_that_come_and_go_at_random(
    serve: Serve, follow: Follow, account: Accounts, note: Callable[[str], None], tmp_path: Path
) -> None:
    """Memory and file descriptors are back where they were, and those who stay get everything."""
    gateway = await serve(log=f"sqlite:///{tmp_path / 'events.db'}", **numbered(tmp_path))
    async with Sender(gateway) as sender:
        await sender.until(10)
        staying = [await follow(gateway.port, STREAM, since=1) for _ in range(3)]
        open_before = files(gateway)

        async def closed() -> bool:
            # A descriptor more or less: the sender's connection is opened again now and then.
            return files(gateway) <= open_before + 2

        await disturb(gateway, "churn", CONNECTIONS, ROUND_SECONDS)
        await eventually(closed, "the connections are closed")
        before = resident(gateway.pid)
        line = account(f"{CONNECTIONS:,} connections opened and closed at random", "50 events/s, 3 clients that stay")
        line.struck()
        counted = await disturb(gateway, "churn", CONNECTIONS, CHURN_SECONDS)
        line.begin()
        await line.heal(staying)
        await eventually(closed, "the connections are closed")
        after, open_after = resident(gateway.pid), files(gateway)
        last = await sender.end() - 1
    for client in staying:
        await client.have(last)
        line.count(client, range(last + 1))
    line.close()
    note(
        f"churn: {counted['opened']:,} connections in {CHURN_SECONDS} s, {counted['streams']:,} of them with a stream, "
        f"at most {counted['most']:,} at once; memory before {before / 1e6:.1f} MB, after {after / 1e6:.1f} MB; "
        f"file descriptors before {open_before}, after {open_after}"
    )
    assert counted["opened"] > CONNECTIONS
    assert counted["streams"] > CONNECTIONS // 10
    assert after - before < GROWTH
    assert await gateway.stop() == 0


@pytest.mark.parametrize("kind", ["silent", "trickle", "garbage"])
async def test_strangers_beside_healthy_clients(
    serve: Serve, follow: Follow, account: Accounts, tmp_path: Path, *, kind: str
) -> None:
    """Those who read nothing, read or write a byte a second, or send garbage, harm nobody else."""
    gateway = await serve(log=f"sqlite:///{tmp_path / 'events.db'}", ring_bytes=500_000, **numbered(tmp_path))
    # As many bytes as fill what the kernel holds for a client that reads nothing.
    async with Sender(gateway, padding=20_000) as sender:
        await sender.until(10)
        healthy = [await follow(gateway.port, STREAM, since=1) for _ in range(3)]
        names = {"silent": "reading nothing", "trickle": "reading and writing a byte a second", "garbage": "of garbage"}
        line = account(f"{HOSTILE} clients {names[kind]}", "50 events/s, 3 healthy clients")
        line.struck()
        counted = await disturb(gateway, kind, HOSTILE, HOSTILE_SECONDS)
        line.begin()
        joined = await follow(gateway.port, STREAM, since=1)
        await line.heal([*healthy, joined])
        last = await sender.end() - 1
    for client in (*healthy, joined):
        await client.have(last)
        line.count(client, range(last + 1))
    line.close()
    assert counted["opened"] >= HOSTILE
    assert counted["errors"] == 0, "a stranger was answered with a 5xx, or a traceback"
    assert all(client.responses == 1 for client in (*healthy, joined))
    assert await gateway.stop() == 0

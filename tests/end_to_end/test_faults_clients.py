"""Clients that read nothing or a byte a second, or send what is no request."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.effort import lasting
from tests.end_to_end.conftest import Accounts, Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.numbers import STREAM, Sender, numbered
from tests.end_to_end.strangers import disturb

pytestmark = pytest.mark.end_to_end

HOSTILE = lasting(60, 300)
HOSTILE_SECONDS = lasting(5, 60)


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
        counted = await disturb(gateway.port, kind, HOSTILE, HOSTILE_SECONDS)
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

"""Connections that come and go at random, by the thousand: nothing of them stays."""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.stream import Stream
from loadtests.machine import resident
from tests.effort import lasting
from tests.end_to_end.conftest import Accounts, Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.numbers import STREAM, Sender, numbered
from tests.end_to_end.process import eventually
from tests.end_to_end.strangers import disturb
from tests.kit.waiting import becomes
from tests.routes.kit import running, stored

pytestmark = pytest.mark.end_to_end

CONNECTIONS = lasting(2000, 10_000)
"""At the same time, at the most."""
ROUNDS = 4
ROUND_SECONDS = lasting(4, 40)
CACHES = {"ring_bytes": 500_000, "block_cache_bytes": 500_000, "replay_cache_bytes": 500_000}
"""So small that they are full after the first round."""
GROWTH = 8_000_000 + 7600 * CONNECTIONS
"""Bytes of memory by which the later half of the rounds may be above the earlier one: what the allocator keeps of those
that are open at the same time, which may be more. Whether anything stays of one that is closed is counted below."""
PLACES = 250
SECONDS = 3
LEFT_OVER = 0.02
"""Of a kind of object, for each connection: caches hold some, whoever comes. One kind of stranger in ten that left one
behind would leave five times as many."""


def files(pid: int) -> int:
    """The open file descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


async def test_connections_that_come_and_go_at_random(
    serve: Serve, follow: Follow, account: Accounts, note: Callable[[str], None], tmp_path: Path
) -> None:
    """Memory and file descriptors are back where they were, and those who stay get everything."""
    gateway = await serve(log=f"sqlite:///{tmp_path / 'events.db'}", **CACHES, **numbered(tmp_path))
    memory, opened, streams, most = [resident(gateway.pid)], 0, 0, 0
    async with Sender(gateway) as sender:
        await sender.until(10)
        staying = [await follow(gateway.port, STREAM, since=1) for _ in range(3)]
        open_before = files(gateway.pid)

        async def closed() -> bool:
            # A descriptor more or less: the sender's connection is opened again now and then.
            return files(gateway.pid) <= open_before + 2

        line = account(f"{CONNECTIONS:,} connections opened and closed at random", "50 events/s, 3 clients that stay")
        line.struck()
        for _ in range(ROUNDS):
            counted = await disturb(gateway.port, "churn", CONNECTIONS, ROUND_SECONDS)
            await eventually(closed, "the connections are closed")
            memory.append(resident(gateway.pid))
            opened, streams = opened + counted["opened"], streams + counted["streams"]
            most = max(most, counted["most"])
        line.begin()
        await line.heal(staying)
        open_after = files(gateway.pid)
        last = await sender.end() - 1
    for client in staying:
        await client.have(last)
        line.count(client, range(last + 1))
    line.close()
    told = ", ".join(f"{size / 1e6:.1f}" for size in memory)
    note(
        f"churn: {opened:,} connections in {ROUNDS} rounds of {ROUND_SECONDS} s, {streams:,} of them with a stream, at "
        f"most {most:,} at once; memory at the start and after each round {told} MB; file descriptors before "
        f"{open_before}, after {open_after}"
    )
    assert opened > CONNECTIONS
    assert streams > CONNECTIONS // 10
    half = ROUNDS // 2
    assert max(memory[1 + half :]) - max(memory[1 : 1 + half]) < GROWTH, memory
    assert await gateway.stop() == 0


def kinds() -> Counter[str]:
    """How many objects of each type there are."""
    gc.collect()
    counts: Counter[str] = Counter()
    # Not by the constructor, which asks whether it is given a mapping: the first answer makes objects of its own.
    for one in gc.get_objects():
        counts[f"{type(one).__module__}.{type(one).__qualname__}"] += 1
    return counts


def left_over(before: Counter[str], opened: int) -> dict[str, int]:
    """How many more there are of each type, where it is more than caches account for."""
    return {name: more for name, more in (kinds() - before).items() if more > LEFT_OVER * opened}


@pytest.mark.parametrize("kind", ["churn", "garbage"])
async def test_no_object_of_a_connection_stays(caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """No session, protocol, request, task, timer, lease, nor anything else, whatever ended the connection."""
    caplog.set_level(logging.CRITICAL)  # pytest keeps what is logged
    limits: dict[str, Any] = {"exempt_networks": (), "limit_connects": 100_000, "limit_streams_per_address": 100_000}
    async with running(streams=[Stream(STREAM, (STREAM,))], keep_alive=0.5, **limits) as site:
        site.put(STREAM, *(stored(number) for number in range(5)))
        server = site.gateway.server
        assert server is not None
        await disturb(site.port, kind, PLACES, SECONDS)
        await becomes(lambda: server._known.count == 0)
        before, open_before = kinds(), files(os.getpid())
        gc.disable()
        try:
            opened = (await disturb(site.port, kind, PLACES, SECONDS))["opened"]
            await becomes(lambda: server._known.count == 0)
            circles = gc.collect()
        finally:
            gc.enable()
        assert opened >= PLACES
        # In a gateway a collection of what is older comes after hundreds of thousands of connections.
        assert circles < opened, f"{circles} objects of {opened} connections waited for a collection"

        async def gone() -> bool:
            return not left_over(before, opened) and files(os.getpid()) <= open_before

        try:
            await eventually(gone, "nothing of the connections is left")
        except AssertionError as error:
            raise AssertionError(f"of {opened} connections there are left: {left_over(before, opened)}") from error

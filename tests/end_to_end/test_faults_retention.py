"""Records that are deleted before clients have read them: told as a gap of just what was lost."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import Producer, configure_topic, expire, first_offset, forgotten
from tests.end_to_end.process import eventually
from tests.eventlog.kit import create_topic

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

OLD = 5000
"""Events that will be deleted: so many that no client which pauses has all of them in its socket."""
NEW = 500
PADDING = 1000
HOUR = 3_600_000
"""Milliseconds."""


async def by_request(kafka: str, topic: str) -> None:
    """Kafka's deleteRecords."""
    await expire(kafka, topic, OLD)


async def by_time(kafka: str, topic: str) -> None:
    """Retention: the old events are older than a minute by now."""
    await configure_topic(kafka, topic, retention_ms="60000")

    async def gone() -> bool:
        return await first_offset(kafka, topic) == OLD

    await eventually(gone, "the old events are deleted")


DELETIONS: dict[str, Callable[[str, str], Awaitable[None]]] = {"deleteRecords": by_request, "retention": by_time}


@pytest.mark.parametrize("deletion", DELETIONS)
async def test_positions_that_are_passed(
    kafka: str,
    serve: Serve,
    follow: Follow,
    producer: Producer,
    account: Callable[[str], Account],
    topic: str,
    *,
    deletion: str,
) -> None:
    await create_topic(kafka, topic, retention_ms="-1")
    early = int(time.time() * 1000) - HOUR
    await producer.send(topic, range(100), timestamp=early)
    settings = {"ring_bytes": 500_000, "metadata_interval": 1}
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}", **settings)
    laggard = await follow(gateway.port, "numbers", since=1)
    prompt = await follow(gateway.port, "numbers", since=1)
    await asyncio.gather(laggard.number(99), prompt.number(99))
    laggard.pause()
    await producer.send(topic, range(100, OLD), timestamp=early + 1, padding=PADDING)
    replaying = await follow(gateway.port, "numbers", since=1)
    await replaying.number(1000)
    replaying.pause()
    await prompt.number(OLD - 1)
    line = account(f"{deletion} passes clients")
    await DELETIONS[deletion](kafka, topic)
    await producer.send(topic, range(OLD, OLD + NEW))
    await forgotten(gateway, "numbers", prompt.messages[OLD - 2].identifier)
    line.begin()
    places = {first: prompt.messages[first].identifier for first in (0, 1500, OLD - 2, OLD - 1)}
    resumed = {first + 1: await follow(gateway.port, "numbers", place) for first, place in places.items()}
    laggard.go_on()
    replaying.go_on()
    last = OLD + NEW - 1
    clients = [laggard, replaying, prompt, *resumed.values()]
    await line.heal(clients, last)
    for client in (laggard, replaying):
        line.count_offsets(client, topic, 0, last, gaps=1)
    line.count_offsets(prompt, topic, 0, last)
    for first, client in resumed.items():
        # What was deleted is not in memory either.
        line.count_offsets(client, topic, first, last, gaps=1 if first < OLD else 0)
    line.close()
    again = await follow(gateway.port, "numbers", laggard.last_id)
    await producer.send(topic, [last + 1])
    await again.number(last + 1)
    assert not again.named("gap")


@pytest.mark.parametrize("deletion", DELETIONS)
async def test_a_gateway_that_is_passed(
    kafka: str,
    serve: Serve,
    follow: Follow,
    producer: Producer,
    account: Callable[[str], Account],
    topic: str,
    *,
    deletion: str,
) -> None:
    """The process hangs, and what it has not read is deleted: every live client is told."""
    other = f"{topic}.other"
    await create_topic(kafka, topic, retention_ms="-1")
    await create_topic(kafka, other)
    early = int(time.time() * 1000) - HOUR
    gateway = await serve({"numbers": {"topics": [topic]}, "other": {"topics": [other]}}, f"kafka://{kafka}")
    await producer.send(topic, range(100), timestamp=early)
    live = [await follow(gateway.port, "numbers", since=1) for _ in range(3)]
    elsewhere = await follow(gateway.port, "other")
    await asyncio.gather(*(client.number(99) for client in live))
    gateway.signal_group(signal.SIGSTOP)
    await producer.send(topic, range(100, OLD), timestamp=early + 1, padding=PADDING)
    line = account(f"{deletion} passes the gateway")
    await DELETIONS[deletion](kafka, topic)
    await producer.send(topic, range(OLD, OLD + NEW))
    await producer.send(other, range(10))
    line.begin()
    gateway.signal_group(signal.SIGCONT)
    last = OLD + NEW - 1
    await line.heal(live, last)
    for client in live:
        line.count_offsets(client, topic, 0, last, gaps=1)
    await elsewhere.number(9)
    line.count_offsets(elsewhere, other, 0, 9)
    line.close()
    assert json.loads(live[0].last_id or "")[0]["offset"] == last

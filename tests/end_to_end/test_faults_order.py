"""A gateway that stood still: what it catches up on comes in the order of time, from the log and from memory."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import event, open_producer, place_topic
from tests.end_to_end.process import GatewayProcess
from tests.eventlog.kit import create_topic
from tests.services.kafka import KafkaCluster

# A log that gives nothing for a second holds back nobody: its process, and each of three brokers, has to answer in that
# time.
pytestmark = [pytest.mark.end_to_end, pytest.mark.alone]

PARTS = 6
EARLIER = 60
MISSED = 12_000
"""Events that come while the gateway stands still: more than one read, one answer and one share of a partition."""
STEP = 10
"""Milliseconds from one to the next."""
PADDING = 400

Send = Callable[[range], Awaitable[None]]


async def stand_still(gateway: GatewayProcess, follow: Follow, send: Send) -> None:
    """Events of all partitions in turn, before, during and after."""
    live = await follow(gateway.port, "numbers")
    await live.until(lambda: live.last_id is not None, "an id")
    await send(range(EARLIER))
    await live.have(EARLIER - 1)
    gateway.signal_group(signal.SIGSTOP)
    await asyncio.sleep(2.0)
    await send(range(EARLIER, EARLIER + MISSED))
    gateway.signal_group(signal.SIGCONT)
    end = EARLIER + MISSED
    await live.until(lambda: len(live.numbers) == end, "all that it has missed")
    assert live.numbers[EARLIER:] == list(range(EARLIER, end))
    # From memory, in the order in which it was read.
    first = live.messages[EARLIER - 1].identifier
    again = await follow(gateway.port, "numbers", first)
    await again.until(lambda: len(again.numbers) >= MISSED, "all of it again")
    assert again.numbers == live.numbers[EARLIER:]
    # And nothing waits once there is nothing to catch up on. One or the other may come late on a slow machine; what is
    # held back for other partitions would be late each time.
    taken = []
    for number in range(end, end + 20):
        began = time.monotonic()
        await send(range(number, number + 1))
        await live.have(number)
        taken.append(time.monotonic() - began)
    assert sorted(taken)[len(taken) // 2] < 0.6, taken
    assert live.responses == 1
    assert not live.named("gap")


def milliseconds() -> Callable[[int], int]:
    """Times of the numbers, of which the last is about now."""
    begin = time.time_ns() // 1_000_000 - STEP * (EARLIER + MISSED)
    return lambda number: begin + STEP * number


@pytest.mark.kafka
async def test_over_kafka(kafka: str, serve: Serve, follow: Follow, topic: str) -> None:
    await create_topic(kafka, topic, PARTS)
    await over_kafka(kafka, serve, follow, topic)


@pytest.mark.kafka
async def test_over_kafka_where_each_broker_leads_some(
    cluster: KafkaCluster, serve: Serve, follow: Follow, topic: str
) -> None:
    await place_topic(cluster.bootstrap, topic, *itertools.islice(itertools.cycle([[1], [2], [3]]), PARTS))
    await over_kafka(cluster.bootstrap, serve, follow, topic)


async def over_kafka(bootstrap: str, serve: Serve, follow: Follow, topic: str) -> None:
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{bootstrap}")
    at = milliseconds()
    async with open_producer(bootstrap) as producer:

        async def send(numbers: range) -> None:
            sent = [
                await producer.client.send(topic, event(n, PADDING), partition=n % PARTS, timestamp_ms=at(n))
                for n in numbers
            ]
            await asyncio.gather(*sent)

        await stand_still(gateway, follow, send)


async def test_over_sqlite(tmp_path: Path, serve: Serve, follow: Follow) -> None:
    log = SqliteLog(tmp_path / "events.db")
    await log.open()
    try:
        await log.create("t", PARTS)
        gateway = await serve({"numbers": {"topics": ["t"]}}, f"sqlite:///{tmp_path}/events.db")
        at = milliseconds()

        async def send(numbers: range) -> None:
            await log.append("t", [NewRecord(event(n, PADDING), None, at(n), n % PARTS) for n in numbers])

        await stand_still(gateway, follow, send)
    finally:
        await log.close()

"""A gateway whose Kafka goes and comes, and which goes and comes itself."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import open_producer
from tests.end_to_end.process import eventually
from tests.end_to_end.stream import Client, check_sequence
from tests.eventlog.kit import create_topic
from tests.services.kafka import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

WAITING = "waiting for the log"


async def test_a_log_that_is_not_there_at_the_start(
    broker: KafkaBroker, serve: Serve, client: Client, topic: str
) -> None:
    await create_topic(broker.bootstrap, topic)
    async with open_producer(broker.bootstrap) as producer:
        await producer.send(topic, range(10))
    await asyncio.to_thread(broker.stop)
    gateway = await serve(
        {"numbers": {"topics": [topic]}}, f"kafka://{broker.bootstrap}", ready=False, startup_wait=0.5
    )

    async def not_ready() -> bool:
        return await gateway.readiness() == 503

    await eventually(not_ready, "the gateway serves without its log")
    assert "the log" in (await gateway.get("/readyz")).text

    async def tells_why() -> bool:
        return str(broker.port) in await gateway.inside("/readyz")

    await eventually(tells_why, "the first try has failed, and the operator is told")
    assert (await gateway.get("/healthz")).status_code == 200
    live = await client.stream(gateway.port, "numbers")
    replay = await client.stream(gateway.port, "numbers", since="1h")
    position = json.dumps([{"topic": topic, "partition": 0, "offset": 4}])
    resumed = await client.stream(gateway.port, "numbers", position)
    for stream in (live, replay, resumed):
        await stream.heard(WAITING)
        assert stream.last_id
    await asyncio.to_thread(broker.start)
    await gateway.ready()
    async with open_producer(broker.bootstrap) as producer:
        await producer.send(topic, range(10, 20))
    for stream, first in ((live, 10), (replay, 0), (resumed, 5)):
        await stream.number(19)
        check_sequence(stream.numbers, first, 19)
        assert not stream.named("gap")
    assert await gateway.stop() == 0


async def test_a_stop_while_a_client_does_not_read(
    broker: KafkaBroker, serve: Serve, follow: Follow, topic: str
) -> None:
    await create_topic(broker.bootstrap, topic)
    async with open_producer(broker.bootstrap) as producer:
        await producer.send(topic, range(10_000), padding=1000)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{broker.bootstrap}", ring_bytes=100_000)
    client = await follow(gateway.port, "numbers", since=1)
    await client.number(10)
    client.pause()
    assert await gateway.stop() == 0
    assert "error" not in gateway.errors
    await gateway.start()
    client.go_on()
    await client.number(9999)
    check_sequence(client.numbers, 0, 9999)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_client_that_stops_reading(
    broker: KafkaBroker, serve: Serve, client: Client, topic: str, coding: str
) -> None:
    await create_topic(broker.bootstrap, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{broker.bootstrap}", ring_bytes=200_000)
    slow = await client.stream(gateway.port, "numbers", headers={"Accept-Encoding": coding})
    fast = await client.stream(gateway.port, "numbers")
    async with open_producer(broker.bootstrap) as producer:
        await producer.send(topic, range(10))
        await slow.events(10)
        slow.pause()
        await producer.load(topic, 10_000, 20_000, first=10, padding=1000)
        await fast.number(10_009)
        slow.go_on()
        await slow.number(10_009)
        await producer.send(topic, [10_010])
        await slow.number(10_010)
    check_sequence(slow.numbers, 0, 10_010)
    check_sequence(fast.numbers, 0, 10_009 + (fast.numbers[-1] == 10_010))

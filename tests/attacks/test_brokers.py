"""Brokers that hang and die, and a partition without a leader, beside those of the plain client; records of Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.attacks.conftest import HOSTILE, SETTINGS, STREAMS
from tests.attacks.force import Options
from tests.attacks.monitor import Put
from tests.attacks.plain import STREAM
from tests.attacks.sick import TOPIC
from tests.attacks.siege import SECONDS, Line, besieged
from tests.effort import lasting
from tests.end_to_end.conftest import Serve
from tests.end_to_end.kafka import delete_topic, open_producer, place_topic
from tests.eventlog.kit import create_topic
from tests.services.kafka import KafkaCluster

pytestmark = [pytest.mark.end_to_end, pytest.mark.kafka]

HANGS = lasting(7, 40)
"""Seconds: longer than any call of the log may take."""
DOWN = lasting(5, 30)
EVERYBODY: dict[str, Any] = {"exempt_networks": ["127.0.0.0/8"]}
CLIENTS = 39


@asynccontextmanager
async def writing(bootstrap: str, topic: str) -> AsyncIterator[Put]:
    """Writes the plain client's events, and asks no broker for more than that."""
    async with open_producer(bootstrap, metadata_max_age_ms=600_000) as producer:

        async def put(value: bytes) -> None:
            await producer.client.send_and_wait(topic, value, partition=0)

        yield put


async def test_brokers_that_hang_and_die(cluster: KafkaCluster, serve: Serve, lines: list[Line], topic: str) -> None:
    """A broker that leads a partition of another topic hangs, and dies; then a gateway starts while it is dead."""
    sick = f"{topic}.sick"
    await place_topic(cluster.bootstrap, topic, [1])
    await place_topic(cluster.bootstrap, sick, [1], [3])
    async with open_producer(cluster.bootstrap) as producer:
        for partition in (0, 1):
            await producer.send(sick, range(100), partition=partition)
    streams = {STREAM: {"topics": [topic]}, TOPIC: {"topics": [sick], "schema_title": "wiki/change"}}
    third = cluster.brokers[3]
    async with writing(cluster.brokers[1].bootstrap, topic) as put:
        gateway = await serve(streams, f"kafka://{cluster.bootstrap}", **SETTINGS | EVERYBODY)
        options = Options(gateway.port, "", count=CLIENTS)
        attack = "sick", "everything", options
        try:
            name = f"a broker hangs for {HANGS} s, and dies; {CLIENTS} clients of its topic"
            async with besieged(name, gateway, put, lines, attack) as siege:
                third.pause()
                await siege.monitor.endure(HANGS)
                third.resume()
                await siege.monitor.endure(1)
                third.kill()
                await siege.monitor.endure(DOWN)
                assert siege.monitor.events
            await gateway.start()
            name = f"a start while a partition has no leader; {CLIENTS} clients of its topic"
            async with besieged(name, gateway, put, lines, attack) as siege:
                await siege.monitor.endure(DOWN)
        finally:
            if third.pid is not None:
                third.resume()
            await asyncio.to_thread(cluster.start)


@pytest.mark.parametrize(
    ("module", "attack", "count"), [("records", "strange", 0), ("records", "times", 0), ("readers", "resumed", 40)]
)
async def test_over_kafka(
    kafka: str, serve: Serve, lines: list[Line], topic: str, module: str, attack: str, count: int
) -> None:
    names = {STREAM: f"{topic}.{STREAM}", HOSTILE: f"{topic}.{HOSTILE}", "timed": f"{topic}.timed"}
    for name, partitions in ((STREAM, 1), (HOSTILE, 4), ("timed", 1)):
        await create_topic(kafka, names[name], partitions, max_message_bytes="8000000")
    streams = {name: {**STREAMS[name], "topics": [own]} for name, own in names.items()}
    async with writing(kafka, names[STREAM]) as put:
        gateway = await serve(streams, f"kafka://{kafka}", **SETTINGS | EVERYBODY)
        options = Options(gateway.port, f"kafka://{kafka}", count=count, prefix=f"{topic}.")
        name = f"over Kafka: {module}, {attack}"
        async with besieged(name, gateway, put, lines, (module, attack, options)) as siege:
            await siege.monitor.endure(SECONDS)
    for own in names.values():
        await delete_topic(kafka, own)

"""Programs that produce over HTTP while the gateway under them is killed: each event is stored once."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.client import BlockingProducer, EventInvalid, Producer, ProducerOptions
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import demand
from gateway.model.record import TopicPartition
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import WAIT, GatewayProcess
from tests.end_to_end.relay import Relay
from tests.end_to_end.stream import Client, check_sequence
from tests.eventlog.kit import batches_of, patiently

pytestmark = pytest.mark.end_to_end

PARTITIONS = 2
SCHEMA = """
title: thing
$id: /thing/1.0.0
type: object
properties:
  $schema: {type: string}
  meta:
    type: object
    properties: {id: {type: string}, dt: {type: string}, stream: {type: string}, request_id: {type: string}}
  n: {type: integer}
  text: {type: string}
required: [n]
"""


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    directory = tmp_path / "schemas" / "thing"
    directory.mkdir(parents=True)
    (directory / "1.0.0.yaml").write_text(SCHEMA)
    return tmp_path / "schemas"


def event(number: object) -> dict[str, Any]:
    return {"$schema": "/thing/1.0.0", "meta": {"stream": "things"}, "n": number, "text": "x" * 200}


async def stored(log: EventLog, topic: str) -> list[int]:
    """`n` of each record of the topic."""
    bounds = demand(await log.bounds([TopicPartition(topic, number) for number in range(PARTITIONS)]))
    left = {partition: bound.end for partition, bound in bounds.items() if bound.end > bound.start}
    reader = await log.reader({partition: bounds[partition].start for partition in left})
    numbers: list[int] = []
    while left:
        for batch in batches_of(await reader.fetch(10.0)):
            numbers += [orjson.loads(record.value or b"")["n"] for record in batch.records]
            if batch.position >= left.get(batch.partition, 0):
                left.pop(batch.partition, None)
    await reader.close()
    return numbers


async def feed(producer: Producer, stop: asyncio.Event) -> int:
    """Give events over until it is enough; returns how many, once all are stored."""
    futures: list[asyncio.Future[None]] = []
    while not stop.is_set():
        first = len(futures)
        futures += [await producer.put(event(number)) for number in range(first, first + 20)]
        await asyncio.sleep(0.005)
    await asyncio.gather(*futures)
    return len(futures)


async def kill_and_start(gateway: GatewayProcess, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0.2, 0.8))
    await gateway.kill()
    gateway.launch()
    await gateway.ready()


@asynccontextmanager
async def opened(log: EventLog) -> AsyncIterator[EventLog]:
    await log.open()
    try:
        yield log
    finally:
        await log.close()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_nothing_is_lost_or_stored_twice_when_the_gateway_is_killed(
    request: pytest.FixtureRequest, serve: Serve, tmp_path: Path, topic: str, schemas: Path, kind: str
) -> None:
    named: EventLog
    if kind == "kafka":
        bootstrap: str = request.getfixturevalue("kafka")
        named, url = KafkaLog([bootstrap]), f"kafka://{bootstrap}"
    else:
        named, url = SqliteLog(tmp_path / "events.db"), f"sqlite:///{tmp_path / 'events.db'}"
    async with opened(named) as log:
        await patiently(lambda: log.create(topic, PARTITIONS))
        things = {"things": {"topics": [topic], "schema_title": "thing"}}
        gateway = await serve(things, url, schema_repositories=[str(schemas)])
        chance = random.Random(11)
        stop = asyncio.Event()
        async with Producer(gateway.address, ProducerOptions(batch_events=100, compress=True, requests=2)) as producer:
            feeding = asyncio.create_task(feed(producer, stop))
            for _ in range(5):
                await kill_and_start(gateway, chance)
            stop.set()
            count = await feeding
        numbers = await stored(log, topic)
        repeated = [number for number, times in Counter(numbers).items() if times > 1]
        assert (repeated, set(range(count)) - set(numbers)) == ([], set())
        assert len(numbers) == count


async def test_events_whose_answers_are_lost_are_stored_once(serve: Serve, tmp_path: Path, schemas: Path) -> None:
    things = {"things": {"topics": ["things"], "partitions": PARTITIONS, "schema_title": "thing"}}
    path = tmp_path / "events.db"
    gateway = await serve(things, f"sqlite:///{path}", schema_repositories=[str(schemas)])
    relay = Relay(gateway.port)
    await relay.open()
    stop = asyncio.Event()
    try:
        async with Producer(f"http://127.0.0.1:{relay.port}", ProducerOptions(batch_events=20)) as producer:
            feeding = asyncio.create_task(feed(producer, stop))
            for kept in (0.0, 0.5, 0.0, 0.9):
                async with asyncio.timeout(WAIT):
                    await relay.cut(kept)
            stop.set()
            count = await feeding
    finally:
        await relay.close()
    async with opened(SqliteLog(path)) as log:
        assert sorted(await stored(log, "things")) == list(range(count))
    async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as client:
        metrics = (await client.get(f"http://127.0.0.1:{gateway.admin_port}/metrics")).text
    repeated = re.search(r'^gateway_intake_events_total\{outcome="repeated",.*\} ([0-9.e+]+)$', metrics, re.MULTILINE)
    assert repeated is not None
    assert float(repeated[1]) >= 20


async def test_a_subscriber_gets_what_a_program_without_an_event_loop_sends(
    serve: Serve, client: Client, tmp_path: Path, schemas: Path
) -> None:
    things = {"things": {"schema_title": "thing"}}
    gateway = await serve(things, f"sqlite:///{tmp_path / 'events.db'}", schema_repositories=[str(schemas)])
    stream = await client.stream(gateway.port, "things")

    def produce() -> str:
        with BlockingProducer(gateway.address) as producer:
            futures = [producer.put(event(number)) for number in range(50)]
            with pytest.raises(EventInvalid) as invalid:
                producer.send(event("no number"))
            for future in futures:
                future.result(WAIT)
        return invalid.value.detail

    assert "/n" in await asyncio.to_thread(produce)
    await stream.number(49)
    check_sequence(stream.numbers, 0, 49)

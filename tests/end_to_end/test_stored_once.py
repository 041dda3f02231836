"""The same event at two processes: at once, one after the other, and from senders that try again wherever they can."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.connection import FORMAT
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import demand
from gateway.model.record import TopicPartition
from tests.effort import lasting
from tests.end_to_end.conftest import Launch, Serve
from tests.end_to_end.process import WAIT, GatewayProcess, eventually, run
from tests.end_to_end.test_intake import Events, sender, streams
from tests.eventlog.kit import batches_of
from tests.services.kafka import KafkaBroker
from tests.services.redis import RedisServer

pytestmark = pytest.mark.end_to_end

ROUNDS = 20
SENDERS = 6
ENOUGH = 100


def open_log(url: str) -> EventLog:
    if url.startswith("kafka://"):
        return KafkaLog([url.removeprefix("kafka://")])
    return SqliteLog(url.removeprefix("sqlite:///"))


async def stored(url: str, topic: str) -> Counter[str]:
    """How often each id is in the topic; each title, where there are none of the sender's."""
    log = open_log(url)
    await log.open()
    partition = TopicPartition(topic, 0)
    bounds = demand(await log.bounds([partition]))[partition]
    found: Counter[str] = Counter()
    reader = await log.reader({partition: bounds.start})
    position = bounds.start
    while position < bounds.end:
        for batch in batches_of(await reader.fetch(WAIT)):
            found.update(orjson.loads(record.value or b"")["meta"]["id"] for record in batch.records)
            position = batch.position
    await reader.close()
    await log.close()
    return found


async def post(gateway: GatewayProcess, event: Any, **headers: str) -> httpx.Response:
    """Send it on a connection of its own, so that any worker may get it."""
    async with sender(gateway) as client:
        return await client.post("/v1/events", content=orjson.dumps(event), headers=headers)


def told(answer: httpx.Response) -> tuple[int, int]:
    """The status, and how many were stored before."""
    return answer.status_code, answer.json().get("repeated", 0)


HOW = [
    pytest.param("kafka and redis", marks=[pytest.mark.kafka, pytest.mark.redis]),
    pytest.param("workers over kafka", marks=pytest.mark.kafka),
    "sqlite",
]


@pytest.fixture(params=HOW)
async def site(
    request: pytest.FixtureRequest, serve: Serve, topic: str, tmp_path: Path
) -> tuple[list[GatewayProcess], str]:
    """Where events may be sent, and the log."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'events.db'}"
        return [await serve(streams(topic), url) for _ in range(2)], url
    url = f"kafka://{request.getfixturevalue('kafka')}"
    if request.param == "workers over kafka":
        return [await serve(streams(topic), url, workers=2)], url
    server: RedisServer = request.getfixturevalue("redis_server")
    shared = {"limits": server.url, "limits_prefix": topic}
    return [await serve(streams(topic), url, **shared) for _ in range(2)], url


async def test_at_once_and_one_after_the_other(site: tuple[list[GatewayProcess], str], topic: str) -> None:
    gateways, url = site
    events = Events()
    first, second = gateways[0], gateways[-1]
    sent = []
    for _ in range(ROUNDS):
        event = events.next()
        sent.append(event["meta"]["id"])
        answers = await asyncio.gather(*(post(gateway, event) for gateway in (first, second, first, second)))
        assert sorted(map(told, answers)) == [(201, 0), (201, 1), (201, 1), (201, 1)]
        event = events.next()
        sent.append(event["meta"]["id"])
        assert told(await post(first, event)) == (201, 0)
        for gateway in (second, first, second):
            assert told(await post(gateway, event)) == (201, 1)
    assert await stored(url, topic) == Counter(sent)


async def test_one_key_and_two_bodies_at_once(site: tuple[list[GatewayProcess], str], topic: str) -> None:
    gateways, url = site
    events = Events()

    def body() -> dict[str, Any]:
        event = events.next()
        del event["meta"]["id"]
        return event

    for number in range(ROUNDS):
        one, other = body(), body()
        key = {"idempotency-key": f"key {number}"}
        answers = await asyncio.gather(post(gateways[0], one, **key), post(gateways[-1], other, **key))
        assert sorted(answer.status_code for answer in answers) == [201, 422]
        key = {"idempotency-key": f"other {number}"}
        answers = await asyncio.gather(post(gateways[0], one, **key), post(gateways[-1], one, **key))
        assert sorted(map(told, answers)) == [(201, 0), (201, 1)]
    assert set((await stored(url, topic)).values()) == {1}
    assert (await stored(url, topic)).total() == 2 * ROUNDS


@pytest.mark.kafka
async def test_gateways_that_share_nothing_ask_the_log(serve: Serve, kafka: str, topic: str) -> None:
    url = f"kafka://{kafka}"
    first, second = [await serve(streams(topic), url, other_gateways=True) for _ in range(2)]
    events = Events()
    sent = []
    for _ in range(ROUNDS):
        event = events.next()
        sent.append(event["meta"]["id"])
        assert told(await post(first, event)) == (201, 0)
        assert told(await post(second, event)) == (201, 1)
    assert await stored(url, topic) == Counter(sent)


async def claims_alone(gateway: GatewayProcess, value: int) -> bool:
    return f"\ngateway_claims_alone {value}.0" in await gateway.metrics()


@pytest.mark.kafka
@pytest.mark.redis
@pytest.mark.parametrize("fault", ["killed", "halted"])
async def test_redis_goes_and_comes(
    serve: Serve, kafka: str, topic: str, redis_server: RedisServer, fault: str
) -> None:
    url = f"kafka://{kafka}"
    shared = {"limits": redis_server.url, "limits_prefix": topic}
    first, second = [await serve(streams(topic), url, **shared) for _ in range(2)]
    events = Events()
    sent = []

    async def one_after_the_other() -> None:
        for _ in range(5):
            event = events.next()
            sent.append(event["meta"]["id"])
            assert told(await post(first, event)) == (201, 0)
            assert told(await post(second, event)) == (201, 1)

    await one_after_the_other()
    before = events.next()
    sent.append(before["meta"]["id"])
    assert told(await post(first, before)) == (201, 0)
    (redis_server.kill if fault == "killed" else redis_server.halt)()
    await one_after_the_other()
    for gateway in (first, second):
        await eventually(partial(claims_alone, gateway, 1), "the gateway says that it is alone")
    assert "gateways cannot share their claims" in first.errors
    assert told(await post(second, before)) == (201, 1)
    redis_server.start()
    await one_after_the_other()
    for gateway in (first, second):
        await eventually(partial(claims_alone, gateway, 0), "the gateway says that it is not")
    await one_after_the_other()
    assert await stored(url, topic) == Counter(sent)


@pytest.mark.kafka
@pytest.mark.redis
@pytest.mark.long
async def test_a_gateway_that_is_killed_keeps_no_event_from_being_stored(
    serve: Serve, broker: KafkaBroker, topic: str, redis_server: RedisServer
) -> None:
    """It has claimed the event, and its broker hangs: nobody knows. The other stores it once the claim has lapsed."""
    url = f"kafka://{broker.bootstrap}"
    shared = {"limits": redis_server.url, "limits_prefix": topic}
    first, second = [await serve(streams(topic), url, **shared) for _ in range(2)]
    events = Events()
    assert told(await post(first, events.next())) == (201, 0)
    broker.pause()
    event = events.next()
    sending = asyncio.create_task(post(first, event))
    await asyncio.sleep(1.0)
    await first.kill()
    with suppress(httpx.TransportError):
        await sending
    broker.resume()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while (answer := await post(second, event)).status_code != 201:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert loop.time() - begun < WAIT
    assert (await stored(url, topic))[event["meta"]["id"]] == 1


@pytest.mark.kafka
@pytest.mark.long
async def test_a_batch_that_a_paused_broker_takes_late(serve: Serve, broker: KafkaBroker, topic: str) -> None:
    """What it was sent before and while it hangs comes out of its socket when it goes on, beside what is sent again."""
    url = f"kafka://{broker.bootstrap}"
    gateway = await serve(streams(topic), url)
    events = Events()
    sent: list[str] = []

    async def until_stored(event: Any) -> None:
        while (answer := await post(gateway, event)).status_code != 201:
            assert answer.status_code == 503

    for _ in range(lasting(3, 15)):
        first = events.next()
        await until_stored(first)
        broker.pause()
        late = [events.next() for _ in range(8)]
        sent += [event["meta"]["id"] for event in (first, *late)]
        assert {one.status_code for one in await asyncio.gather(*(post(gateway, event) for event in late))} == {503}
        again = [asyncio.create_task(until_stored(event)) for event in late]
        await asyncio.sleep(random.uniform(0.0, 1.0))
        broker.resume()
        async with asyncio.timeout(WAIT):
            await asyncio.gather(*again)
    assert await stored(url, topic) == Counter(sent)


@asynccontextmanager
async def faults(gateways: list[GatewayProcess], chance: random.Random) -> AsyncIterator[None]:
    """Gateways, or their workers, are killed one after another."""
    over = asyncio.Event()

    async def kill() -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(1.0, 2.5)):
                    await over.wait()
                    return
            gateway = chance.choice(gateways)
            if workers := gateway.workers():
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
            else:
                await gateway.kill()
                gateway.launch()
                await gateway.ready()

    killing = asyncio.create_task(kill())
    try:
        yield
    finally:
        # Not cancelled: what is killed is started again.
        over.set()
        await killing
        for gateway in gateways:
            await gateway.ready()


@pytest.mark.long
async def test_senders_that_try_again_anywhere(site: tuple[list[GatewayProcess], str], topic: str) -> None:
    """Answers are lost, connections cut, gateways killed; whoever has no 201 tries another gateway, or two at once."""
    gateways, url = site
    chance = random.Random(11)
    over = asyncio.get_running_loop().time() + lasting(10, 240)
    acknowledged: list[str] = []

    async def attempt(client: httpx.AsyncClient, gateway: GatewayProcess, body: bytes, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                answer = await client.post(f"{gateway.address}/v1/events", content=body)
        except (httpx.TransportError, TimeoutError):
            return False
        assert answer.status_code in (201, 503), answer.text
        return answer.status_code == 201

    async def produce(number: int) -> None:
        events, own = Events(number), random.Random(number)
        # Also where gateways that were killed take most of the time to come back.
        while asyncio.get_running_loop().time() < over or len(acknowledged) <= ENOUGH:
            batch = [events.next() for _ in range(own.choice([1, 3, 20]))]
            body = orjson.dumps(batch)
            while True:
                # A new connection each time, so that any worker may get it; one that is impatient cuts it.
                async with sender(gateways[0]) as client:
                    patience = own.choice([0.005, 0.02, WAIT, WAIT])
                    targets = own.sample(gateways * 2, own.choice([1, 1, 2]))
                    if any(await asyncio.gather(*(attempt(client, each, body, patience) for each in targets))):
                        break
                await asyncio.sleep(own.uniform(0, 0.2))
            acknowledged.extend(event["meta"]["id"] for event in batch)

    async with faults(gateways, chance):
        await asyncio.gather(*(produce(number) for number in range(SENDERS)))
    assert len(acknowledged) > ENOUGH
    assert await stored(url, topic) == Counter(acknowledged)


async def test_a_file_of_a_newer_version_is_refused(gateways: Launch, tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    gateway = gateways("--log", f"sqlite:///{path}")
    gateway.launch()
    assert await gateway.ended() == 1
    expected = f"{path} has format {FORMAT + 1}, of a newer version of the gateway"
    assert expected in gateway.errors
    produced = await asyncio.to_thread(run, ["produce", "--log", f"sqlite:///{path}", "wiki.change"], b"{}\n")
    assert produced.returncode == 1
    assert expected in produced.stderr

"""A Kafka that goes back, as after an unclean election or with an old disk, and one that deletes: what clients get."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow, Follower
from tests.end_to_end.kafka import Producer, expire, forgotten, open_producer
from tests.end_to_end.process import GatewayProcess
from tests.eventlog.kit import create_topic
from tests.services.kafka import KafkaBroker, cut_back

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

OTHER = 1_000_000
"""The first number in the second partition."""
NEW = 5000
"""The first number that is written after the cut."""


async def each(producer: Producer, topic: str, numbers: Iterable[int], partition: int = 0) -> None:
    """Every event in a batch of its own."""
    for number in numbers:
        await producer.send(topic, [number], partition)


@asynccontextmanager
async def going_back(broker: KafkaBroker, gateway: GatewayProcess, topic: str, end: int) -> AsyncIterator[Producer]:
    """The broker dies and comes back with less; within the block the gateway hangs, and sees nothing of it."""
    gateway.signal_group(signal.SIGSTOP)
    await asyncio.to_thread(broker.kill)
    cut_back(broker, topic, end)
    await asyncio.to_thread(broker.start)
    async with open_producer(broker.bootstrap) as producer:
        yield producer
        gateway.signal_group(signal.SIGCONT)


def told(client: Follower) -> list[tuple[int, int, int, str]]:
    documents = [frame.document for frame in client.named("gap")]
    return [(each["partition"], each["requested"], each["resumed"], each["reason"]) for each in documents]


def of_first(client: Follower) -> list[int]:
    return [number for number in client.numbers if number < OTHER]


def of_second(client: Follower) -> list[int]:
    return [number for number in client.numbers if number >= OTHER]


@pytest.mark.parametrize("written_on", [9, 2, 0], ids=["longer than before", "shorter", "nothing is written"])
@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in the past"])
async def test_a_log_that_goes_back(
    broker: KafkaBroker, serve: Serve, follow: Follow, topic: str, *, written_on: int, in_memory: bool
) -> None:
    """Cut to 5 while everybody stands at 9, and written on: what is new is delivered after a gap, and nothing comes
    from memory that is not there any more."""
    await create_topic(broker.bootstrap, topic, 2)
    settings = {"metadata_interval": 1, "ring_bytes": 10_000_000 if in_memory else 65_536}
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{broker.bootstrap}", **settings)
    live = await follow(gateway.port, "numbers", since=1)
    async with open_producer(broker.bootstrap) as producer:
        await each(producer, topic, range(10))
        await each(producer, topic, range(OTHER, OTHER + 10), partition=1)
        if not in_memory:
            await producer.send(topic, range(OTHER + 10, OTHER + 110), partition=1, padding=2000)
    others = OTHER + (10 if in_memory else 110)
    await asyncio.gather(live.have(9), live.have(others - 1))
    # What the others of the past have read is in memory, too.
    again = await follow(gateway.port, "numbers", since=1)
    await asyncio.gather(again.have(9), again.have(others - 1))
    away, amid = live.last_id, next(m.identifier for m in live.messages if m.document["n"] == 7)
    await again.close()
    new = range(NEW, NEW + written_on)
    async with going_back(broker, gateway, topic, 5) as producer:
        await each(producer, topic, new)
    await live.until(lambda: live.named("gap"), "the gap")
    resumed = [await follow(gateway.port, "numbers", place) for place in (away, amid)]
    fresh = await follow(gateway.port, "numbers", since=1)
    async with open_producer(broker.bootstrap) as producer:
        await each(producer, topic, [NEW + 100])
        await each(producer, topic, [others], partition=1)
    for client in (live, *resumed, fresh):
        await asyncio.gather(client.have(NEW + 100), client.have(others))
    after = [*new, NEW + 100]
    assert (of_first(live), told(live)) == ([*range(10), *after], [(0, 9, 5, "unknown")])
    assert of_second(live) == [*range(OTHER, others + 1)]
    for client, place in zip(resumed, (9, 7), strict=True):
        assert (of_first(client), told(client)) == (after, [(0, place, 5, "unknown")])
        assert of_second(client)[-1] == others
    assert (of_first(fresh), told(fresh)) == ([*range(5), *after], [])
    assert of_second(fresh) == [*range(OTHER, others + 1)]
    assert all(client.responses == 1 for client in (live, *resumed, fresh))


async def test_a_log_that_goes_back_amid_a_replay(
    broker: KafkaBroker, serve: Serve, follow: Follow, topic: str
) -> None:
    await create_topic(broker.bootstrap, topic)
    gateway = await serve(
        {"numbers": {"topics": [topic]}}, f"kafka://{broker.bootstrap}", metadata_interval=1, ring_bytes=65_536
    )
    async with open_producer(broker.bootstrap, linger_ms=0) as producer:
        await each(producer, topic, range(20))
        await producer.send(topic, range(20, 4000), padding=2000)
    replaying = await follow(gateway.port, "numbers", since=1)
    await replaying.have(300)
    replaying.pause()
    async with going_back(broker, gateway, topic, 5) as producer:
        await each(producer, topic, range(NEW, NEW + 20))
    replaying.go_on()
    await replaying.have(NEW + 19)
    ((_, requested, resumed, reason),) = told(replaying)
    assert (resumed, reason) == (5, "unknown")
    assert replaying.numbers == [*range(requested + 1), *range(NEW, NEW + 20)]


async def test_what_is_deleted_is_not_given_from_memory(
    kafka: str, serve: Serve, follow: Follow, producer: Producer, topic: str
) -> None:
    """An operator erases: within the interval it is nowhere, and only who has not read it is told."""
    await create_topic(kafka, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}", metadata_interval=1)
    live = await follow(gateway.port, "numbers", since=1)
    await producer.send(topic, range(100))
    await live.number(99)
    again = await follow(gateway.port, "numbers", since=1)
    await again.number(99)
    places = {at: live.messages[at].identifier for at in (0, 38, 39, 40)}
    await expire(kafka, topic, 40)
    await forgotten(gateway, "numbers", places[0])
    fresh = await follow(gateway.port, "numbers", since=1)
    await fresh.number(99)
    assert (fresh.numbers, told(fresh)) == ([*range(40, 100)], [])
    for at, place in places.items():
        client = await follow(gateway.port, "numbers", place)
        await client.number(99)
        assert client.numbers == [*range(max(40, at + 1), 100)]
        assert told(client) == ([(0, at, 40, "expired")] if at < 39 else [])
    await expire(kafka, topic, 100)
    await asyncio.sleep(2.5)
    await producer.send(topic, [100])
    await asyncio.gather(live.number(100), again.number(100))
    for client in (live, again):
        assert (client.numbers, told(client)) == ([*range(101)], [])

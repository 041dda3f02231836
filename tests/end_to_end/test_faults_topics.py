"""Topics that come, go, and come again as others, with clients that read them, replay them, and are away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow, Follower
from tests.end_to_end.kafka import Producer, add_partitions, create_again, delete_topic, open_producer
from tests.eventlog.kit import create_topic

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

Accounts = Callable[[str], Account]

OLD = 4000
"""Events of the first topic, a KB each: more than a client which pauses can have in its socket."""
BESIDE = 1_000_000
"""The first number in the topic beside it."""


async def test_a_topic_that_is_created_later(
    kafka: str, serve: Serve, follow: Follow, producer: Producer, account: Accounts, topic: str
) -> None:
    there, later = f"{topic}.a", f"{topic}.b"
    await create_topic(kafka, there)
    gateway = await serve({"both": {"topics": [there, later]}, "later": {"topics": [later]}}, f"kafka://{kafka}")
    both, alone = await follow(gateway.port, "both"), await follow(gateway.port, "later")
    await producer.send(there, range(10))
    await both.number(9)
    early = both.messages[4].identifier
    line = account("second topic created later")
    await create_topic(kafka, later, partitions=2)
    line.begin()
    async with open_producer(kafka) as another:
        await another.send(later, range(100, 110), partition=0)
        await another.send(later, range(200, 210), partition=1)
    await asyncio.gather(*(line.heal([both, alone], number) for number in (109, 209)))
    resumed, replay = await follow(gateway.port, "both", early), await follow(gateway.port, "both", since=1)
    await producer.send(there, range(10, 20))
    await line.heal([both, resumed, replay], 19)
    line.count(both, range(20), range(100, 110), range(200, 210))
    line.count(replay, range(20), range(100, 110), range(200, 210))
    line.count(resumed, range(5, 20), range(100, 110), range(200, 210))
    line.count(alone, range(100, 110), range(200, 210))
    line.close()


async def test_partitions_that_are_added(
    kafka: str, serve: Serve, follow: Follow, producer: Producer, account: Accounts, topic: str
) -> None:
    """The first events of a new partition are there before the gateway knows of it."""
    await create_topic(kafka, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    clients = [await follow(gateway.port, "numbers") for _ in range(2)]
    loading = asyncio.create_task(producer.load(topic, 2000, 1000))
    await clients[0].number(100)
    early = clients[0].messages[50].identifier
    line = account("partitions added under load")
    for count in (2, 3, 5):
        await add_partitions(kafka, topic, count)
        line.begin()
        async with open_producer(kafka) as another:
            await another.send(topic, range(count * 10_000, count * 10_000 + 50), partition=count - 1)
        await line.heal(clients, count * 10_000 + 49)
    resumed, replay = await follow(gateway.port, "numbers", early), await follow(gateway.port, "numbers", since=1)
    await loading
    added = [range(count * 10_000, count * 10_000 + 50) for count in (2, 3, 5)]
    for client, first in ((clients[0], 0), (clients[1], 0), (resumed, 51), (replay, 0)):
        # Partitions do not wait for each other: each has to end.
        for numbers in (range(2000), *added):
            await client.have(numbers[-1])
        line.count(client, range(first, 2000), *added)
    line.close()
    assert [entry["partition"] for entry in json.loads(clients[0].last_id or "")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("away", [False, True], ids=["mid-stream", "while the gateway is away"])
@pytest.mark.parametrize("count", [OLD // 2, OLD + 1000], ids=["fewer", "more"])
async def test_a_topic_that_is_recreated(
    kafka: str,
    serve: Serve,
    follow: Follow,
    producer: Producer,
    account: Accounts,
    topic: str,
    *,
    count: int,
    away: bool,
) -> None:
    beside = f"{topic}.beside"
    await create_topic(kafka, topic)
    await create_topic(kafka, beside)
    await producer.send(topic, range(OLD), padding=1000)
    gateway = await serve({"numbers": {"topics": [topic, beside]}}, f"kafka://{kafka}", ring_bytes=500_000)
    replaying = await follow(gateway.port, "numbers", since=1)
    await replaying.number(10)
    replaying.pause()
    live = await follow(gateway.port, "numbers", since=1)
    await live.number(OLD - 1)
    if away:
        assert await gateway.stop() == 0
    await delete_topic(kafka, topic)
    await producer.send(beside, range(BESIDE, BESIDE + 10))
    if not away:
        await live.have(BESIDE + 9)
    await create_again(kafka, topic)
    when = "while the gateway is away" if away else "mid-stream"
    line = account(f"topic recreated with {'fewer' if count < OLD else 'more'} records, {when}")
    async with open_producer(kafka) as another:
        await another.send(topic, range(OLD, OLD + count))
        line.begin()
        if away:
            await gateway.start()
        replaying.go_on()
        resumed = {at: await follow(gateway.port, "numbers", live.messages[at].identifier) for at in (100, OLD - 1)}
        joined = await follow(gateway.port, "numbers", since=1)
        clients = [live, replaying, joined, *resumed.values()]
        await line.heal(clients, OLD + count - 1)
        await another.send(topic, [OLD + count])
        await asyncio.gather(*(client.have(OLD + count) for client in clients))
    new, others = range(OLD, OLD + count + 1), range(BESIDE, BESIDE + 10)
    check_recreated(line, live, topic, 0, new, others)
    check_recreated(line, replaying, topic, 0, new, others)
    for at, client in resumed.items():
        check_recreated(line, client, topic, at + 1, new, others)
    line.count(joined, new, others)
    line.close()
    assert len([number for number in live.numbers if number < OLD]) == OLD


def check_recreated(line: Account, client: Follower, topic: str, first: int, new: range, others: range) -> None:
    """All up to the place where the first topic ended for the client, one gap from there, and all of the second."""
    seen = [number for number in client.numbers if number < OLD]
    line.count(client, [*range(first, first + len(seen)), *new], others, gaps=1)
    (gap,) = client.named("gap")
    told = {"topic": topic, "partition": 0, "requested": first + len(seen) - 1, "resumed": 0, "reason": "unknown"}
    assert gap.document == told
    assert gap.identifier

"""Three brokers: leaders that move, stop, die and hang, mid-stream and mid-replay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import product

import pytest

from tests.end_to_end.conftest import Accounts, Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import lead, leader, open_producer, place_partition, place_topic
from tests.services.kafka import KafkaCluster

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

LEADER = 1
WITNESS = 2
"""A broker that nothing befalls."""
REPLICAS = [[1, 2, 3], [2, 3, 1]]
HISTORY = 10_000
LIVE = 1500
OTHER = 1_000_000
"""The first number in the second partition."""
RATE = 500
LOAD = f"{2 * RATE:,} events/s, 2 live and 5 replaying clients"


async def moved(cluster: KafkaCluster, topic: str) -> None:
    await lead(cluster.bootstrap, topic, [2, 3, 1], WITNESS)


async def taken_away(cluster: KafkaCluster, topic: str) -> None:
    await place_partition(cluster.bootstrap, topic, [3, 2])


async def stopped(cluster: KafkaCluster, topic: str) -> None:
    await asyncio.to_thread(cluster.brokers[LEADER].stop)


async def killed(cluster: KafkaCluster, topic: str) -> None:
    cluster.brokers[LEADER].kill()


async def paused(cluster: KafkaCluster, topic: str) -> None:
    cluster.brokers[LEADER].pause()


async def given_back(cluster: KafkaCluster, topic: str) -> None:
    """The broker comes back and leads again, once it has all that the others have."""
    await asyncio.to_thread(cluster.start)
    cluster.brokers[LEADER].resume()
    await lead(cluster.bootstrap, topic, REPLICAS[0], WITNESS)


FAULTS: dict[str, Callable[[KafkaCluster, str], Awaitable[None]]] = {
    "elected anew": moved,
    "moved to other brokers": taken_away,
    "stopped": stopped,
    "killed": killed,
    "paused": paused,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_leader_that_moves(
    cluster: KafkaCluster, serve: Serve, follow: Follow, account: Accounts, topic: str, *, fault: str
) -> None:
    bootstrap = cluster.bootstrap
    await place_topic(bootstrap, topic, *REPLICAS)
    # What is known of leaders is not renewed by the look for new topics, but by those who are refused.
    settings = {"ring_bytes": 1_000_000, "metadata_interval": 300}
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{bootstrap}", **settings)
    # A producer waits so long for a leader that hangs.
    patience = {"request_timeout_ms": 3000}
    async with open_producer(bootstrap, **patience) as producer, open_producer(bootstrap, **patience) as other:
        await producer.send(topic, range(HISTORY), padding=1000)
        live = [await follow(gateway.port, "numbers") for _ in range(2)]
        # However long the fault takes to come about.
        faulty = asyncio.Event()
        loading = asyncio.gather(
            producer.load(topic, LIVE, RATE, first=HISTORY, until=faulty),
            other.load(topic, LIVE, RATE, first=OTHER, partition=1, until=faulty),
        )
        replaying = [await follow(gateway.port, "numbers", since=1) for _ in range(3)]
        await asyncio.gather(*(client.events(1) for client in (*live, *replaying)))
        replaying[0].pause()
        stream, replay = (account(f"leader {fault}, mid-{what}", LOAD) for what in ("stream", "replay"))
        await FAULTS[fault](cluster, topic)
        stream.begin()
        replay.begin()
        at = producer.made + 1
        assert at < HISTORY + LIVE
        faulty.set()
        replaying[0].go_on()
        joined = [await follow(gateway.port, "numbers", since=1)]
        joined.append(await follow(gateway.port, "numbers", replaying[0].messages[0].identifier))
        await asyncio.gather(stream.heal(live, at), replay.heal([*replaying, *joined], at))
        assert await leader(bootstrap, topic, WITNESS) != LEADER
        await given_back(cluster, topic)
        await loading
    ends = HISTORY + LIVE, OTHER + LIVE
    for client, number in product((*live, *replaying, *joined), ends):
        await client.have(number - 1)
    for client in live:
        # What the gateway had not delivered when they came is new to them: the end of the history.
        early = sum(number < HISTORY for number in client.numbers)
        stream.count(client, range(HISTORY - early, ends[0]), range(OTHER, ends[1]))
    for client in (*replaying, joined[0]):
        replay.count(client, range(ends[0]), range(OTHER, ends[1]))
    replay.count(joined[1], range(1, ends[0]), range(OTHER, ends[1]))
    stream.close()
    replay.close()
    assert all(client.responses == 1 for client in (*live, *replaying, *joined))


async def test_a_partition_without_a_leader(
    cluster: KafkaCluster, serve: Serve, follow: Follow, account: Accounts, topic: str
) -> None:
    """Its only replica is away, and nobody else may lead: the others' events flow, and its own come when it is back."""
    bootstrap = cluster.bootstrap
    alone, others = f"{topic}.alone", f"{topic}.others"
    await place_topic(bootstrap, alone, [LEADER])
    await place_topic(bootstrap, others, [2, 3, LEADER])
    gateway = await serve({"numbers": {"topics": [alone, others]}}, f"kafka://{bootstrap}")
    async with open_producer(bootstrap) as producer:
        await producer.send(alone, range(100))
        await producer.send(others, range(OTHER, OTHER + 100))
        live = [await follow(gateway.port, "numbers", since=1) for _ in range(2)]
        await asyncio.gather(*(client.events(200) for client in live))
        cluster.brokers[LEADER].kill()
        await producer.send(others, range(OTHER + 100, OTHER + 200))
        await asyncio.gather(*(client.have(OTHER + 199) for client in live))
        early = live[0].messages[0].identifier
        replay, resumed = await follow(gateway.port, "numbers", since=1), await follow(gateway.port, "numbers", early)
        await producer.send(others, range(OTHER + 200, OTHER + 300))
        await asyncio.gather(*(client.have(OTHER + 299) for client in live))
        line = account("partition without a leader")
        await asyncio.to_thread(cluster.start)
        line.begin()
        await producer.send(alone, range(100, 200))
        await line.heal([*live, replay, resumed], 199)
    for client in (*live, replay):
        await client.have(OTHER + 299)
        line.count(client, range(200), range(OTHER, OTHER + 300))
    rest = set(live[0].numbers[1:])
    line.count(resumed, sorted(rest & {*range(200)}), sorted(rest - {*range(200)}))
    line.close()

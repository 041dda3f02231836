"""The network between gateway and broker: cut in the middle of a fetch, half-delivered, reset, and silent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.effort import lasting
from tests.end_to_end.conftest import Accounts, Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import open_producer
from tests.end_to_end.network import Cut, Network
from tests.eventlog.kit import create_topic
from tests.services.kafka import KafkaBroker, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

HISTORY = 8000
RATE = 500
CUTS = lasting(12, 150)
PADDING = 1000
LOAD = f"{RATE} events/s, 2 live and 3 replaying clients"
PLACES = (1, 3, 4, 5, 60, 1000, 65_535, 200_000)
"""Bytes of responses after which a connection is cut: within the length of one, its head, a batch."""


@pytest.fixture(scope="module")
def network() -> Network:
    """Between the gateway and the broker; nothing else goes through it."""
    return Network(free_port())


@pytest.fixture(scope="module")
def far_broker(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path, network: Network) -> Iterator[KafkaBroker]:
    """A broker that sends whoever comes through the network back through it."""
    beyond = free_port()
    protocols = "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT"
    more = {"listener.security.protocol.map": protocols}
    listeners = {"FAR": (beyond, network.port)}
    broker = KafkaBroker(tmp_path_factory.mktemp("far"), kafka_jars, properties=more, listeners=listeners)
    network.target = beyond
    broker.start()
    yield broker
    broker.kill()


@pytest.mark.parametrize("how", Cut, ids=lambda how: how.value)
async def test_a_network_that_is_cut_in_the_middle_of_a_fetch(
    far_broker: KafkaBroker,
    network: Network,
    serve: Serve,
    follow: Follow,
    account: Accounts,
    topic: str,
    *,
    how: Cut,
) -> None:
    # A silence ends only by the bound of a request, each time.
    cuts = max(2, CUTS // 6) if how is Cut.SILENCE else CUTS
    random = Random(7)
    await create_topic(far_broker.bootstrap, topic)
    async with network.open(), open_producer(far_broker.bootstrap) as producer:
        await producer.send(topic, range(HISTORY), padding=PADDING)
        gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://127.0.0.1:{network.port}", ring_bytes=500_000)
        live = [await follow(gateway.port, "numbers") for _ in range(2)]
        replaying = [await follow(gateway.port, "numbers", since=1) for _ in range(3)]
        line = account(f"network: {cuts} times {how.value}", LOAD)
        line.struck()
        made = HISTORY
        for number in range(cuts):
            places = PLACES if number < len(PLACES) else [random.randrange(1, 300_000)]
            cut = asyncio.create_task(network.cut(places[number % len(places)], how))
            while not cut.done():
                await producer.load(topic, RATE // 10, RATE, first=made, padding=PADDING)
                made += RATE // 10
            await cut
        line.begin()
        await producer.send(topic, [made])
        await line.heal(live, made)
        for client in live:
            line.count(client, range(HISTORY, made + 1))
        for client in replaying:
            await client.have(made)
            line.count(client, range(made + 1))
    line.close()
    assert all(client.responses == 1 for client in (*live, *replaying))

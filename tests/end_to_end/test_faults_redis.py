"""Redis comes and goes under two gateways that share limits: nobody who reads is disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import Producer
from tests.end_to_end.process import GatewayProcess, eventually
from tests.end_to_end.stream import Client
from tests.eventlog.kit import create_topic
from tests.services.redis import RedisServer

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.end_to_end]

FAULTS = ("killed, restarted empty", "paused")
BATCH = 500
LIMIT = 3


async def test_redis_goes_and_comes(
    serve: Serve, follow: Follow, client: Client, producer: Producer, kafka: str, topic: str,
    redis_server: RedisServer, account: Callable[[str], Account],
) -> None:  # fmt: skip
    await create_topic(kafka, topic)
    streams = {"numbers": {"topics": [topic]}}
    settings = {
        "limits": redis_server.url,
        "limits_prefix": topic,
        "limit_streams_per_address": LIMIT,
        "limit_connects": 0,
        "trusted_proxies": ["127.0.0.1"],
    }
    gateways = [await serve(streams, f"kafka://{kafka}", **settings) for _ in range(2)]
    here = {"X-Forwarded-For": "198.51.100.1"}
    # The limit holds over both.
    held = [await client.stream(gateways[number % 2].port, "numbers", headers=here) for number in range(LIMIT)]
    for gateway in gateways:
        await eventually(partial(refused, client, gateway, here), "both have the limit")
    followers = [await follow(gateway.port, "numbers") for gateway in gateways]
    await producer.send(topic, range(BATCH))
    sent = BATCH
    for fault in FAULTS:
        told = account(f"Redis {fault}")
        told.begin()
        if fault == "paused":
            redis_server.halt()
        else:
            redis_server.kill()
        await producer.send(topic, range(sent, sent + BATCH))
        for gateway in gateways:
            # Nobody waits for it: a new address is let in, by what each gateway knows itself.
            headers = {"X-Forwarded-For": f"198.51.100.{sent % 250}"}
            assert (await client.request(gateway.port, "numbers", headers=headers)).status == 200
            await eventually(partial(alone, gateway, 1), "the gateway says that it counts alone")
        redis_server.start()
        for gateway in gateways:
            await eventually(partial(alone, gateway, 0), "the gateway says that limits are shared")
        await producer.send(topic, range(sent + BATCH, sent + 2 * BATCH))
        sent += 2 * BATCH
        await told.heal(followers, sent - 1)
        for follower in followers:
            told.count(follower, range(sent))
        told.close()
        # Redis knows again what both hold.
        for gateway in gateways:
            await eventually(partial(refused, client, gateway, here), "both have the limit again")
    # A killed gateway's streams count no longer, soon.
    await gateways[0].kill()

    async def let_in() -> bool:
        stream = await client.request(gateways[1].port, "numbers", headers=here)
        return stream.status == 200

    await eventually(let_in, "the slots of a killed gateway are free")
    assert held[1].status == 200
    await asyncio.gather(*(follower.close() for follower in followers))


async def refused(client: Client, gateway: GatewayProcess, headers: Mapping[str, str]) -> bool:
    """Whether one more stream is refused. One that is let in, as by a gateway whose Redis was late to answer, is none
    that counts."""
    stream = await client.request(gateway.port, "numbers", headers=headers)
    if stream.status == 200:
        await stream.close()
    return stream.status == 429


async def alone(gateway: GatewayProcess, value: int) -> bool:
    """Whether the metric says so."""
    text = await gateway.metrics()
    return f"gateway_limits_alone {value}.0" in text

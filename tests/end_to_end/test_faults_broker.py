"""A broker that goes away and comes back, mid-stream and mid-replay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.effort import lasting
from tests.end_to_end.account import Account
from tests.end_to_end.conftest import Accounts, Serve
from tests.end_to_end.follower import Follow, Follower
from tests.end_to_end.kafka import open_producer
from tests.end_to_end.process import WAIT
from tests.end_to_end.stream import Transcript
from tests.eventlog.kit import create_topic
from tests.services.kafka import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

WAITING = "waiting for the log"
HISTORY = 20_000
LIVE = 4000
PADDING = 1000
"""Of each event of the history: so much that a client which pauses cannot have all of it in its socket."""
LONG = lasting(21, 60)
"""Heartbeats, half a second each: longer than any request to a broker may take, which is 10 s (OWED_SECONDS)."""

FAULTS: dict[str, tuple[Callable[[KafkaBroker], None], Callable[[KafkaBroker], None]]] = {
    "stopped": (KafkaBroker.stop, KafkaBroker.start),
    "killed": (KafkaBroker.kill, KafkaBroker.start),
    "paused": (KafkaBroker.pause, KafkaBroker.resume),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broker_that_is_away(
    broker: KafkaBroker, serve: Serve, follow: Follow, account: Accounts, topic: str, *, fault: str
) -> None:
    await create_topic(broker.bootstrap, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{broker.bootstrap}", ring_bytes=2_000_000)
    take, give = FAULTS[fault]
    async with open_producer(broker.bootstrap) as producer:
        await producer.send(topic, range(HISTORY), padding=PADDING)
        live = [await follow(gateway.port, "numbers") for _ in range(3)]
        loading = asyncio.create_task(producer.load(topic, LIVE, LIVE // 4, first=HISTORY))
        others = [await follow(gateway.port, "numbers", since=1) for _ in range(2)]
        await asyncio.gather(*(client.number(1000) for client in others))
        # That which pauses comes last: it would be through the history while others are opened on a busy machine.
        replaying = [await follow(gateway.port, "numbers", since=1), *others]
        await replaying[0].number(1000)
        replaying[0].pause()
        await asyncio.gather(*(client.number(HISTORY) for client in live))
        load = f"{LIVE // 4:,} events/s, 3 live and 5 replaying clients"
        stream, replay = account(f"broker {fault}, mid-stream", load), account(f"broker {fault}, mid-replay", load)
        stream.struck()
        replay.struck()
        await asyncio.to_thread(take, broker)
        replaying[0].go_on()
        await asyncio.gather(*(client.heard(WAITING) for client in (*live, *replaying)))
        assert replaying[0].numbers[-1] < HISTORY - 1
        assert json.loads(live[0].last_id or "")[0]["offset"] == live[0].numbers[-1]
        resumed = await follow(gateway.port, "numbers", replaying[0].messages[500].identifier)
        joined = await follow(gateway.port, "numbers", since=1)
        await asyncio.gather(resumed.heard(WAITING), joined.heard(WAITING))
        assert await gateway.readiness() == 503
        if fault == "paused":
            await live[0].until(lambda: live[0].comments.count(WAITING) >= LONG, seconds=LONG + WAIT)
        await asyncio.to_thread(give, broker)
        stream.begin()
        replay.begin()
        await asyncio.gather(stream.heal(live), replay.heal([*replaying, resumed, joined]))
        await loading
    last = HISTORY + LIVE - 1
    for client in live:
        # What was read of the history only after they had come is theirs, too.
        await finish(stream, client, min(HISTORY, client.numbers[0]), last)
    for client in (*replaying, joined):
        await finish(replay, client, 0, last)
    await finish(replay, resumed, 501, last)
    stream.close()
    replay.close()
    await gateway.ready()


async def finish(account: Account, client: Transcript, first: int, last: int) -> None:
    """Wait for a client's last event, and count."""
    await client.number(last)
    assert isinstance(client, Follower)
    assert client.responses == 1
    account.count(client, range(first, last + 1))

"""A gateway before a real Kafka: what clients get while nothing is amiss."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.kafka import Producer, create_again, delete_topic
from tests.end_to_end.stream import Client, EventStream, check_sequence
from tests.eventlog.kit import create_topic

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


async def test_live_events_and_replay(kafka: str, serve: Serve, client: Client, producer: Producer, topic: str) -> None:
    await create_topic(kafka, topic)
    early = now() - 60_000
    await producer.send(topic, range(50), timestamp=early)
    await producer.send(topic, range(50, 100), timestamp=early + 1000)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    live = await client.stream(gateway.port, "numbers")
    replay = await client.stream(gateway.port, "numbers", since=early + 1)
    await producer.send(topic, range(100, 200))
    check_sequence(await live.events(100), 100, 199)
    check_sequence(await replay.events(150), 50, 199)
    resumed = await client.stream(gateway.port, "numbers", replay.messages[9].identifier)
    check_sequence(await resumed.events(140), 60, 199)
    assert live.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert live.frames[0].identifier


@pytest.mark.parametrize("ring_bytes", [268_435_456, 400_000])
async def test_hand_over_under_full_write_load(
    kafka: str, serve: Serve, client: Client, producer: Producer, topic: str, *, ring_bytes: int
) -> None:
    await create_topic(kafka, topic)
    await producer.load(topic, 5000, 100_000)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}", ring_bytes=ring_bytes)
    last = 20_000 - 1
    loading = asyncio.create_task(producer.load(topic, 15_000, 4000, first=5000))
    everything = await client.stream(gateway.port, "numbers", since=1)
    joined: list[tuple[EventStream, int]] = [(everything, 0)]
    for number in (3000, 6000, 8000, 11_000, 14_000):
        await everything.number(number)
        frame = everything.messages[len(everything.messages) // 2]
        joined.append((await client.stream(gateway.port, "numbers", frame.identifier), frame.document["n"] + 1))
        joined.append((await client.stream(gateway.port, "numbers", since=now() - 500), -1))
        joined.append((await client.stream(gateway.port, "numbers", everything.last_id), -1))
    await loading
    for stream, first in joined:
        await stream.number(last)
        check_sequence(stream.numbers, first if first >= 0 else stream.numbers[0], last)
        assert not stream.named("gap")


async def test_several_partitions(kafka: str, serve: Serve, client: Client, producer: Producer, topic: str) -> None:
    await create_topic(kafka, topic, partitions=5)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    for partition in range(4):
        await producer.send(topic, range(partition * 100, partition * 100 + 50), partition)
    stream = await client.stream(gateway.port, "numbers", since=1)
    assert len(json.loads(stream.frames[0].identifier or "") if stream.frames else [0] * 5) == 5
    for partition in range(4):
        await producer.send(topic, range(partition * 100 + 50, partition * 100 + 100), partition)
    await stream.events(400)
    for partition in range(4):
        own = [number for number in stream.numbers if number // 100 == partition]
        check_sequence(own, partition * 100, partition * 100 + 99)
    for at in (1, 77, 200, 333, 398):
        resumed = await client.stream(gateway.port, "numbers", stream.messages[at].identifier)
        assert sorted(await resumed.events(399 - at)) == sorted(stream.numbers[at + 1 :])
        assert [entry["partition"] for entry in json.loads(resumed.last_id or "")] == [0, 1, 2, 3, 4]


async def test_two_topics_in_one_stream(
    kafka: str, serve: Serve, client: Client, producer: Producer, topic: str
) -> None:
    topics = [f"{topic}.a", f"{topic}.b"]
    start = now() - 100_000
    for index, name in enumerate(topics):
        await create_topic(kafka, name)
        for number in range(index, 100, 2):
            await producer.send(name, [number], timestamp=start + number)
    gateway = await serve({"both": {"topics": topics}, "one": {"topics": topics[:1]}}, f"kafka://{kafka}")
    stream = await client.stream(gateway.port, "both,one", since=start)
    check_sequence(await stream.events(100), 0, 99)
    for number in range(100, 120):
        await producer.send(topics[number % 2], [number])
    assert sorted(await stream.events(120)) == list(range(120))
    resumed = await client.stream(gateway.port, "both", stream.messages[57].identifier)
    assert sorted(await resumed.events(62)) == list(range(58, 120))


async def test_mirrored_topics(kafka: str, serve: Serve, client: Client, producer: Producer, topic: str) -> None:
    topics = [f"{topic}.a", f"{topic}.b"]
    streams = {"numbers": {"topics": topics, "resume": "timestamp"}}
    for name in topics:
        await create_topic(kafka, name)
    at = now()
    await producer.send(topics[0], range(10), timestamp=at)
    gateway = await serve(streams, f"kafka://{kafka}")
    stream = await client.stream(gateway.port, "numbers", since=at)
    check_sequence(await stream.events(10), 0, 9)
    assert all("offset" not in entry for entry in json.loads(stream.last_id or ""))
    away_at = stream.messages[6].identifier
    await stream.close()
    await producer.send(topics[1], [10], timestamp=at)
    await producer.send(topics[1], [11], timestamp=at + 5)
    resumed = await client.stream(gateway.port, "numbers", away_at)
    assert sorted(await resumed.events(5)) == [7, 8, 9, 10, 11]
    last = resumed.last_id
    await resumed.close()
    assert await gateway.stop() == 0
    # The same records at other offsets, as in another data centre.
    await delete_topic(kafka, topics[0])
    await create_again(kafka, topics[0])
    await producer.send(topics[0], [90, 91, 92], timestamp=at - 1000)
    await producer.send(topics[0], [*range(10), 12], timestamp=at)
    await gateway.start()
    moved = await client.stream(gateway.port, "numbers", last)
    await producer.send(topics[0], [13], timestamp=at + 10)
    assert await moved.events(2) == [12, 13]
    assert not moved.named("gap")


async def test_what_is_no_event_is_passed_over(
    kafka: str, serve: Serve, client: Client, producer: Producer, topic: str
) -> None:
    await create_topic(kafka, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    stream = await client.stream(gateway.port, "numbers")
    wrong = [None, b"", b"no", b"[1]", b"1", b'{"n":NaN}', b'\xef\xbb\xbf{"n":1}', b'{"n":"\xff"}', b"[" * 5000]
    await producer.values(topic, wrong)
    await producer.send(topic, [7])
    await producer.values(topic, [None])
    assert await stream.events(1) == [7]
    assert json.loads(stream.messages[0].identifier or "")[0]["offset"] == len(wrong)
    await stream.until(lambda: json.loads(stream.last_id or "")[0]["offset"] == len(wrong) + 1, "the tombstone's id")
    resumed = await client.stream(gateway.port, "numbers", stream.last_id)
    replay = await client.stream(gateway.port, "numbers", since=1)
    await producer.send(topic, [8])
    assert await resumed.events(1) == [8]
    assert await replay.events(2) == [7, 8]


async def test_events_of_a_megabyte(kafka: str, serve: Serve, client: Client, producer: Producer, topic: str) -> None:
    await create_topic(kafka, topic, max_message_bytes="3000000")
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}", ring_bytes=8_000_000)
    live = await client.stream(gateway.port, "numbers")
    for number in range(20):
        await producer.send(topic, [number], padding=1 << 20)
    check_sequence(await live.events(20), 0, 19)
    assert len(live.messages[-1].document["text"]) == 1 << 20
    replay = await client.stream(gateway.port, "numbers", since=1)
    check_sequence(await replay.events(20), 0, 19)
    resumed = await client.stream(gateway.port, "numbers", replay.messages[4].identifier)
    check_sequence(await resumed.events(15), 5, 19)


@pytest.mark.parametrize("resume", ["offset", "timestamp"])
async def test_a_thousand_events_in_one_millisecond(
    kafka: str, serve: Serve, client: Client, producer: Producer, topic: str, *, resume: str
) -> None:
    await create_topic(kafka, topic)
    await producer.send(topic, range(1000), timestamp=now() - 3_600_000)
    gateway = await serve({"numbers": {"topics": [topic], "resume": resume}}, f"kafka://{kafka}")
    stream = await client.stream(gateway.port, "numbers", since="2h")
    check_sequence(await stream.events(1000), 0, 999)
    halves = [0, 499, 998]
    resumed = [await client.stream(gateway.port, "numbers", stream.messages[at].identifier) for at in halves]
    await producer.send(topic, [1000])
    for at, again in zip(halves, resumed, strict=True):
        check_sequence(await again.events(1000 - at), at + 1, 1000)


async def test_gzip(kafka: str, serve: Serve, client: Client, producer: Producer, topic: str) -> None:
    await create_topic(kafka, topic)
    await producer.send(topic, range(500))
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}")
    headers = {"Accept-Encoding": "gzip"}
    streams = [await client.stream(gateway.port, "numbers", headers=headers, since=1)]
    await streams[0].events(500)
    for number in range(500, 600):
        await producer.send(topic, [number], padding=100)
        await streams[0].number(number)
        if number % 15 == 0:
            streams.append(await client.stream(gateway.port, "numbers", headers=headers, last_id=streams[0].last_id))
    for stream in streams:
        await stream.number(599)  # A stop ends also those that are still behind.
    assert await gateway.stop() == 0
    for stream in streams:
        assert stream.headers["content-encoding"] == "gzip"
        await stream.end()
        check_sequence(stream.numbers, stream.numbers[0], 599)
        assert stream.whole
        assert not stream.torn

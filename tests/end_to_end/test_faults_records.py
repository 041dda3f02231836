"""What else a Kafka log holds: every codec, holes of compaction, aborted and open transactions, damaged batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.end_to_end.account import Account
from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.kafka import Producer, configure_topic, open_producer
from tests.end_to_end.process import eventually
from tests.eventlog.kit import create_topic
from tests.services.kafka import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

Accounts = Callable[[str], Account]

CODECS = [None, "gzip", "snappy", "lz4", "zstd"]
"""In the order of their numbers in the protocol."""


async def test_every_codec(broker: KafkaBroker, serve: Serve, follow: Follow, account: Accounts, topic: str) -> None:
    """Batches of every codec, and of each without compression between, in one partition."""
    bootstrap = broker.bootstrap
    await create_topic(bootstrap, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{bootstrap}", ring_bytes=100_000)
    live = await follow(gateway.port, "numbers")
    for index, codec in enumerate(CODECS):
        async with open_producer(bootstrap, compression_type=codec, linger_ms=20) as producer:
            await producer.send(topic, range(index * 500, index * 500 + 500), padding=300)
    await live.number(2499)
    (segment,) = broker.segments(topic)
    assert codecs(segment.read_bytes()) == {0, 1, 2, 3, 4}
    replay = await follow(gateway.port, "numbers", since=1)
    resumed = {at: await follow(gateway.port, "numbers", live.messages[at].identifier) for at in range(249, 2499, 500)}
    await gateway.kill()
    await gateway.start()
    line = account("every codec, live, replayed and resumed")
    line.begin()
    async with open_producer(bootstrap) as producer:
        await producer.send(topic, [2500])
    await line.heal([live, replay, *resumed.values()], 2500)
    line.count(live, range(2501))
    line.count(replay, range(2501))
    for at, client in resumed.items():
        line.count(client, range(at + 1, 2501))
    line.close()


def codecs(log: bytes) -> set[int]:
    """The codecs of the batches in a file of the broker."""
    found = set()
    place = 0
    while place + 61 <= len(log) and (size := int.from_bytes(log[place + 8 : place + 12], "big")):
        found.add(int.from_bytes(log[place + 21 : place + 23], "big") & 7)
        place += size + 12
    return found


async def stored(bootstrap: str, topic: str) -> dict[int, int]:
    """The number of each event that the topic holds now, by offset."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        found: dict[int, int] = {}
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found |= {record.offset: json.loads(record.value)["n"] for record in records}
        return found


async def test_a_compacted_topic(
    kafka: str, serve: Serve, follow: Follow, producer: Producer, account: Accounts, topic: str
) -> None:
    """The log cleaner leaves holes, also where clients stand: nothing is lost that the log holds, no gap is told."""
    settings = {"cleanup_policy": "compact", "segment_ms": "100", "min_cleanable_dirty_ratio": "0.0"}
    await create_topic(kafka, topic, 1, **settings, min_compaction_lag_ms="3600000")
    # What the clients have read before must not be given to others from memory.
    streams, kept = {"numbers": {"topics": [topic]}}, {"ring_bytes": 500_000, "replay_cache_bytes": 0}
    gateway = await serve(streams, f"kafka://{kafka}", **kept)
    count = 6000
    await producer.sparse(topic, range(count), padding=1000)
    live, laggard = await follow(gateway.port, "numbers", since=1), await follow(gateway.port, "numbers", since=1)
    await laggard.number(10)
    laggard.pause()
    await live.number(count - 1)
    await configure_topic(kafka, topic, **settings)
    added = count

    async def compacted() -> bool:
        nonlocal added
        await producer.sparse(topic, [added])
        added += 1
        return len(await stored(kafka, topic)) < count // 2

    await eventually(compacted, "the log is compacted")
    line = account("compacted topic with holes")
    line.begin()
    laggard.go_on()
    replay = await follow(gateway.port, "numbers", since=1)
    places = (0, 1000, 1500, 4001, count - 2)
    resumed = {at: await follow(gateway.port, "numbers", live.messages[at].identifier) for at in places}
    last = added
    await producer.sparse(topic, [last])
    clients = [live, laggard, replay, *resumed.values()]
    await line.heal(clients, last)
    held = set((await stored(kafka, topic)).values())
    line.count(live, range(last + 1))
    for at, client in [(-1, laggard), (-1, replay), *resumed.items()]:
        # What was compacted while the client came to it may have come or not.
        line.count(client, [number for number in range(at + 1, last + 1) if number in held or number in client.numbers])
    assert len(replay.numbers) < count // 2 < len(live.numbers)
    line.close()


async def test_transactions(
    kafka: str, serve: Serve, follow: Follow, producer: Producer, account: Accounts, topic: str
) -> None:
    """Committed, aborted and open transactions of two producers between plain records; one producer dies in its own."""
    await create_topic(kafka, topic)
    gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{kafka}", ring_bytes=100_000)
    live = await follow(gateway.port, "numbers")
    shown: list[int] = []
    aborted = range(10_000, 20_000)
    async with (
        # No transaction is to end by itself, also where a gateway takes its time to start again amid one.
        open_producer(kafka, transactional_id=f"{topic}.a", transaction_timeout_ms=300_000) as first,
        open_producer(kafka, transactional_id=f"{topic}.b", transaction_timeout_ms=300_000) as second,
    ):
        for begin in range(0, 1000, 100):
            commit = begin % 300 == 0
            await first.client.begin_transaction()
            await second.client.begin_transaction()
            await first.send(topic, range(begin, begin + 30), padding=300)
            await second.send(topic, range(aborted.start + begin, aborted.start + begin + 20), padding=300)
            await producer.send(topic, range(begin + 30, begin + 60), padding=300)
            await second.client.abort_transaction()
            await first.send(topic, range(begin + 60, begin + 100), padding=300)
            await (first.client.commit_transaction() if commit else first.client.abort_transaction())
            shown += range(begin, begin + 100) if commit else range(begin + 30, begin + 60)
        await live.have(shown[-1])
        resumed = [await follow(gateway.port, "numbers", live.messages[at].identifier) for at in (0, 99, 130, 300)]
        line = account("transactions aborted and open")
        await first.client.begin_transaction()
        await first.send(topic, range(2000, 2050))
        await producer.send(topic, range(3000, 3050))
        replay = await follow(gateway.port, "numbers", since=1)
        await replay.have(shown[-1])
        await gateway.kill()
        await gateway.start()
        assert not {2000, 3000} & {*live.numbers, *replay.numbers}
        await first.client.commit_transaction()
        line.begin()
        shown += [*range(2000, 2050), *range(3000, 3050)]
        await line.heal([live, replay, *resumed], 3049)
    await die_in_transaction(kafka, topic, 20_000)
    await producer.send(topic, [4000])
    shown.append(4000)
    for client in (live, replay, *resumed):
        await client.have(4000)
    line.count(live, shown)
    line.count(replay, shown)
    for client, at in zip(resumed, (0, 99, 130, 300), strict=True):
        line.count(client, shown[at + 1 :])
    line.close()


async def die_in_transaction(bootstrap: str, topic: str, number: int) -> None:
    """A producer that begins a transaction and is never heard of again: the broker aborts it."""
    identifier = f"{topic}.dead"
    async with open_producer(bootstrap, transactional_id=identifier, transaction_timeout_ms=3000) as producer:
        await producer.client.begin_transaction()
        with suppress(KafkaError):  # where it takes so long that the broker has done so by now
            await producer.send(topic, [number])
        # Without this, the end of the producer would wait for that of its transaction.
        producer.client._txn_manager = None


async def test_a_damaged_batch(
    broker: KafkaBroker, serve: Serve, follow: Follow, account: Accounts, topic: str
) -> None:
    """Nothing of a batch with a wrong checksum is delivered; clients go on when it is sound again."""
    await create_topic(broker.bootstrap, topic)
    async with open_producer(broker.bootstrap) as producer:
        for begin in range(0, 300, 100):
            await producer.send(topic, range(begin, begin + 100), padding=100)
        (segment,) = broker.segments(topic)
        sound = segment.read_bytes()
        with segment.open("r+b") as file:
            file.seek(sound.index(b'{"n":150,'))
            file.write(b'{"n":159,')
        gateway = await serve({"numbers": {"topics": [topic]}}, f"kafka://{broker.bootstrap}")
        clients = [await follow(gateway.port, "numbers", since=1) for _ in range(2)]
        for client in clients:
            await client.heard(f"waiting for {topic}/0")
        # It lies in the newest part: whoever is live does not wait for it.
        live = await follow(gateway.port, "numbers")
        await producer.send(topic, range(300, 310))
        await live.have(309)
        with segment.open("r+b") as file:
            file.write(sound)
        line = account("batch damaged on the broker's disk")
        line.begin()
        await line.heal(clients, 309)
    for client in clients:
        line.count(client, range(310))
    line.count(live, range(300, 310))
    line.close()

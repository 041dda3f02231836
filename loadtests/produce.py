"""The producer of a measurement, a process of its own: so many events, so many a second, into the topic of a log.

    python -m loadtests.produce LOG_URL TOPIC EVENTS RATE

It says `ready`, waits for a line on stdin, and says `done` when the log has acknowledged all. Rate 0 is as fast as
possible.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TICK_SECONDS = 0.01
FASTEST_BATCH = 2000
PAYLOAD_BYTES = 1200

Append = Callable[[list[bytes]], Awaitable[None]]


def loopback_hosts(url: str) -> str:
    """The `host:port,…` of a Kafka URL; anything but this machine is refused."""
    hosts = urlsplit(url).netloc
    for address in hosts.split(","):
        host = address.rpartition(":")[0]
        if not all(ipaddress.ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(host, None)):
            raise SystemExit(f"{host} is not this machine: the load tests talk to loopback only")
    return hosts


def payload(seq: int) -> bytes:
    """An event of PAYLOAD_BYTES with its number and the time (ns)."""
    head = b'{"seq":%d,"sent":%d,"meta":{"stream":"load"},"pad":"' % (seq, time.time_ns())
    return head + b"x" * (PAYLOAD_BYTES - len(head) - 2) + b'"}'


@asynccontextmanager
async def sqlite(url: str, topic: str) -> AsyncIterator[Append]:
    """Into the embedded log."""
    from gateway.event import NewRecord
    from gateway.eventlog.sqlite import SqliteLog

    log = SqliteLog(url.removeprefix("sqlite:///"))
    await log.open()
    await log.create(topic)

    async def append(values: list[bytes]) -> None:
        await log.append(topic, [NewRecord(value, partition=0) for value in values])

    try:
        yield append
    finally:
        await log.close()


@asynccontextmanager
async def kafka(url: str, topic: str) -> AsyncIterator[Append]:
    """Into Kafka."""
    from aiokafka import AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    hosts = loopback_hosts(url)
    admin = AIOKafkaAdminClient(bootstrap_servers=hosts)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=hosts, max_batch_size=1 << 20)
    await producer.start()

    async def append(values: list[bytes]) -> None:
        await asyncio.gather(*[await producer.send(topic, value, partition=0) for value in values])

    try:
        yield append
    finally:
        await producer.stop()


async def produce(append: Append, events: int, rate: int) -> None:
    """Append the events, those that are due together at once."""
    start = time.monotonic()
    made = 0
    while made < events:
        due = int((time.monotonic() - start) * rate) if rate else made + FASTEST_BATCH
        values = [payload(seq) for seq in range(made, min(due, events, made + FASTEST_BATCH))]
        if values:
            await append(values)
            made += len(values)
        if rate:
            await asyncio.sleep(TICK_SECONDS)


async def main(url: str, topic: str, events: int, rate: int) -> None:
    """Produce when told to."""
    opened = kafka(url, topic) if url.startswith("kafka://") else sqlite(url, topic)
    async with opened as append:
        print("ready", flush=True)
        if await asyncio.to_thread(sys.stdin.readline):
            await produce(append, events, rate)
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

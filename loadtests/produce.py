"""The producer of a measurement, a process of its own: so many events, so many a second, into the topic of a log.

    python -m loadtests.produce LOG_URL TOPIC KIND EVENTS RATE

It says `ready`, waits for a line on stdin, and says `done` when the log has acknowledged all; behind that word, in
JSON, how many events each append had, and when it was acknowledged (ns). Rate 0 is as fast as possible.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from loadtests.events import KINDS, Payload
from loadtests.machine import MeasurementError, loopback_only

TICK_SECONDS = 0.01
FASTEST_BATCH = 2000

Append = Callable[[list[bytes]], Awaitable[None]]


class Producer:
    """The producing process."""

    def __init__(self, log: str, topic: str, events: int, rate: int, kind: str = "padded") -> None:
        command = [sys.executable, "-m", "loadtests.produce", log, topic, kind, str(events), str(rate)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def go(self) -> None:
        """Begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait(self) -> list[int]:
        """Until the log has all; when each event was acknowledged (ns since the epoch)."""
        appends: list[tuple[int, int]] = json.loads(self._expect("done"))
        return [moment for count, moment in appends for _ in range(count)]

    def _expect(self, word: str) -> str:
        assert self._process.stdout is not None
        said, _, rest = self._process.stdout.readline().strip().partition(" ")
        if said != word:
            raise MeasurementError(f"the producer said {said!r} and not {word!r}")
        return rest


@asynccontextmanager
async def sqlite(url: str, topic: str) -> AsyncIterator[Append]:
    """Into the embedded log."""
    from gateway.eventlog.sqlite.log import SqliteLog
    from gateway.model.record import NewRecord

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

    hosts = loopback_only(urlsplit(url).netloc)
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


async def produce(append: Append, payload: Payload, events: int, rate: int) -> list[tuple[int, int]]:
    """Append the events, those that are due together at once; how many each time, and when they were acknowledged."""
    start = time.monotonic()
    made = 0
    appends = []
    while made < events:
        due = int((time.monotonic() - start) * rate) if rate else made + FASTEST_BATCH
        values = [payload(seq) for seq in range(made, min(due, events, made + FASTEST_BATCH))]
        if values:
            await append(values)
            appends.append((len(values), time.time_ns()))
            made += len(values)
        if rate:
            await asyncio.sleep(TICK_SECONDS)
    return appends


async def main(url: str, topic: str, kind: str, events: int, rate: int) -> None:
    """Produce when told to."""
    opened = kafka(url, topic) if url.startswith("kafka://") else sqlite(url, topic)
    async with opened as append:
        print("ready", flush=True)
        if await asyncio.to_thread(sys.stdin.readline):
            print("done", json.dumps(await produce(append, KINDS[kind](), events, rate)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))

"""Attacks by those who read streams. See Force."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import suppress
from typing import Any

from gateway.model.record import NewRecord
from tests.attacks.force import Force, get, stream

BATCH = 1000
ROUND = 0.4
"""Seconds between the beginnings of two streams."""
PADDING = "x" * 700


def _history(first: int, count: int, when: int, partition: int | None = None) -> list[NewRecord]:
    return [
        NewRecord(
            json.dumps({"a": number, "b": {"c": number % 7}, "text": PADDING}).encode(), None, when + number, partition
        )
        for number in range(first, first + count)
    ]


async def _fill(force: Force, topic: str = "hostile") -> None:
    """A past that is larger than what the gateway keeps of it in memory."""
    when = int(time.time() * 1000) - 3_600_000
    for first in range(0, 10_000, BATCH):
        await force.append(topic, _history(first, BATCH, when))


async def _grow(force: Force) -> None:
    for number in itertools.count():
        await force.append("hostile", _history(number * 20, 20, int(time.time() * 1000)))
        await asyncio.sleep(0.1)


async def silent(force: Force) -> None:
    """Ask for all of the past, and read nothing; or a byte now and then."""
    await _fill(force)

    async def behave(number: int) -> None:
        async with force.connection(number) as (reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(get(stream("plain,hostile", since="2h")))
            if number % 2:
                writer.transport.resume_reading()  # type: ignore[attr-defined]
                await force.head(reader)
                while await reader.read(1):  # noqa: ASYNC110
                    await asyncio.sleep(1)
            else:
                await asyncio.sleep(60)

    await asyncio.gather(force.crowd(force.options.count, behave), _grow(force))


async def hasty(force: Force) -> None:
    """Come, and go at once, at whatever point of the answer."""
    await _fill(force)
    targets = [stream("plain,hostile", since="2h"), stream("hostile"), stream("*", since="1h", filter="event.a > 5")]

    async def behave(number: int) -> None:
        async with force.connection(number) as (reader, writer):
            writer.write(get(targets[number % len(targets)]))
            if number % 2:
                await force.head(reader)
                await asyncio.sleep(force.random.random() / 10)

    await asyncio.gather(force.crowd(force.options.count, behave), _grow(force))


async def distinct(force: Force) -> None:
    """Replay the same past with fields and filters of one's own, each another one."""
    await _fill(force)

    async def behave(number: int) -> None:
        query: dict[str, Any] = {"since": "2h", "filter": f"event.a % {number + 2} == 1 || event.plain > 0"}
        if number % 2:
            query["fields"] = f"a,b.c,f{number}"
        headers = {"accept": "application/x-ndjson"} if number % 3 else {"accept_encoding": "gzip"}
        await force.follow(get(stream("plain,hostile", **query), **headers), number)

    await asyncio.gather(force.crowd(force.options.count, behave, pause=0.5), _grow(force))


async def first(force: Force) -> None:
    """Replay while a partition gets its first record, beside one that has a past: stream after stream, each once."""

    async def follow(name: str, number: int) -> None:
        await asyncio.sleep(force.random.random() / 4)
        with suppress(ConnectionError):
            await force.follow(get(stream(name, since=1)), number, seconds=0.9)

    async def write(name: str, partition: int, after: float) -> None:
        await asyncio.sleep(after)
        for _ in range(100):
            await force.append(name, [NewRecord(b'{"a":1,"text":"x"}', None, None, partition)])
            await asyncio.sleep(0.005)

    async def begin(name: str) -> None:
        await force.append(name, _history(0, 3000, int(time.time() * 1000) - 60_000, 0))
        late = force.random.random() / 30
        clients = (follow(name, number) for number in range(14))
        await asyncio.gather(write(name, 0, 0.0), write(name, 1, late), *clients)

    rounds = []
    for number in range(force.options.count):
        rounds.append(asyncio.create_task(begin(f"early{number}")))
        await asyncio.sleep(ROUND)
    await asyncio.gather(*rounds)
    await asyncio.Event().wait()


async def resumed(force: Force) -> None:
    """Come back with ids of odd places: in the middle, long gone, not there yet, by times, by both, by neither."""
    await _fill(force)
    random, now = force.random, int(time.time() * 1000)

    def entry(partition: int) -> dict[str, Any]:
        made: dict[str, Any] = {"topic": f"{force.options.prefix}hostile", "partition": partition}
        kind = random.randrange(6)
        if kind < 4:
            made["offset"] = random.choice((0, 1, random.randrange(4000), 2**62, -1))
        if kind > 1:
            made["timestamp"] = random.choice((0, 1, now, now - random.randrange(7_200_000), 2**62, now + 10**9))
        if kind == 5:
            made["seen"] = random.choice((0, 1, 2**31, 2**62))
        return made

    async def behave(number: int) -> None:
        entries = [entry(partition) for partition in range(4) if random.random() < 0.8] or [entry(0)]
        async with force.connection(number) as (reader, writer):
            writer.write(get(stream("plain,hostile"), Last_Event_ID=json.dumps(entries)))
            await force.head(reader)
            await asyncio.sleep(random.random())

    await asyncio.gather(force.crowd(force.options.count, behave), _grow(force))


async def seen(force: Force) -> None:
    """Come back to a stream of times with millions of records seen in one millisecond."""
    await _fill(force, "timed")
    when = int(time.time() * 1000) - 3_600_000

    async def behave(number: int) -> None:
        place = {"topic": "timed", "partition": 0, "timestamp": when + number, "seen": 10**6 * (number % 9 + 1)}
        async with force.connection(number) as (reader, writer):
            writer.write(get(stream("timed"), Last_Event_ID=json.dumps([place])))
            await force.head(reader)
            await asyncio.sleep(force.random.random())

    await force.crowd(force.options.count, behave)

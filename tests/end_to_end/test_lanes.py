"""`gateway derive run` several times on Kafka, killed, stopped, and without a broker: each row is there once."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import LogError, LogUnavailable, Refused
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import MEMBER_SECONDS, Batch, Bounds, EventLog, TopicState
from gateway.eventlog.trouble import demand
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.times import iso_time
from tests.derive import oracle
from tests.end_to_end.process import configuration
from tests.eventlog.kit import patiently
from tests.services.kafka import KafkaBroker

pytestmark = [pytest.mark.end_to_end, pytest.mark.kafka, pytest.mark.long]

PARTITIONS, KEYS = 4, "abcdefgh"
START, LATE, SIZE = 1_767_225_600_000, 10_000, 20_000
SECONDS = 120.0
"""A process takes long to start on a busy machine, and its lanes come to it once another has been silent for long."""
ROW = {"type": "object", "properties": {"meta": {"type": "object"}}}


class Source:
    """Events that come all the time."""

    def __init__(self, log: EventLog, topic: str) -> None:
        self._log, self._topic = log, topic
        self._now = START
        self._chance = random.Random(11)
        self.count = 0

    def _record(self, one: oracle.Event) -> NewRecord:
        time, key, number = one
        domain = "canary" if key == oracle.CANARY else "wiki"
        told = {"meta": {"dt": iso_time(time), "domain": domain}, "key": key, "n": number}
        return NewRecord(orjson.dumps(told), key.encode(), time)

    async def run(self) -> None:
        """Append some, again and again; some are late. What the log does not take is lost."""
        while True:
            some = []
            for number in range(self.count, self.count + 20):
                self._now += self._chance.choice([0, 200, 900])
                late = self._chance.choice([0, 3_000, 15_000])
                some.append(self._record((self._now - late, self._chance.choice(KEYS), number)))
            with suppress(LogError):
                await self._log.append(self._topic, some)
                self.count += 20
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        """A canary in each partition, so that all windows close."""
        await patiently(lambda: self._log.settle(self._topic))
        for number in range(PARTITIONS):
            record = self._record((self._now + 60_000, oracle.CANARY, 0))._replace(partition=number, key=None)
            # One that is there twice closes nothing more.
            await patiently(partial(self._log.append, self._topic, [record]))


def expected(parts: oracle.Partitions) -> tuple[Counter[Any], Counter[Any]]:
    """The windows, and the numbers, that come of these events."""
    told, _ = oracle.windows(parts, LATE, SIZE, SIZE)
    windows = Counter((key, iso_time(start), count, total) for key, start, _, count, total, _ in told.elements())
    return windows, Counter(number for part in parts for _, key, number in part if key != oracle.CANARY)


class Process:
    """`gateway derive run`, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.said += line.decode()

    def begun(self) -> int:
        """How many lanes it has begun so far."""
        return len(re.findall("derived here", self.said))

    def ended(self) -> int:
        """How many lanes it has put down so far."""
        return len(re.findall("rows? stored", self.said))

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        await self.process.wait()
        await self._reading


async def start(config: Path, url: str) -> Process:
    """One more process that derives."""
    arguments = ("-m", "gateway", "derive", "run", "--config", str(config), "--log", url)
    return Process(await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.PIPE))


async def until(condition: Callable[[], Awaitable[bool] | bool], what: str) -> None:
    """Return once it holds."""
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                found = condition()
                if found if isinstance(found, bool) else await found:
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {SECONDS:g} s") from None


async def records(log: EventLog, topic: str) -> list[Record]:
    """All that can be read, those of each partition in their order."""
    state = (await patiently(lambda: log.describe([topic]))).get(topic)
    if not isinstance(state, TopicState):
        return []
    places = [TopicPartition(topic, number) for number in range(state.partitions)]

    async def ask() -> dict[TopicPartition, Bounds]:
        try:
            return demand(await log.bounds(places))
        except Refused as error:  # nobody leads one of them yet
            raise LogUnavailable(str(error)) from error

    bounds = await patiently(ask)
    left = {place: at.end for place, at in bounds.items() if at.end > at.start}
    reader = await log.reader({place: bounds[place].start for place in left})
    found: list[Record] = []
    while left:
        for batch in await reader.fetch(1.0):
            assert isinstance(batch, Batch)
            found += batch.records
            if batch.position >= left.get(batch.partition, batch.position + 1):
                del left[batch.partition]
    await reader.close()
    return found


async def rows(log: EventLog, topic: str) -> list[dict[str, Any]]:
    """All rows, without canaries."""
    found = [orjson.loads(record.value or b"") for record in await records(log, topic)]
    return [row for row in found if row["meta"].get("domain") != "canary"]


async def parts_of(log: EventLog, topic: str) -> oracle.Partitions:
    """The events of each partition."""
    parts: oracle.Partitions = [[] for _ in range(PARTITIONS)]
    for record in await records(log, topic):
        told = orjson.loads(record.value or b"")
        parts[record.partition].append((record.timestamp, told["key"], told["n"]))
    return parts


@asynccontextmanager
async def appending(source: Source) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_lanes_over_processes_that_are_killed_and_stopped(broker: KafkaBroker, tmp_path: Path) -> None:
    suffix = uuid.uuid4().hex[:8]
    topic, passing, counting = f"source-{suffix}", f"passing-{suffix}", f"counting-{suffix}"
    title = tmp_path / "schemas" / "row" / "1.0.0.json"
    title.parent.mkdir(parents=True)
    title.write_bytes(orjson.dumps(ROW | {"$id": "/row/1.0.0", "title": "row"}))
    window = {
        "from": [topic], "window": {"every": "20s"}, "by": {"key": "event.key"}, "late": "10s",
        "select": {"count": "count()", "sum": "sum(event.n)"}, "allow_unknown": True,
    }  # fmt: skip
    select = {"from": [topic], "select": {"n": "event.n"}, "allow_unknown": True}
    streams: dict[str, dict[str, Any]] = {
        topic: {"partitions": PARTITIONS, "message_key_fields": ["key"]},
        passing: {"schema_title": "row", "derive": select},
        counting: {"schema_title": "row", "derive": window},
    }
    config = configuration(tmp_path, streams, schema_repositories=[str(tmp_path / "schemas")])
    url = f"kafka://{broker.bootstrap}"
    log = KafkaLog([broker.bootstrap])
    await log.open()
    await patiently(lambda: log.create(topic, PARTITIONS))
    source, processes = Source(log, topic), list[Process]()
    try:
        async with appending(source):
            processes += [await start(config, url), await start(config, url)]
            first, second = processes
            # Both have some of the lanes of both streams.
            await until(lambda: min(first.begun(), second.begun()) >= PARTITIONS, "two that divide the lanes")
            await asyncio.sleep(1)
            first.process.kill()
            third = await start(config, url)
            processes.append(third)
            await until(lambda: third.begun() >= PARTITIONS, "a third one that has lanes")
            await asyncio.sleep(1)
            second.process.send_signal(signal.SIGSTOP)
            await until(lambda: third.begun() >= 2 * PARTITIONS, "all lanes in the third one")
            second.process.send_signal(signal.SIGCONT)
            # It is fenced where it stores something first, and else learns from the group that others have its lanes.
            await until(lambda: second.ended() >= PARTITIONS, "the one that was stopped has put its lanes down")
            await asyncio.to_thread(broker.stop)
            await asyncio.sleep(MEMBER_SECONDS / 4)
            await asyncio.to_thread(broker.start)
            before = source.count
            await until(lambda: source.count > before + 100, "events after the broker is back")
        await source.end()
        windows, numbers = expected(await parts_of(log, topic))

        async def are_told() -> bool:
            told = len(await rows(log, counting)), len(await rows(log, passing))
            return told[0] >= windows.total() and told[1] >= numbers.total()

        await until(are_told, "all windows and all events")
        second.process.terminate()
        third.process.terminate()
        assert await second.process.wait() == await third.process.wait() == 0
        found = await rows(log, counting)
        assert Counter((row["key"], row["window_start"], row["count"], row["sum"]) for row in found) == windows
        assert len({row["meta"]["id"] for row in found}) == len(found)
        assert Counter(row["n"] for row in await rows(log, passing)) == numbers
    finally:
        for process in processes:
            await process.end()
            sys.stdout.write(process.said)  # shown where the test fails
        await log.close()

"""A chain of two gateways: a mirror reads the one and writes for the other, and each of the three is killed."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import LogUnavailable, Refused
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import Bounds, EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import demand
from gateway.model.record import NewRecord, TopicPartition
from tests.end_to_end.conftest import Launch, Serve
from tests.end_to_end.kafka import event
from tests.end_to_end.process import WAIT, GatewayProcess, configuration, eventually
from tests.end_to_end.stream import Client, check_sequence
from tests.eventlog.kit import batches_of, patiently
from tests.services.kafka import KafkaBroker

pytestmark = pytest.mark.end_to_end

RATE = 1500
"""Events a second."""
BATCH = 30

READING = "reading the source"


class MirrorProcess(GatewayProcess):
    """`gateway mirror`: it has no ports."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        super().__init__(directory, *arguments, command="mirror")
        self._command = [*self._command[:4], *arguments]
        self._before = 0

    async def start(self) -> None:
        """Returns when it reads the source."""
        self.launch()
        await self.reads()

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        self._before = self.errors.count(READING)
        super().launch()

    async def reads(self) -> None:
        """Wait until it reads the source, since it was started last."""
        await self.says(READING, self._before)

    async def says(self, text: str, times: int = 0) -> None:
        """Wait until it has said this more often than so many times."""

        async def check() -> bool:
            return self.errors.count(text) > times

        await eventually(check, f"the mirror says {text!r}")


class Side:
    """A log, and the URL by which gateways know it."""

    def __init__(self, kind: str, place: str, topic: str) -> None:
        self.url = f"sqlite:///{place}" if kind == "sqlite" else f"kafka://{place}"
        self.log: EventLog = SqliteLog(place) if kind == "sqlite" else KafkaLog([place])
        self.partition = TopicPartition(topic, 0)

    async def bounds(self) -> Bounds:
        """Where the records begin and end, also of a broker that has just come back."""

        async def ask() -> Bounds:
            try:
                return demand(await self.log.bounds([self.partition]))[self.partition]
            except Refused as error:  # nobody leads it yet
                raise LogUnavailable(str(error)) from error

        return await patiently(ask)

    async def records(self) -> list[tuple[int, bytes | None]]:
        """Timestamp and value of every record."""
        bounds = await self.bounds()
        reader = await self.log.reader({self.partition: bounds.start})
        found: list[tuple[int, bytes | None]] = []
        position = bounds.start
        while position < bounds.end:
            for batch in batches_of(await reader.fetch(10.0)):
                found += [(record.timestamp, record.value) for record in batch.records]
                position = batch.position
        await reader.close()
        return found

    async def count(self) -> int:
        """How many records there are."""
        known = await patiently(lambda: self.log.describe([self.partition.topic]))
        return len(await self.records()) if known else 0


async def feed(side: Side, chance: random.Random, stop: asyncio.Event) -> int:
    """Events in JSON that no encoder here would write, some with times that go back; returns how many. An append
    that is not acknowledged in time is made again where the log has not got it."""
    number = 0
    while not stop.is_set():
        now = time.time_ns() // 1_000_000
        records = [
            NewRecord(event(n, chance.randrange(300)).replace(b":", b" : "), timestamp=now - chance.randrange(3))
            for n in range(number, number + BATCH)
        ]
        try:
            await side.log.append(side.partition.topic, records)
        except LogUnavailable:
            await patiently(lambda: side.log.settle(side.partition.topic))
            if (await side.bounds()).end == number:
                continue
        number += BATCH
        await asyncio.sleep(BATCH / RATE)
    return number


def streams(topic: str) -> dict[str, Any]:
    return {"numbers": {"topics": [topic]}}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_a_chain_whose_parts_are_killed(
    request: pytest.FixtureRequest, serve: Serve, client: Client, tmp_path: Path, topic: str, kind: str
) -> None:
    chance = random.Random(7)
    kafka: str = request.getfixturevalue("kafka") if kind == "kafka" else ""
    source = Side(kind, kafka or str(tmp_path / "one.db"), f"{topic}.one")
    target = Side(kind, kafka or str(tmp_path / "two.db"), f"{topic}.two")
    await source.log.create(source.partition.topic)
    (tmp_path / "two").mkdir()
    first = await serve(streams(source.partition.topic), source.url)
    second_config = configuration(tmp_path / "two", streams(target.partition.topic))
    second = GatewayProcess(tmp_path / "second", "--config", str(second_config), "--log", target.url)
    url = f"{first.address}/v2/stream/numbers"
    arguments = [url, "numbers", "--since", "1h", "--config", str(second_config), "--log", target.url]
    mirror = MirrorProcess(tmp_path / "mirror", *arguments)
    try:
        for part in (mirror, second):
            await part.start()
        fed = asyncio.Event()
        feeding = asyncio.create_task(feed(source, chance, fed))
        for part in (mirror, first, mirror, second, mirror, first, mirror):
            if part is mirror:
                await mirror.reads()
            await asyncio.sleep(chance.uniform(0.0, 0.7))
            await part.kill()
            part.launch()
        fed.set()
        count = await feeding

        async def whole() -> bool:
            return await target.count() >= count

        await eventually(whole, "all events are there")
        await mirror.reads()
        await second.ready()
        stream = await client.stream(second.port, "numbers", since=1)
        await stream.number(count - 1)
        check_sequence(stream.numbers, 0, count - 1)
        mirror.terminate()
        assert await mirror.ended() == 0
        assert await target.records() == await source.records()
        assert "GAP" not in mirror.errors
    finally:
        mirror.clear_up()
        second.clear_up()
        for side in (source, target):
            await side.log.close()
    assert "Traceback" not in mirror.errors


@pytest.mark.kafka
@pytest.mark.parametrize("orderly", [True, False])
async def test_a_broker_that_goes_and_comes(
    broker: KafkaBroker, serve: Serve, tmp_path: Path, topic: str, *, orderly: bool
) -> None:
    source = Side("sqlite", str(tmp_path / "one.db"), topic)
    target = Side("kafka", broker.bootstrap, topic)
    await source.log.create(topic)
    gateway = await serve(streams(topic), source.url)
    mirror = MirrorProcess(tmp_path / "mirror", f"{gateway.address}/v2/stream/numbers", "numbers", "--since", "1h",
                           "--config", str(tmp_path / "gateway.yaml"), "--log", target.url)  # fmt: skip
    chance = random.Random(3)
    try:
        await mirror.start()
        fed = asyncio.Event()
        feeding = asyncio.create_task(feed(source, chance, fed))
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        await asyncio.to_thread(broker.stop if orderly else broker.kill)
        await mirror.says("waiting for the log")
        await asyncio.to_thread(broker.start)
        await mirror.says("the log answers again")
        fed.set()
        count = await feeding

        async def whole() -> bool:
            return await target.count() >= count

        await eventually(whole, "all events are there")
        mirror.terminate()
        assert await mirror.ended() == 0
        assert await target.records() == await source.records()
    finally:
        mirror.clear_up()
        await source.log.close()
        await target.log.close()
    assert "Traceback" not in mirror.errors


async def test_an_event_is_there_at_once(serve: Serve, tmp_path: Path, topic: str) -> None:
    source, target = (Side("sqlite", str(tmp_path / name), topic) for name in ("one.db", "two.db"))
    await source.log.create(topic)
    gateway = await serve(streams(topic), source.url)
    config = str(tmp_path / "gateway.yaml")
    mirror = MirrorProcess(tmp_path / "mirror", f"{gateway.address}/v2/stream/numbers", "numbers",
                           "--config", config, "--log", target.url)  # fmt: skip
    try:
        await mirror.start()
        await target.log.create(topic)
        reader = await target.log.reader({target.partition: 0})
        delays = []
        for number in range(20):
            await source.log.append(topic, [NewRecord(event(number))])
            appended = time.monotonic()
            assert await reader.fetch(WAIT)
            delays.append(time.monotonic() - appended)
            await asyncio.sleep(0.05)
        # Those for which the machine had a core.
        assert sorted(delays)[5] < 0.5
        await reader.close()
        mirror.terminate()
        assert await mirror.ended() == 0
        assert "20 events stored" in mirror.errors
    finally:
        mirror.clear_up()
        await source.log.close()
        await target.log.close()


async def test_a_demo_of_another_stream(
    gateways: Launch, serve: Serve, client: Client, tmp_path: Path, topic: str
) -> None:
    source = Side("sqlite", str(tmp_path / "one.db"), topic)
    await source.log.create(topic)
    gateway = await serve(streams(topic), source.url)
    url = f"{gateway.address}/v2/stream/numbers"
    demo = gateways("--from", url, "--log", f"sqlite:///{tmp_path / 'demo.db'}", command="demo")
    await demo.start()
    stream = await client.stream(demo.port, "numbers")

    async def reads() -> bool:
        return READING in demo.errors and "curl" in demo.output

    await eventually(reads, "the demo reads")
    await source.log.append(topic, [NewRecord(event(number)) for number in range(100)])
    check_sequence(await stream.events(100), 0, 99)
    assert await demo.stop() == 0
    await source.log.close()


async def test_an_interrupt_and_a_second_mirror(serve: Serve, tmp_path: Path, topic: str) -> None:
    source, target = (Side("sqlite", str(tmp_path / name), topic) for name in ("one.db", "two.db"))
    await source.log.create(topic)
    await source.log.append(topic, [NewRecord(event(number)) for number in range(10)])
    gateway = await serve(streams(topic), source.url)
    arguments = [f"{gateway.address}/v2/stream/numbers?since=1h", "numbers", "--config", str(tmp_path / "gateway.yaml")]
    mirrors = [MirrorProcess(tmp_path / str(number), *arguments, "--log", target.url) for number in range(2)]
    try:
        mirrors[0].launch()

        async def copied() -> bool:
            return await target.count() == 10

        await eventually(copied, "ten events")
        await mirrors[1].start()
        await source.log.append(topic, [NewRecord(event(10))])
        assert await mirrors[0].ended() == 1
        assert "has taken over" in mirrors[0].errors

        async def one_more() -> bool:
            return await target.count() == 11

        await eventually(one_more, "the eleventh event")
        mirrors[1].signal_group(signal.SIGINT)
        assert await mirrors[1].ended() == 0
        assert "1 event stored" in mirrors[1].errors
        assert await target.count() == 11
    finally:
        for mirror in mirrors:
            mirror.clear_up()
        await source.log.close()
        await target.log.close()

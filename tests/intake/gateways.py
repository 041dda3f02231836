"""Several gateways that take events in, over one log and one store of claims."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.claims.book import Book
from gateway.claims.memory import MemoryClaims
from gateway.clock import SystemClock
from gateway.definitions import Current, Definitions
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.port import NO_STAMPS
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.intake.intake import Intake
from gateway.intake.options import IntakeOptions
from gateway.intake.outcome import Outcome, Submission
from gateway.intake.store import known_by
from gateway.model.record import TopicPartition
from tests.intake.test_intake import SHIPPED, STREAMS
from tests.kit.intake import take
from tests.routes.intake import Log

TOPIC = "change"


class SlowlyRead(Log):
    """What is in it is read only while `read_on` is set, or by who asked for its end."""

    def __init__(self) -> None:
        super().__init__()
        self.read_on = asyncio.Event()
        self.read_on.set()

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        log = self

        class Slow(MemoryReader):
            async def fetch(self, *arguments: Any, **named: Any) -> Any:
                found = await super().fetch(*arguments, **named)
                await log.read_on.wait()
                return found

        return Slow(log, positions)


class Gateways:
    """Intakes over one log, each with a hub and claims of its own."""

    def __init__(self) -> None:
        self.log = SlowlyRead()
        for stream in STREAMS:
            self.log.create_topic(stream.topics[0])
        self.book = Book(600.0, 10_000)
        self.intakes: list[Intake] = []
        self.hubs: list[Hub] = []
        self.claims: list[MemoryClaims] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, sure: bool = True, shared: bool = True) -> Intake:
        clock, catalog = SystemClock(), Catalog(STREAMS)
        hub = Hub(self.log, dict.fromkeys(catalog.topics, False), clock, HubOptions(flush_interval=0.01))
        claims = MemoryClaims(self.book if shared else Book(600.0, 10_000), clock, sure)
        current = Current(Definitions(catalog, SHIPPED, "gateway.errors"))
        intake = Intake(hub, current, clock, IntakeOptions(), claims, claims)
        hub.observe = intake.observe
        self._tasks += [asyncio.create_task(hub.run()), asyncio.create_task(intake.run())]
        await hub.filled.wait()
        self.hubs.append(hub)
        self.claims.append(claims)
        self.intakes.append(intake)
        return intake

    async def close(self) -> None:
        self.log.gate.set()
        self.log.away.clear()
        self.log.read_on.set()
        for intake in self.intakes:
            await intake.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def ids(self) -> list[str]:
        return [orjson.loads(value)["meta"].get("id") for value in self.log.values(TOPIC)]


@asynccontextmanager
async def gateways(count: int, **more: bool) -> AsyncIterator[Gateways]:
    made = Gateways()
    for _ in range(count):
        await made.add(**more)
    try:
        yield made
    finally:
        await made.close()


async def send(intake: Intake, *events: Any, key: str | None = None, hasty: bool = False) -> Outcome:
    body = orjson.dumps(events if len(events) != 1 else events[0])
    return await take(intake, Submission(body, "application/json", hasty=hasty, idempotency_key=key))


def counted(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.stored, outcome.repeated, len(outcome.failed)


def claim_of(event: Any) -> bytes:
    return known_by(TOPIC, ("wiki.change", event["meta"]["id"]))

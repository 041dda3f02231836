"""Worlds of two gateways that take in the same events, over a log that loses answers.

Senders send each event to either gateway, again and again, until one says that it is stored. Meanwhile appends take
long, fail, or are done though nobody hears of it, claims are away, and gateways are killed and started. In the end the
log has each event once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import orjson

from gateway.app.composition import open_schemas
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.claims.book import Book
from gateway.claims.memory import MemoryClaims
from gateway.definitions import Current, Definitions
from gateway.errors import LogUnavailable, Problem
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.offer import Fate
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.intake.intake import Intake
from gateway.intake.options import IntakeOptions
from gateway.intake.outcome import Submission
from gateway.model.record import NewRecord
from gateway.settings.table import Settings
from tests.kit.intake import take
from tests.routes.intake import change
from tests.simulation.faults import FaultyLog
from tests.simulation.loop import run
from tests.simulation.process import VirtualClock

TOPIC = "change"
STREAMS = (Stream("wiki.change", (TOPIC,), schema_title="wiki/change"),)
SHIPPED = open_schemas(Settings())
WINDOW = 3600.0
"""Seconds that an event is remembered: longer than a world lasts."""
PATIENCE = 600.0


class UnsureLog(FaultyLog):
    """A gateway's way to the log: it appends late, or not at all, or without a word; not once the gateway is dead."""

    dead = False

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        chance = self._random.random()
        await asyncio.sleep(self._random.choice([0.0, 0.001, 0.1, 1.0]))
        if chance < 0.15:
            raise LogUnavailable("it was lost on its way")
        if self.dead:
            raise asyncio.CancelledError
        fates = await super().offer(topic, records)
        await asyncio.sleep(self._random.choice([0.0, 0.001, 0.1, 1.0]))
        if chance > 0.85:
            raise LogUnavailable("the answer was lost")
        return fates


class Gateway:
    """What takes events in, in one process."""

    def __init__(self, world: World) -> None:
        clock, catalog = VirtualClock(), Catalog(STREAMS)
        self.log = UnsureLog(world.log, Random(world.random.random()))
        self.log.heal()
        self.hub = Hub(self.log, {TOPIC: False}, clock, HubOptions(flush_interval=0.01), clock.monotonic)
        self.claims = MemoryClaims(world.book, clock)
        current = Current(Definitions(catalog, SHIPPED, None))
        self.intake = Intake(self.hub, current, clock, IntakeOptions(), self.claims, self.claims)
        self.hub.observe = self.intake.observe
        self.sending: set[asyncio.Task[Any]] = set()
        self._tasks = [asyncio.create_task(self.hub.run()), asyncio.create_task(self.intake.run())]

    def kill(self) -> None:
        """Nothing of it goes on, and nobody is told."""
        self.log.dead = True
        for task in (*self._tasks, *self.sending):
            task.cancel()


class World:
    """Everything that a seed decides."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"two intakes {seed}")
        self.apart = self.random.random() < 0.5
        """Each event is sent to one gateway after the other: then it is stored once though claims are away."""
        self.log = MemoryLog(VirtualClock().now)
        self.log.create_topic(TOPIC)
        self.book = Book(WINDOW, 10_000)
        self.gateways = [Gateway(self), Gateway(self)]
        self.told: Counter[str] = Counter()
        """How often a sender was told that its event is stored."""

    async def send(self, number: int) -> None:
        """One event, to several gateways at once at times, until it is stored."""
        random = Random(f"{number} {self.random.random()}")
        event, name = change(number), str(uuid.UUID(int=number))
        event["meta"]["id"] = name
        body = orjson.dumps(event)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not self.told[name]:
            chosen = self.gateways if random.random() < 0.5 and not self.apart else [random.choice(self.gateways)]
            await asyncio.wait([self._begin(gateway, body, name) for gateway in list(chosen)])
            assert asyncio.get_running_loop().time() < deadline, f"event {number} is never stored"
            await asyncio.sleep(random.choice([0.0, 0.1, 2.0]))
        # Somebody who has lost the answer.
        if random.random() < 0.3:
            await asyncio.wait([self._begin(random.choice(self.gateways), body, name)])

    def _begin(self, gateway: Gateway, body: bytes, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._submit(gateway, body, name))
        gateway.sending.add(task)
        task.add_done_callback(gateway.sending.discard)
        return task

    async def _submit(self, gateway: Gateway, body: bytes, name: str) -> None:
        with suppress(Problem):
            outcome = await take(gateway.intake, Submission(body, "application/json"))
            assert not outcome.invalid, outcome.invalid
            if outcome.stored and not outcome.failed:
                self.told[name] += 1

    async def disturb(self) -> None:
        """One thing after another, until it is told to stop."""
        random = self.random
        while True:
            await asyncio.sleep(random.choice([0.1, 1.0, 5.0]))
            number = random.randrange(2)
            if random.random() < 0.5 or not self.apart:
                self.gateways[number].kill()
                self.gateways[number] = Gateway(self)
            else:
                self.gateways[number].claims.available = not self.gateways[number].claims.available

    async def live(self) -> int:
        """All of it; how many events there are."""
        disturbing = asyncio.create_task(self.disturb())
        count = self.random.choice([1, 5, 30])
        senders = [asyncio.create_task(self.send(number)) for number in range(count)]
        await asyncio.wait(senders)
        disturbing.cancel()
        for sender in senders:
            sender.result()
        for gateway in self.gateways:
            gateway.kill()
        parts = self.log._topics[TOPIC].partitions
        values = [record.value or b"{}" for part in parts for record in part.records]
        stored = Counter(orjson.loads(value)["meta"]["id"] for value in values)
        assert not (again := [name for name, times in stored.items() if times > 1]), f"stored again: {again}"
        assert not (lost := [name for name in self.told if not stored[name]]), f"told, and not stored: {lost}"
        return count


def simulate_two_intakes(seed: int) -> int:
    """Run one world; how many events there were. Raises AssertionError where one was lost, or stored twice."""

    async def main() -> int:
        return await World(seed).live()

    return run(main())

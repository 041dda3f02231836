"""What the tests of rules share: streams, a log, and a target that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.document import Findings, parse
from gateway.catalog.stream import Stream
from gateway.derive.sources import Sources
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog, MemoryWriter
from gateway.eventlog.port import EventLog
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.rules.attempt import Answer, Prepared
from gateway.rules.declaration import read_rules
from gateway.rules.rule import Rule, writer_name
from gateway.rules.runner import Means, Runner
from gateway.rules.window import decode_position
from gateway.schemas.repository import SchemaRepository
from tests.kit.clock import ShiftedClock

WAIT = 60.0
"""Seconds until what is sure to come counts as missing."""

STREAM, DEAD, OTHER = "wiki.page-create", "wiki.purge-dead", "wiki.made"
CATALOG = Catalog(
    [
        Stream(STREAM, (STREAM,), schema_title="wiki/page-create"),
        Stream(DEAD, (DEAD,), schema_title="gateway/error"),
        Stream(OTHER, (OTHER,), schema_title="wiki/page-create"),
    ]
)
SCHEMAS = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])

PURGE = """
purge:
  on: [wiki.page-create]
  do:
    - request: {url: "http://cache.example/purge/{event.title}"}
  key: event.title
  retry: {after: [30s, 5m]}
  dead_stream: wiki.purge-dead
"""


def rules_of(text: str, catalog: Catalog = CATALOG) -> tuple[tuple[Rule, ...], list[str]]:
    """The rules of a text, and the mistakes in it without their file."""
    findings = Findings(Path("file"))
    rules = read_rules(parse(text, findings), findings, catalog)
    return rules, findings.mistakes


def rule_of(text: str = PURGE) -> Rule:
    """The only rule of a text."""
    rules, mistakes = rules_of(text)
    assert not mistakes, mistakes
    (rule,) = rules
    return rule


def page(number: int, **more: Any) -> dict[str, Any]:
    """An event."""
    return {
        "$schema": "/wiki/page-create/1.0.0",
        "meta": {"id": f"id-{number}", "dt": "2026-01-01T00:00:00Z", "stream": STREAM},
        "title": f"Page {number}",
        **more,
    }


def record(event: Any, key: bytes | None = None, headers: tuple[tuple[str, bytes], ...] = ()) -> NewRecord:
    """Its record."""
    return NewRecord(event if isinstance(event, bytes) else orjson.dumps(event), key, partition=0, headers=headers)


class Target:
    """A Sender that answers as `answer` says, or what is next of `answers`, else 204; keeps all that it was asked."""

    def __init__(self, answer: Callable[[Prepared], Awaitable[Answer]] | None = None) -> None:
        self._answer = answer
        self.answers: list[Answer] = []
        self.asked: list[Prepared] = []
        self.changed = asyncio.Event()

    async def send(self, request: Prepared) -> Answer:
        """See Sender."""
        self.asked.append(request)
        self.changed.set()
        if self._answer is not None:
            return await self._answer(request)
        return self.answers.pop(0) if self.answers else Answer(204)

    @property
    def targets(self) -> list[str]:
        """Path and query of each."""
        return [one.target for one in self.asked]


class Log(MemoryLog):
    """A log in memory, as a test looks at it."""

    def __init__(self) -> None:
        self.clock = ShiftedClock()
        super().__init__(self.clock.now)
        self.deaf = False
        """Whether it is read from, and takes nothing."""
        self.opened: list[str] = []
        """The writers, one after the other."""

    async def writer(self, name: str) -> MemoryWriter:
        """See EventLog."""
        if self.deaf:
            raise LogUnavailable("it takes nothing")
        writer = await super().writer(name)
        self.opened.append(name)
        return writer

    def append_to_topics(self, records: Sequence[tuple[str, NewRecord]]) -> list[tuple[TopicPartition, int]]:
        """See MemoryLog."""
        if self.deaf:
            raise LogUnavailable("it takes nothing")
        return super().append_to_topics(records)

    def records(self, topic: str) -> list[Record]:
        """All records of a topic of one partition."""
        return list(self._topics[topic].partitions[0].records) if topic in self._topics else []

    def settled(self, rule: str) -> bool:
        """Whether the rule's position says that all of all topics is done; what waits for its time is not."""
        for place in decode_position(self.writers[writer_name(rule)].position):
            if place.topic not in self._topics or ".retry-" in place.topic or place.partition < 0:
                continue
            if place.low < self._topics[place.topic].partitions[place.partition].end:
                return False
        return True


async def until(condition: Callable[[], bool], seconds: float = WAIT) -> None:
    """Return once it holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # many parts change what is looked at
            await asyncio.sleep(0.005)


async def values(log: EventLog, topic: str, partition: int = 0) -> list[Record]:
    """All records of a topic."""
    where = TopicPartition(topic, partition)
    if topic not in await log.describe([topic]):
        return []
    bounds = (await log.bounds([where]))[where]
    found: list[Record] = []
    reader = await log.reader({where: bounds.start})  # type: ignore[union-attr]
    position = bounds.start  # type: ignore[union-attr]
    while position < bounds.end:  # type: ignore[union-attr]
        for batch in await reader.fetch(1.0):
            found += batch.records  # type: ignore[union-attr]
            position = batch.position  # type: ignore[union-attr]
    await reader.close()
    return found


def means(log: Log, target: Any) -> Means:
    """What a rule works with."""
    return Means(log, CATALOG, SCHEMAS, target, log.clock, Sources(log))


@asynccontextmanager
async def running(rule: Rule, log: Log, target: Any) -> AsyncIterator[asyncio.Event]:
    """The rule at work, from when it has begun to its orderly end."""
    stop = asyncio.Event()
    task = asyncio.create_task(Runner(rule, means(log, target)).run(stop))
    if isinstance(log, MemoryLog):
        await until(
            lambda: f"rule {rule.name}" in log.writers and log.writers[f"rule {rule.name}"].position is not None
        )
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(WAIT):
            await task

"""Declarations through the gateway's own runner, from log to log: all at once, killed now and then."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.definitions import Definitions
from gateway.derive.lanes import Work
from gateway.derive.refusal import error_record
from gateway.derive.run import Runner
from gateway.derive.sources import Sources
from gateway.eventlog.port import Batch, EventLog, TopicState
from gateway.eventlog.trouble import demand
from gateway.model.record import Record, TopicPartition
from gateway.schemas.repository import SchemaRepository
from tests.conformance.declarations import Case, Made, Told, canonical

ERRORS = "errors"
SECONDS = 150.0
"""Until all is stored, also on a machine that does other things beside."""
KILLS = 2

Refusal = tuple[str, str, str]
"""An event of an error stream: its id, its kind and its message."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the topics of a derived stream hold."""

    rows: Counter[Told]
    refused: Counter[Refusal]


def definitions_of(name: str, case: Case, schemas: SchemaRepository) -> Definitions:
    """The streams of one declaration, with an error stream of its own."""
    rows = Stream(name, (f"{name}.rows",), schema_title=case.title, derive=case.derivation)
    errors = Stream(ERRORS, (f"{name}.errors",), schema_title="gateway/error")
    inputs = [source.stream for source in case.inputs.values()]
    return Definitions(Catalog([*inputs, rows, errors]), schemas, ERRORS)


def refusals(name: str, case: Case, made: Made, schemas: SchemaRepository) -> Counter[Refusal]:
    """The error events of what the engine refused."""
    target = definitions_of(name, case, schemas).catalog.streams[ERRORS]
    schema = schemas.taken_by(target)
    assert schema is not None
    records = [error_record(one, name, case.derivation, target, schema, 0) for one in made.refused]
    return Counter(_refusal(record.value) for record in records)


async def run_all(
    log: EventLog,
    declarations: Mapping[str, Case],
    schemas: SchemaRepository,
    counts: Mapping[str, int],
    random: Random,
) -> dict[str, Stored]:
    """Derive all of them in one process, until each has stored so many rows and errors. It is killed meanwhile, and
    begun again."""
    for _ in range(KILLS):
        tasks = _begin(log, declarations, schemas)
        await asyncio.sleep(random.random())
        while running := [task for task in tasks if not task.done()]:
            # What is being closed may not notice that it is cancelled.
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=0.1)
    tasks = _begin(log, declarations, schemas)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                for name in declarations:
                    await _until_stored(log, name, counts[name], tasks)
        # One that stores too much has time to.
        await asyncio.sleep(0.5)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [error for error in ended if isinstance(error, Exception)]
    assert not failed, failed
    return {name: await _stored(log, name) for name in declarations}


def _begin(log: EventLog, declarations: Mapping[str, Case], schemas: SchemaRepository) -> list[asyncio.Task[None]]:
    sources, stop, tasks = Sources(log), asyncio.Event(), []
    for name, case in declarations.items():
        definitions = definitions_of(name, case, schemas)
        work = Work(definitions.catalog.streams[name])
        runner = Runner(work, definitions, log, SystemClock(), print, sources=sources)
        tasks.append(asyncio.create_task(runner.run(stop)))
    return tasks


async def _until_stored(log: EventLog, name: str, count: int, tasks: Collection[asyncio.Task[None]]) -> None:
    """Until so many rows and errors are there, or one of these has failed."""
    while not any(task.done() for task in tasks):
        stored = await _stored(log, name)
        if stored.rows.total() + stored.refused.total() >= count:
            return
        await asyncio.wait(tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)


async def _stored(log: EventLog, name: str) -> Stored:
    rows = Counter[Told]()
    for record in await _records(log, f"{name}.rows"):
        if record.value is None or orjson.loads(record.value).get("meta", {}).get("domain") != "canary":
            rows[canonical(record.value), record.key, record.timestamp] += 1
    return Stored(rows, Counter(_refusal(record.value) for record in await _records(log, f"{name}.errors")))


async def _records(log: EventLog, topic: str) -> list[Record]:
    state = (await log.describe([topic])).get(topic)
    if not isinstance(state, TopicState):
        return []
    left = demand(await log.bounds([TopicPartition(topic, number) for number in range(state.partitions)]))
    reader, found = await log.reader(dict.fromkeys(left, 0)), list[Record]()
    try:
        ends = {place: at.end for place, at in left.items() if at.end}
        while ends:
            for batch in await reader.fetch(1.0, partitions=list(ends)):
                assert isinstance(batch, Batch), batch
                found += batch.records
                if batch.position >= ends[batch.partition]:
                    del ends[batch.partition]
    finally:
        await reader.close()
    return found


def _refusal(value: bytes | None) -> Refusal:
    event = orjson.loads(value or b"")
    return event["meta"]["id"], event["error_type"], event["message"]


def differences(expected: Mapping[str, Stored], found: Mapping[str, Stored], names: Collection[str]) -> list[str]:
    """What is missing and what is too much, of each declaration."""
    told = []
    for name in names:
        for what, want, have in (
            ("rows", expected[name].rows, found[name].rows),
            ("errors", expected[name].refused, found[name].refused),
        ):
            if want != have:
                missing, wrong = want - have, have - want  # type: ignore[operator]
                told.append(f"{name}: {what}: {missing.total()} missing, {wrong.total()} wrong: "
                            f"{list(missing)[:2]} {list(wrong)[:2]}")  # fmt: skip
    return told

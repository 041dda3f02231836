"""Producing from a file: newline-delimited JSON, validated line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.errors import BadRecord
from gateway.event import NewRecord
from gateway.eventlog.port import EventLog, Retention
from gateway.intake.accept import InvalidEvent, accept
from gateway.intake.schemas import SchemaRepository
from gateway.json_event import parse_event

BATCH_RECORDS = 500


@dataclass(slots=True)
class Outcome:
    """How many lines were stored, and how many were not events of the stream."""

    stored: int = 0
    invalid: int = 0


async def produce_lines(
    lines: Iterable[bytes],
    stream: Stream,
    catalog: Catalog,
    schemas: SchemaRepository,
    log: EventLog,
    clock: Clock,
    complain: Callable[[str], None],
) -> Outcome:
    """Append each valid line to the stream's first topic; `complain` is told which lines are not, and why.

    Raises LogError when the log cannot take them.
    """
    outcome = Outcome()
    topic = stream.topics[0]
    await log.create(topic, stream.partitions, Retention(stream.retention.milliseconds, stream.retention.size))
    batch: list[NewRecord] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = parse_event(line.strip())
            accepted = accept(event, catalog, schemas, clock.now(), stream=stream)
        except (BadRecord, InvalidEvent) as error:
            outcome.invalid += 1
            complain(f"line {number}: {error}")
            continue
        batch.append(NewRecord(accepted.value, accepted.key, accepted.timestamp))
        if len(batch) >= BATCH_RECORDS:
            outcome.stored += len(await log.append(topic, batch))
            batch.clear()
    if batch:
        outcome.stored += len(await log.append(topic, batch))
    return outcome

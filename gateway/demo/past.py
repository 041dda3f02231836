"""A past week of changes that lies in an archive alone, as if the log had forgotten it.

The log of a new demo begins behind the week. A process of its own writes the week's files meanwhile, so that the first
event comes no later for them. The table is made aside and renamed, so it is there as a whole or not at all. A demo that
was killed before makes another.
"""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gateway.archive.keep import Keeper, Workshop
from gateway.archive.options import ArchiveOptions
from gateway.catalog.stream import Stream
from gateway.clock import Clock, SystemClock
from gateway.demo.feed import SampleFeed
from gateway.errors import GatewayError, LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch, EventLog, PlaceableLog, TopicState
from gateway.eventlog.trouble import demand
from gateway.model.record import NewRecord, TopicPartition
from gateway.observability.logs import configure_logging
from gateway.schemas.repository import SchemaRepository

EVENTS = 10_000
"""Changes of the week: about one a minute."""
WEEK = 7 * 24 * 3_600_000
"""Milliseconds from the first of them until now."""
WRITE_SECONDS = 120.0
"""Seconds that the other process may take."""


class Week(NamedTuple):
    """What is to be written."""

    options: ArchiveOptions
    stream: Stream
    schemas: SchemaRepository
    identity: str
    """Of the topic."""
    records: list[NewRecord]

    @property
    def place(self) -> Path:
        """The directory of archives."""
        return directory_of(self.options)

    async def write(self, clock: Clock) -> None:
        """Write the table. Raises GatewayError, OSError."""
        self.place.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".making-", dir=self.place))
        workshop = Workshop.open()
        try:
            options = dataclasses.replace(self.options, archive=str(aside))
            keeper = Keeper(self.stream, self.schemas, self._log(), options, clock, workshop.threads)
            if not await keeper.copy(asyncio.Event()):
                raise LogUnavailable("the files could not be written")
            (aside / self.stream.name).rename(self.place / self.stream.name)
        finally:
            workshop.threads.close()
            shutil.rmtree(aside, ignore_errors=True)

    def _log(self) -> MemoryLog:
        """The records in the topic, as a log that an archiver reads."""
        (topic,) = self.stream.topics[:1]
        log = MemoryLog()
        log.create_topic(topic)
        log.topic(topic).identity = self.identity
        log.append_now(topic, self.records)
        return log


def directory_of(options: ArchiveOptions) -> Path:
    """The directory of archives that are not in a store elsewhere."""
    return Path((options.archive or "").removeprefix("file://"))


async def begin_past(
    log: EventLog, feed: SampleFeed, options: ArchiveOptions, schemas: SchemaRepository, clock: Clock
) -> Week | None:
    """The week that is to be written, where there is none and can be one. Then the log begins behind it. Call it before
    the feed fills the log. Raises LogError."""
    stream = feed.changes
    is_elsewhere = "://" in (options.archive or "").removeprefix("file://")
    if not stream.archive or stream.partitions != 1 or is_elsewhere:
        return None
    if not isinstance(log, PlaceableLog) or (directory_of(options) / stream.name).exists():
        return None
    await feed.create()
    partition = TopicPartition(stream.topics[0], 0)
    state = (await log.describe([partition.topic])).get(partition.topic)
    if not isinstance(state, TopicState):
        return None
    bounds = demand(await log.bounds([partition]))[partition]
    is_new = bounds.end == 0 and await log.begin_at(partition, EVENTS)
    if not is_new and bounds.start != EVENTS:
        return None
    begins = None if is_new else await _begin_of(log, partition, bounds.start)
    end = clock.now() - feed.history if begins is None else begins
    (_, changes), *creations = feed.past(EVENTS, min(clock.now(), end + feed.history) - WEEK, end)
    for topic, records in creations if is_new else []:
        await log.append(topic, records)
    return Week(options, stream, schemas, state.identity, changes)


async def _begin_of(log: EventLog, partition: TopicPartition, start: int) -> int | None:
    """The time (ms) of the first record; None where there is none."""
    reader = await log.reader({partition: start})
    try:
        batches = [each for each in await reader.fetch(0, max_records=1) if isinstance(each, Batch)]
    finally:
        await reader.close()
    return next((record.timestamp for batch in batches for record in batch.records), None)


async def write_aside(week: Week) -> bool:
    """Write a week in another process, so that this one, which lives longer, holds neither Arrow nor Delta. Returns
    whether it is there."""
    program = "from gateway.demo.past import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", program), stdin=PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await process.communicate(pickle.dumps(week))
    except TimeoutError:
        return False
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return process.returncode == 0


def main() -> None:
    """The other process: write what comes in."""
    week: Week = pickle.load(sys.stdin.buffer)
    configure_logging("text", "warning")
    try:
        asyncio.run(week.write(SystemClock()))
    except (GatewayError, OSError) as error:
        sys.exit(f"the demo has no past week: {error}")

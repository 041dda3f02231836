"""Reads the newest records of a topic: few, within a bounded time, without a consumer group or any other trace."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.errors import LogError
from gateway.eventlog.port import EventLog
from gateway.eventlog.trouble import Refusal, Trouble, trouble_with
from gateway.model.record import Record, TopicPartition

SECONDS = 5.0
"""For one topic."""
PARTITIONS = 12
"""Partitions that are looked into, of those that hold records."""
BACK = 4
"""Offsets that are looked at for each record that is wanted: behind the last record may be markers, and compaction
leaves holes."""
SAMPLE_BYTES = 16 << 20


@dataclass(slots=True)
class Sample:
    """The newest records of a topic, the newest first. `count` has how many records the log holds at the most, -1 where
    it does not tell; `trouble` is why there may be more."""

    records: list[Record] = field(default_factory=list)
    count: int = -1
    trouble: Trouble | None = None


async def newest(log: EventLog, topic: str, partitions: int, wanted: int) -> Sample:
    """Up to so many records of a topic; never raises LogError."""
    sample = Sample()
    try:
        async with asyncio.timeout(SECONDS):
            await _fill(log, topic, partitions, wanted, sample)
    except LogError as error:
        sample.trouble = trouble_with(error)
    except TimeoutError:
        sample.trouble = sample.trouble or trouble_with(LogError(f"no record of {topic} within {SECONDS:g} s"))
    sample.records.sort(key=lambda record: (record.timestamp, record.offset), reverse=True)
    del sample.records[wanted:]
    return sample


async def _fill(log: EventLog, topic: str, partitions: int, wanted: int, sample: Sample) -> None:
    asked = [TopicPartition(topic, number) for number in range(partitions)]
    bounds = {}
    for partition, found in (await log.bounds(asked)).items():
        if isinstance(found, Trouble):
            sample.trouble = found
        else:
            bounds[partition] = found
    sample.count = sum(found.end - found.start for found in bounds.values())
    ends = {partition: found.end for partition, found in bounds.items() if found.end > found.start}
    largest = sorted(ends, key=lambda partition: ends[partition], reverse=True)[:PARTITIONS]
    each = max(1, -(-wanted // max(1, len(largest)))) if len(largest) > wanted else wanted
    starts = {partition: max(bounds[partition].start, ends[partition] - BACK * each) for partition in largest}
    if starts:
        await _read(log, starts, {partition: ends[partition] for partition in starts}, wanted, sample)


async def _read(
    log: EventLog,
    starts: dict[TopicPartition, int],
    ends: dict[TopicPartition, int],
    wanted: int,
    sample: Sample,
) -> None:
    last: dict[TopicPartition, list[Record]] = {}
    left = set(starts)
    size = 0
    reader = await log.reader(starts)
    try:
        while left and size < SAMPLE_BYTES:
            for one in await reader.fetch(SECONDS, 500, left):
                if isinstance(one, Refusal):
                    sample.trouble = one.trouble
                    left.discard(one.partition)
                    continue
                size += sum(len(record.value or b"") for record in one.records)
                kept = [*last.get(one.partition, []), *one.records]
                last[one.partition] = kept[-wanted:]
                if one.position >= ends[one.partition]:
                    left.discard(one.partition)
            sample.records = [record for records in last.values() for record in records]
    finally:
        with suppress(LogError):
            await reader.close()

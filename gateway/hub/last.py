"""The last records of partitions, asked of the log for many partitions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping

from gateway.cooperative import give_way
from gateway.eventlog.port import Batch, Bounds, EventLog
from gateway.eventlog.trouble import Kind, Refusal, Trouble, demand
from gateway.hub.history import PART_BYTES, PART_RECORDS, not_to_come
from gateway.model.position import NOTHING_READ, ConsumedPosition
from gateway.model.record import TopicPartition

MAXIMUM_LOOK_BACK = 65536
"""Offsets before the end of a partition among which its last record is looked for (behind it may be markers)."""
PATIENCE_SECONDS = 5.0
"""Partitions of which none gives anything for so long are sick."""


async def newest_times(
    log: EventLog, bounds: Mapping[TopicPartition, Bounds]
) -> dict[TopicPartition, int | Trouble | None]:
    """The timestamp of the last record of each, None where there is none within reach, or what keeps a partition from
    telling. Raises LogUnavailable."""
    found: dict[TopicPartition, int | Trouble | None] = {}
    ends = {partition: end for partition, (_, end) in bounds.items()}
    distance = 1
    while ends:
        spans = {
            partition: Bounds(max(bounds[partition].start, bounds[partition].end - distance), end)
            for partition, end in ends.items()
        }
        for partition, last in (await last_records(log, spans)).items():
            if last is not None:
                found[partition] = last if isinstance(last, Trouble) else last.timestamp
            elif spans[partition].start <= bounds[partition].start or distance >= MAXIMUM_LOOK_BACK:
                found[partition] = None
        # What was looked through held nothing.
        ends = {partition: spans[partition].start for partition in ends if partition not in found}
        distance *= 4
    return found


async def newest_time(log: EventLog, partition: TopicPartition, bounds: Bounds) -> int | None:
    """The same of one. Raises LogUnavailable, and as `demand`."""
    return demand(await newest_times(log, {partition: bounds}))[partition]


async def consumed_before_each(
    log: EventLog,
    positions: Mapping[TopicPartition, int],
    bounds: Mapping[TopicPartition, Bounds],
    since: Mapping[TopicPartition, int],
    by_timestamp: Mapping[str, bool],
) -> dict[TopicPartition, ConsumedPosition | Trouble]:
    """Of each the consumed position of a reader whose next record is at the position, the first record at or after
    `since` (ms).

    By offset it carries the timestamp of the record before, so that it can be trusted later; where that record is
    gone, or the topic is resumed by timestamp (`by_timestamp`), `since` itself. Raises LogUnavailable.
    """
    spans = {
        partition: Bounds(position - 1, position)
        for partition, position in positions.items()
        if position > max(0, bounds[partition].start) and not by_timestamp[partition.topic]
    }
    found: dict[TopicPartition, ConsumedPosition | Trouble] = {
        partition: ConsumedPosition(position - 1, since[partition]) if position > 0 else NOTHING_READ
        for partition, position in positions.items()
    }
    return found | {place: last for place, last in (await last_records(log, spans)).items() if last is not None}


async def consumed_before(
    log: EventLog, partition: TopicPartition, position: int, bounds: Bounds, since: int, by_timestamp: bool
) -> ConsumedPosition:
    """The same of one. Raises LogUnavailable, and as `demand`."""
    modes = {partition.topic: by_timestamp}
    found = await consumed_before_each(log, {partition: position}, {partition: bounds}, {partition: since}, modes)
    return demand(found)[partition]


async def last_records(
    log: EventLog, spans: Mapping[TopicPartition, Bounds]
) -> dict[TopicPartition, ConsumedPosition | Trouble | None]:
    """Offset and timestamp of the last record in a span of each, None where it holds none, or what keeps a partition
    from telling. Who tells keeps the patience with the rest alive. Raises LogUnavailable."""
    found: dict[TopicPartition, ConsumedPosition | Trouble | None] = dict.fromkeys(spans)
    missing = {partition: span.end for partition, span in spans.items() if span.start < span.end}
    if not missing:
        return found
    loop = asyncio.get_running_loop()
    reader = await log.reader({partition: spans[partition].start for partition in missing})
    try:
        async with asyncio.timeout(PATIENCE_SECONDS) as patience:
            while missing:
                answers = await reader.fetch(1.0, PART_RECORDS, missing.keys(), PART_BYTES)
                for one in answers:
                    # Behind what was asked for it may be damaged.
                    if one.partition in missing and _take(one, missing[one.partition], found):
                        del missing[one.partition]
                if answers:
                    patience.reschedule(loop.time() + PATIENCE_SECONDS)
                else:
                    gone = await not_to_come(log, missing)
                    found |= gone
                    missing = {partition: end for partition, end in missing.items() if partition not in gone}
                await give_way()
    except TimeoutError:
        silent = Trouble(Kind.UNAVAILABLE, f"it gives nothing within {PATIENCE_SECONDS:g} s")
        found |= dict.fromkeys(missing, silent)
    finally:
        await reader.close()
    return found


def _take(
    one: Batch | Refusal, end: int, found: MutableMapping[TopicPartition, ConsumedPosition | Trouble | None]
) -> bool:
    """Take in what a reader gives before the end; whether that is all."""
    if isinstance(one, Refusal):
        found[one.partition] = one.trouble
        return True
    before = [record for record in one.records if record.offset < end]
    if before:
        found[one.partition] = ConsumedPosition(before[-1].offset, before[-1].timestamp)
    return one.position >= end

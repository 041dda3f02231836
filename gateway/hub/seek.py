"""Decides where a partition begins for a reader that asks for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.cooperative import together
from gateway.eventlog.port import Bounds, EventLog
from gateway.eventlog.trouble import Kind, Trouble, demand
from gateway.model.record import TopicPartition

FIND_SECONDS = 5.0
"""Partitions of which a log does not say by then where a time begins are asked for one by one, and are sick if they do
not answer by then either."""
FIND_TOGETHER = 8
"""Partitions that are asked for one by one at a time."""


async def seek(log: EventLog, partition: TopicPartition, time: int, bounds: Bounds, timeless: bool = True) -> int:
    """The offset of the first record at or after `time` (ms), or the end.

    A record without a time (-1; whatever lies before 1970 counts as one) is as old as the record before it in the log.
    Those before any record with a time may be of any time; they come with what is at or after them, and where nothing
    has a time, all do. Who wants live events alone wants no such record (`timeless`). A time of 1970 or before is older
    than everything: it is what an empty partition stands at. Raises as `demand`.
    """
    return demand(await seek_each(log, {partition: time}, {partition: bounds}, timeless))[partition]


async def seek_each(
    log: EventLog, times: Mapping[TopicPartition, int], bounds: Mapping[TopicPartition, Bounds], timeless: bool = True
) -> dict[TopicPartition, int | Trouble]:
    """The same of many partitions, each with its time, or what keeps one from telling. Raises LogUnavailable."""
    timed = {partition: time for partition, time in times.items() if time > 0}
    found = {partition: bounds[partition].start for partition in times} | await _find(log, timed, bounds)
    if not timeless:
        return found
    later = {place: at for place, at in found.items() if not isinstance(at, Trouble) and at > bounds[place].start}
    for partition, first in (await _find(log, dict.fromkeys(later, 0), bounds)).items():
        if isinstance(first, Trouble):
            found[partition] = first
        elif first >= later[partition]:
            found[partition] = bounds[partition].start
    return found


async def _find(
    log: EventLog, times: Mapping[TopicPartition, int], bounds: Mapping[TopicPartition, Bounds]
) -> dict[TopicPartition, int | Trouble]:
    return {
        partition: offset
        if isinstance(offset, Trouble)
        else bounds[partition].end
        if offset is None
        else max(offset, bounds[partition].start)
        for partition, offset in (await find_each(log, times)).items()
    }


async def find_each(log: EventLog, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
    """As the log finds it, which may not answer for all where it does not for one. Raises LogUnavailable."""
    if not times:
        return {}
    try:
        async with asyncio.timeout(FIND_SECONDS):
            return await log.find(times)
    except TimeoutError:
        if len(times) == 1:
            silent = Trouble(Kind.UNAVAILABLE, f"it does not say within {FIND_SECONDS:g} s where a time begins")
            return dict.fromkeys(times, silent)
    room = asyncio.Semaphore(FIND_TOGETHER)

    async def alone(partition: TopicPartition, time: int) -> dict[TopicPartition, int | Trouble | None]:
        async with room:
            return await find_each(log, {partition: time})

    answers = await together(alone(partition, time) for partition, time in times.items())
    return {partition: answer for each in answers for partition, answer in each.items()}

"""Finds where the hub begins to read partitions, of many at once.

The log is asked for all partitions of a group at once: a topic of a thousand partitions costs some twenty calls and
readers, not some thousands. The findings of one group stay, whatever becomes of the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, TypeVar

from gateway.clock import Clock
from gateway.errors import LogUnavailable
from gateway.eventlog.port import Bounds, EventLog, TopicState
from gateway.eventlog.trouble import FACTS, Kind, Trouble, absent, beyond
from gateway.hub.last import consumed_before_each, newest_times
from gateway.hub.seek import find_each
from gateway.hub.segment import ITEM_OVERHEAD
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition
from gateway.observability import telemetry

MOST_DAMAGED = 8
"""After this many unreadable batches a partition begins at its end."""
GROUP = 500
"""Partitions that are begun together."""

Answer = TypeVar("Answer")


class Beginning(NamedTuple):
    """Where the hub begins to read a partition: what counts as read, the next offset, and the end of what is there."""

    consumed: ConsumedPosition
    position: int
    end: int


class Beginnings:
    """`by_timestamp` names the topics, and whether they are resumed by timestamp. The newest part is what is younger
    than `ring_fill` seconds, and of a topic resumed by offset no more than a ring of `capacity` bytes holds."""

    def __init__(
        self, log: EventLog, by_timestamp: Mapping[str, bool], clock: Clock, ring_fill: float, capacity: int
    ) -> None:
        self._log = log
        self._by_timestamp = by_timestamp
        self._clock = clock
        self._ring_fill = ring_fill
        self._capacity = capacity

    async def find(
        self, wanted: Mapping[TopicPartition, bool], states: Mapping[str, TopicState]
    ) -> dict[TopicPartition, Beginning | Trouble]:
        """Where each begins, at its first record or else at its newest part; or why that is not known. `states` are
        those of the topics before the log is asked. Where it goes away meanwhile, what was found counts, and the rest
        is in trouble. Raises LogUnavailable if it does not answer at all."""
        if not wanted:
            return {}
        begins: dict[TopicPartition, Beginning | Trouble] = {}
        unread: dict[TopicPartition, Bounds] = {}
        for partition, bounds in (await self._log.bounds(list(wanted))).items():
            if isinstance(bounds, Trouble):
                begins[partition] = bounds
            elif wanted[partition]:
                begins[partition] = at_first(bounds)
            else:
                unread[partition] = bounds
        for group in _groups(unread):
            try:
                begins |= await self._of_one_topic(group, states)
            except LogUnavailable as error:
                if not any(isinstance(begin, Beginning) for begin in begins.values()):
                    raise
                away = Trouble(Kind.UNAVAILABLE, str(error))
                return begins | {partition: away for partition in unread if partition not in begins}
        return begins

    async def _of_one_topic(
        self, bounds: Mapping[TopicPartition, Bounds], states: Mapping[str, TopicState]
    ) -> dict[TopicPartition, Beginning | Trouble]:
        """The newest part of each. Of a topic that was created again meanwhile, the answers do not belong together."""
        return await self._newest_parts(bounds) | await gone_meanwhile(self._log, bounds, states)

    async def _newest_parts(self, bounds: Mapping[TopicPartition, Bounds]) -> dict[TopicPartition, Beginning | Trouble]:
        """The newest part of each; of one with a batch that cannot be read, what lies behind that."""
        found: dict[TopicPartition, Beginning | Trouble] = {}
        left = dict(bounds)
        for _ in range(MOST_DAMAGED):
            asked, left = left, {}
            for partition, answer in (await self._newest_since(asked)).items():
                if isinstance(answer, Trouble) and answer.kind is Kind.UNREADABLE:
                    start, end = asked[partition]
                    start = beyond(answer, start, end)
                    telemetry.passed_over(partition, answer, start)
                    left[partition] = Bounds(start, end)
                else:
                    found[partition] = answer
            if not left:
                break
        return found | {partition: _at_end(bounds[partition]) for partition in left}

    async def _newest_since(self, bounds: Mapping[TopicPartition, Bounds]) -> dict[TopicPartition, Beginning | Trouble]:
        """The newest part of each, and at least all records of its newest millisecond. So the last record read, and the
        number of records that share its time, are known for every partition."""
        newest, troubles = parted(await newest_times(self._log, bounds))
        earliest = self._clock.now() - int(self._ring_fill * 1000)
        times = {
            partition: time if 0 <= time < earliest else earliest
            for partition, time in newest.items()
            if time is not None
        }
        offsets, unfound = parted(await find_each(self._log, times))
        positions = {partition: self._position(partition, bounds[partition], at) for partition, at in offsets.items()}
        consumed, unread = parted(await consumed_before_each(self._log, positions, bounds, times, self._by_timestamp))
        empty = {partition: _at_end(bounds[partition]) for partition, time in newest.items() if time is None}
        begins = {
            partition: Beginning(read, positions[partition], bounds[partition].end)
            for partition, read in consumed.items()
        }
        return {**troubles, **unfound, **unread, **empty, **begins}

    def _position(self, partition: TopicPartition, bounds: Bounds, found: int | None) -> int:
        position = bounds.end if found is None else max(found, bounds.start)
        if not self._by_timestamp[partition.topic]:
            # A record from the year 3000 is at or after every time that is asked for, wherever it stands. More than the
            # ring can hold is not read.
            position = max(position, bounds.end - self._capacity // ITEM_OVERHEAD)
        return position


async def changed(log: EventLog, topics: Collection[str], states: Mapping[str, TopicState]) -> set[str]:
    """Those of the topics that are not there any more, or others than in `states`. Raises LogUnavailable."""
    answers = await log.describe(topics)
    return {
        topic
        for topic in topics
        if not isinstance(told := answers.get(topic), Trouble)
        and (told is None or told.identity != states[topic].identity)
    }


async def gone_meanwhile(
    log: EventLog, partitions: Collection[TopicPartition], states: Mapping[str, TopicState]
) -> dict[TopicPartition, Trouble]:
    """Those of the partitions whose topics have changed since they were as in `states`: what several answers of the log
    say of them does not belong together. Raises LogUnavailable."""
    others = await changed(log, {partition.topic for partition in partitions}, states)
    return {partition: absent(partition.topic) for partition in partitions if partition.topic in others}


def at_first(bounds: Bounds) -> Beginning:
    """At the first record."""
    return Beginning(ConsumedPosition(bounds.start - 1, 0), bounds.start, bounds.end)


def parted(
    answers: Mapping[TopicPartition, Answer | Trouble],
) -> tuple[dict[TopicPartition, Answer], dict[TopicPartition, Trouble]]:
    """The answers, and the troubles of the others. A topic that has changed meanwhile is not there to be begun."""
    found: dict[TopicPartition, Answer] = {}
    troubles: dict[TopicPartition, Trouble] = {}
    for partition, answer in answers.items():
        if not isinstance(answer, Trouble):
            found[partition] = answer
        else:
            troubles[partition] = absent(partition.topic) if answer.kind in FACTS else answer
    return found, troubles


def _at_end(bounds: Bounds) -> Beginning:
    return Beginning(ConsumedPosition(bounds.end - 1, 0), bounds.end, bounds.end)


def _groups(bounds: Mapping[TopicPartition, Bounds]) -> Iterator[dict[TopicPartition, Bounds]]:
    partitions = list(bounds)
    for first in range(0, len(partitions), GROUP):
        yield {partition: bounds[partition] for partition in partitions[first : first + GROUP]}

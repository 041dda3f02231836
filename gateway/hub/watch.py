"""Watches for partitions that cannot be read while others can: without a leader, or with records that never come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from gateway.errors import LogUnavailable
from gateway.eventlog.port import EventLog
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import TopicPartition
from gateway.observability import telemetry

INTERVAL = 10.0
"""Seconds between two looks; a partition that has records and does not move from one to the next is stuck."""


class LagWatch:
    """Compares what the hub has read with what the log has. `reading` gives the next offset of each partition that the
    hub reads, and None while the log is away as a whole: nothing is known then, and what was told last still holds."""

    def __init__(self, log: EventLog, reading: Callable[[], Mapping[TopicPartition, int] | None]) -> None:
        self._log = log
        self._reading = reading
        self._behind: dict[TopicPartition, int] = {}
        self.stuck: list[TopicPartition] = []
        """Those that are not refused, and whose records do not come."""
        self.lag: dict[TopicPartition, int] = {}
        """Records that the log had at the last look, and the hub had not read."""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Find out which partitions are stuck."""
        before = self._reading()
        ends = None if before is None else await self._ends(before)
        now = self._reading()
        if ends is None or now is None:
            # Those that merely had records to come are not stuck for having stood still without a log.
            self._behind = {partition: self._behind[partition] for partition in self.stuck}
            return
        self._compare(ends, now)

    def _compare(self, ends: Mapping[TopicPartition, int | None], now: Mapping[TopicPartition, int]) -> None:
        self.lag = {
            partition: max(0, (end or 0) - now[partition]) for partition, end in ends.items() if partition in now
        }
        unread = {
            partition for partition, end in ends.items() if partition in now and (end is None or now[partition] < end)
        }
        stuck = sorted(
            partition
            for partition in unread
            if ends[partition] is None or self._behind.get(partition) == now[partition]
        )
        self._behind = {partition: now[partition] for partition in unread}
        if stuck != self.stuck:
            telemetry.partitions_stuck(stuck)
        self.stuck = stuck

    async def _ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int | None] | None:
        """The end of each partition, None where the log does not tell; None if it does not answer at all."""
        if not partitions:
            return {}
        try:
            answers = await self._log.bounds(partitions)
        except LogUnavailable:
            return None
        # What is absent is told elsewhere.
        return {
            partition: None if isinstance(bounds, Trouble) else bounds.end
            for partition, bounds in answers.items()
            if not isinstance(bounds, Trouble) or bounds.kind is not Kind.ABSENT
        }

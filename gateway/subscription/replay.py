"""Replays the past to a client, one history segment after another, together with all others that are there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.cooperative import give_way
from gateway.eventlog.trouble import demand
from gateway.feed.feed import Feed
from gateway.feed.judge import Effort, Judge
from gateway.hub.history_segment import HistorySegment
from gateway.hub.hub import Hub
from gateway.hub.past import Past
from gateway.model.record import TopicPartition
from gateway.observability import telemetry
from gateway.subscription.reader import RETRY_WAIT, Reader
from gateway.subscription.response_writer import ResponseWriter
from gateway.subscription.subscription import Subscription

Pace = Callable[[int], Awaitable[float]]
"""Told how many bytes of the past were sent (before compression); gives the seconds to wait."""


class Replay:
    """A session's work with the past: fetch the next history segment, and send it."""

    __slots__ = ("_ends", "_heartbeat", "_hub", "_judge", "_past", "_writer")

    def __init__(self, past: Past, hub: Hub, writer: ResponseWriter, heartbeat: float, judge: Judge) -> None:
        self._judge = judge
        self._past = past
        self._hub = hub
        self._writer = writer
        self._heartbeat = heartbeat
        self._ends: dict[TopicPartition, int] | None = None
        """Records before these offsets existed when the replay began: they are history, and merged by timestamp."""

    async def fetch(
        self, subscription: Subscription, next_offsets: Mapping[TopicPartition, int]
    ) -> HistorySegment | None:
        """The next history segment at these positions; None if the response ends before that. Raises as the log
        does."""
        known = self._hub.discovery.known
        identity = frozenset(
            (topic, known[topic].identity) for topic in {partition.topic for partition in next_offsets}
        )
        reads = subscription.request.selection.reads
        if self._ends is None:
            self._ends = await self._log_ends(next_offsets)
        while True:
            self._hub.confirm(next_offsets)
            ends = {partition: end for partition, end in self._ends.items() if partition in next_offsets}
            found = self._past.read(next_offsets, identity, ends, reads)
            if isinstance(found, HistorySegment) or found.done():
                await give_way()  # Else it is waited for what is under way.
            if isinstance(found, HistorySegment):
                return found
            await self._wait(subscription, found)
            if not found.done():
                return None
            if found.result().covers(ends):
                return found.result()
            # It was begun for another. Or the log ends before where it ended, after a failure of its own.
            now = await self._log_ends(next_offsets)
            self._ends = {partition: min(end, now.get(partition, end)) for partition, end in self._ends.items()}

    async def _log_ends(self, next_offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        bounds = demand(await self._hub.log.bounds(list(next_offsets)))
        return {partition: bound.end for partition, bound in bounds.items()}

    async def _wait(self, subscription: Subscription, loading: asyncio.Task[HistorySegment]) -> None:
        """Until it is done, or the response is over."""
        sink, stopping = self._writer.sink, self._writer.stopping
        ways: set[asyncio.Future[Any]] = {loading, sink.gone, stopping}
        while not loading.done() and not self._writer.over:
            await asyncio.wait(ways, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED)
            await self._writer.beat(subscription.identifier)

    async def send(
        self,
        subscription: Subscription,
        segment: HistorySegment,
        feed: Feed,
        pace: Pace | None,
        is_current: Callable[[], bool],
    ) -> None:
        """Send what is wanted of the history segment, and move the position behind it; then wait as the pace asks for.

        Where the sessions hold as much as they may, the client waits for its turn first: it is a reader at a position,
        and loses nothing.
        """
        # What is made of it is about as large.
        if not await self._writer.reserve(segment.size, subscription.cursor.identifier):
            return
        try:
            # The wait for room may have been long.
            size = await self._send(subscription, segment, feed) if is_current() else 0
        finally:
            self._writer.release()
        paced = await pace(size) if pace is not None and size else 0.0
        if (seconds := max(paced, self._judge.owed)) > 0:
            await self._rest(subscription, seconds)

    async def _send(self, subscription: Subscription, segment: HistorySegment, feed: Feed) -> int:
        if subscription.request.finite:
            size = await self._send_alone(subscription, segment)
        else:
            consumed = subscription.cursor.consumed
            async with self._past.lock.turn(segment.size):
                found = feed.known_past_block(segment, consumed)
                if found is None:
                    chosen, effort = await self._judge.history_segment(feed.selection, segment)
                    found = feed.past_block(segment, consumed, chosen)
                    found[0].effort = effort
                block, consumed = found
            self._judge.count(block.effort or Effort())
            size = len(block.data)
            telemetry.tally.events += block.events
            telemetry.tally.bytes += size
            telemetry.tally.filtered += len(segment.records) - block.events
            if size:
                await self._writer.write_packed(self._writer.packer.pack_block(block))
            subscription.settle(consumed)
        subscription.reach(segment.positions)
        return size

    async def _rest(self, subscription: Subscription, seconds: float) -> None:
        """Read no further for this many seconds. The client receives heartbeats meanwhile."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        sink, stopping = self._writer.sink, self._writer.stopping
        while (left := end - loop.time()) > 0 and not self._writer.over:
            endings: set[asyncio.Future[Any]] = {sink.gone, stopping}
            await asyncio.wait(endings, timeout=min(left, self._heartbeat), return_when=asyncio.FIRST_COMPLETED)
            await self._writer.beat(subscription.identifier)

    async def _send_alone(self, subscription: Subscription, segment: HistorySegment) -> int:
        """Send the frames of this client alone when the range ends in this history segment. Returns their bytes."""
        selection = subscription.request.selection
        consumed = subscription.cursor.consumed
        frames: list[bytes] = []
        async with self._past.lock.turn(segment.size):
            judged, effort = await self._judge.history_segment(selection, segment)
        self._judge.count(effort)
        chosen = iter(judged)
        for partition, records in segment.runs:
            for record, data in zip(records, chosen, strict=False):
                subscription.offer(partition, consumed[partition].after(record.offset, record.timestamp), data, frames)
        data = b"".join(frames)
        telemetry.tally.events += len(frames)
        telemetry.tally.bytes += len(data)
        if data:
            await self._writer.write(data)
        return len(data)


async def read_past(reader: Reader, subscription: Subscription, pace: Pace | None) -> None:
    """Read the past until the ring holds what comes next."""
    services = reader.services
    replay = Replay(services.past, reader.hub, reader.writer, services.heartbeat, reader.judge)
    while reader.is_current():
        next_offsets = reader.readable(subscription)
        if reader.hub.ring.locate(next_offsets) is not None:
            return
        segment = await replay.fetch(subscription, next_offsets)
        if segment is None or not reader.is_current():
            return
        if segment.positions != next_offsets:
            await replay.send(subscription, segment, reader.feed, pace, reader.is_current)
        elif not await reader.finish_until(subscription, next_offsets):
            # The end of the log, and the ring is not there yet.
            reader.hub.look_again()
            await reader.wait_for_change(subscription, RETRY_WAIT)
        await reader.writer.beat(subscription.identifier)

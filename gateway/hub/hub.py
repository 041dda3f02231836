"""The hub: reads every topic of the catalogue once, into the ring, for all live clients of the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway import telemetry
from gateway.clock import Clock
from gateway.cooperative import give_way
from gateway.errors import LogUnavailable, OffsetOutOfRange, TopicAbsent
from gateway.event import Record, TopicPartition
from gateway.eventlog.port import Batch, EventLog, LogReader
from gateway.hub.decode import decode
from gateway.hub.discovery import Discovery
from gateway.hub.history import History
from gateway.hub.ring import Break, Ring, Segment
from gateway.position import Mark

WORTH_A_REST = 2
"""Records that have to come in a rest; where fewer do, they share no write, and would be late for nothing."""
IDLE_WAIT = 0.5
"""Seconds that one read of the log waits for a record; bounds how late a look for new topics may come."""
FETCH_RECORDS = 1000
RETRY_WAIT = (0.1, 2.0)
"""Seconds between tries while the log is away: the first, and the longest."""
FLUSH_RATIO = 128
"""A delivery that took so long is followed by a rest of so many times as long, up to the flush interval, and no longer
than `flush_bytes` take to come: few writes when there is much to do, none held back when there is little. So a stream
takes more than a 129th of a core only where its rests are as long as they may be, or its events too rare to share."""
READ_SECONDS = 0.00015
"""What a read of the log takes of the processor beside the delivery of what it brings. It is done in parts, between
which others have the thread, so that it cannot be measured each time."""

FULL_FLUSHES = 2
"""A segment holds at most so many times `flush_bytes`."""


@dataclass(frozen=True, slots=True)
class HubOptions:
    """Seconds and bytes; see the settings of the same names."""

    ring_bytes: int = 268_435_456
    ring_fill: float = 600.0
    flush_interval: float = 0.1
    flush_bytes: int = 65536
    metadata_interval: float = 5.0


class Hub:
    """One reader, one ring. `by_timestamp` names the topics, and whether they are resumed by timestamp."""

    def __init__(
        self,
        log: EventLog,
        by_timestamp: Mapping[str, bool],
        clock: Clock,
        options: HubOptions,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self.log = log
        self._used = used
        """Seconds of the processor that this thread has had. What it waited for others is not among them: a rest that
        is longer for it would let no more events share a write."""
        self.clock = clock
        self.by_timestamp = dict(by_timestamp)
        self.options = options
        self.ring = Ring(options.ring_bytes)
        self.available = False
        self.why_unavailable = "the log has not answered yet"
        self._told_available: bool | None = None
        self.filled = asyncio.Event()
        self.catching_up: dict[TopicPartition, int] = {}
        """The partitions begun later whose newest part is still being read, with the offset at which it ends: what the
        ring has of them is not yet what is live."""
        self.version = 0
        """Changes with the set of partitions."""
        self.deliver: Callable[[Segment], None] = lambda segment: None
        self.observe: Callable[[str, dict[str, Any]], None] = lambda topic, event: None
        """Called with every event that is read, and its topic."""
        self.renew: Callable[[], None] = lambda: None
        """Called when the version has changed."""
        self.discovery = Discovery(log, self.ring, self.by_timestamp, clock, options.ring_fill)
        self._change: asyncio.Future[None] | None = None
        self._read_at = 0.0
        self._spacing = 1.0
        """Seconds from one record to the next; what came last counts most."""
        self._next_look = 0.0
        self._wait = RETRY_WAIT[0]
        """Seconds until the next try."""

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """The partitions of these topics; partition 0 stands for a topic that does not exist yet."""
        return [place for topic in topics for place in self.discovery.partitions(topic)]

    def change(self) -> asyncio.Future[None]:
        """Done when the ring, or what is known of the log, has changed."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        return self._change

    def follow(self, by_timestamp: Mapping[str, bool]) -> None:
        """Read these topics too from now on; whatever is read already goes on as it is."""
        self.by_timestamp.update({topic: by for topic, by in by_timestamp.items() if topic not in self.by_timestamp})
        self.look_again()

    def look_again(self) -> None:
        """Ask for a look at the log's topics soon: somebody saw what the hub does not know of."""
        self._next_look = 0.0

    async def reach_end(self, topics: Collection[str]) -> None:
        """Return when all has been read that the log has of these topics by now. Raises LogUnavailable and TopicAbsent;
        may wait for ever where the log goes away meanwhile."""
        states = await self.log.describe(topics)
        places = {TopicPartition(topic, part) for topic, state in states.items() for part in range(state.partitions)}
        bounds = await self.log.bounds(places)
        held = self.ring.partitions()
        while behind := [place for place in places if place not in held or self.ring.end(place) < bounds[place].end]:
            if any(place not in held for place in behind):
                self.look_again()
            await self.change()

    async def run(self) -> None:
        """Read for ever; what passes is retried, what is broken is told and passed over."""
        while True:
            await give_way()
            try:
                await self._start()
                await self._follow()
            except LogUnavailable as error:
                self._set_available(False, error)
                await self._back_off()
            except (OffsetOutOfRange, TopicAbsent) as error:
                if not await self._mend(error):
                    await asyncio.sleep(RETRY_WAIT[0])
            except Exception as error:
                # A mistake of our own: what was read stays, and the hub goes on behind it.
                telemetry.mistake("hub", error)
                self._set_available(False, f"a mistake of the gateway ({type(error).__name__})")
                await self._back_off()

    async def _back_off(self) -> None:
        """Wait, longer each time, until something was read again."""
        await asyncio.sleep(self._wait)
        self._wait = min(2 * self._wait, RETRY_WAIT[1])

    async def _start(self) -> None:
        await self._look()
        if not self.filled.is_set():
            await self._fill()
        self._set_available(True)

    async def _fill(self) -> None:
        """Read the newest part of the log, merged by timestamp, as if it had just come."""
        partitions = list(self.ring.partitions())
        positions = {partition: self.ring.end(partition) for partition in partitions}
        if positions:
            bounds = await self.log.bounds(partitions)
            reader = await self.log.reader(positions)
            try:
                history = History(reader, positions, {partition: bounds[partition].end for partition in partitions})
                while not history.finished:
                    for _, records in await history.fetch(IDLE_WAIT):
                        for record in records:
                            self._append(record, keep_event=False)
                    self._flush_when_full()
                    await give_way()
                for partition, position in history.positions.items():
                    self.ring.reached(partition, position)
            finally:
                await reader.close()
        self._flush()
        self.filled.set()

    async def _follow(self) -> None:
        reader = await self.log.reader(self._positions())
        try:
            while True:
                if self.clock.monotonic() >= self._next_look and await self._look():
                    await reader.assign(self._positions())
                await self._read(reader)
        finally:
            await reader.close()

    def reading(self) -> dict[TopicPartition, int]:
        """The next offset of each partition that is read; none while the log is away, or its newest part is read."""
        return self._positions() if self.available and self.filled.is_set() else {}

    def _positions(self) -> dict[TopicPartition, int]:
        return {partition: self.ring.end(partition) for partition in self.discovery.readable()}

    async def _read(self, reader: LogReader) -> None:
        """Take what there is, flush it, and rest as long as the flush asks for; the log keeps what comes meanwhile."""
        batches = await reader.fetch(IDLE_WAIT, FETCH_RECORDS)
        self._set_available(True)
        self._wait = RETRY_WAIT[0]
        begun, used = self._monotonic(), self._used()
        size = sum(self._take(batch) for batch in batches)
        self._flush()
        count = sum(len(batch.records) for batch in batches)
        if size:
            interval, self._read_at = max(begun - self._read_at, 1e-6), begun
            self._spacing = (self._spacing + interval / count) / 2
            # Where there is more it has waited long enough.
            rest = 0.0 if reader.more else self._rest(self._used() - used, interval / size)
            if rest:
                await asyncio.sleep(rest)
                return
        await give_way()

    def _rest(self, took: float, seconds_a_byte: float) -> float:
        """Seconds to wait after a delivery that took so long, while bytes come at this pace."""
        cycle = min(self.options.flush_interval, self.options.flush_bytes * seconds_a_byte)
        rest = min(FLUSH_RATIO * (READ_SECONDS + took), cycle - took)
        return rest if rest >= WORTH_A_REST * self._spacing else 0.0

    def _take(self, batch: Batch) -> int:
        """Put a batch into the ring; returns its bytes."""
        size = 0
        for record in batch.records:
            self._append(record, keep_event=True)
            size += len(record.value or b"")
            self._flush_when_full()
        self.ring.reached(batch.partition, batch.position)
        if self.catching_up and batch.position >= self.catching_up.get(batch.partition, 0):
            self.catching_up.pop(batch.partition, None)
        if batch.records:
            telemetry.tally.read(batch.partition.topic, len(batch.records), size)
        return size

    def _append(self, record: Record, keep_event: bool) -> None:
        """Take one record. Whatever goes wrong with it is its own trouble: it is passed over."""
        try:
            self._put(record, keep_event)
        except Exception as error:
            telemetry.record_mistake(record.topic, record.partition, record.offset, error)
            partition = TopicPartition(record.topic, record.partition)
            self.ring.reached(partition, max(self.ring.end(partition), record.offset + 1))

    def _put(self, record: Record, keep_event: bool) -> None:
        decoded = decode(record)
        partition = TopicPartition(record.topic, record.partition)
        if record.offset < self.ring.end(partition):
            return
        if decoded.event is not None:
            try:
                self.observe(record.topic, decoded.event)
            except Exception as error:
                # Whoever looks on does not keep the event from the clients.
                telemetry.record_mistake(record.topic, record.partition, record.offset, error)
        index = self.ring.append(partition, record.offset, record.timestamp, record.key, decoded.data, decoded.canary)
        if keep_event and decoded.event is not None:
            segment = self.ring.open
            if segment.subjects is None:
                segment.subjects = {}
            segment.subjects[index] = decoded.subject(record)

    def _flush_when_full(self) -> None:
        """A rest brings about `flush_bytes`; what is a little more is no reason for a second write."""
        if self.ring.open.size >= FULL_FLUSHES * self.options.flush_bytes:
            self._flush()

    def _flush(self) -> None:
        """Close the open segment and deliver it."""
        segment = self.ring.close()
        if segment is None:
            return
        self._deliver(segment)
        segment.subjects = None
        self._tell_change()

    def _deliver(self, segment: Segment) -> None:
        """What the clients of one process do wrong stops neither the reading nor those of another topic."""
        try:
            self.deliver(segment)
        except Exception as error:
            telemetry.mistake("delivery", error)

    @staticmethod
    def _monotonic() -> float:
        return asyncio.get_running_loop().time()

    def _tell_change(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    def _set_available(self, available: bool, reason: object = "") -> None:
        self.why_unavailable = str(reason)
        if available == self._told_available:
            return
        self.available = self._told_available = available
        if available:
            telemetry.log_answers()
        else:
            telemetry.log_away(reason)
        self._tell_change()

    async def _look(self) -> bool:
        """Look for topics and partitions that are new, gone or others; whether anything changed."""
        self._next_look = self.clock.monotonic() + self.options.metadata_interval
        # What has been read is delivered before anything that is found can make the ring forget it.
        self._flush()
        found = await self.discovery.look()
        if self.filled.is_set():
            self.catching_up |= found.behind
        for gap in found.breaks:
            self._interrupt(gap)
        if found.changed:
            self.version += 1
            self.renew()
            self._tell_change()
        return found.changed

    async def _mend(self, error: OffsetOutOfRange | TopicAbsent) -> bool:
        """The position of the hub itself is gone: go on where the log does, and tell every live client. False where
        nothing explains the error; it may pass then, as that of a topic which exists and has no leader yet."""
        try:
            changed = await self._look()
            if isinstance(error, OffsetOutOfRange):
                changed |= await self._mend_offset(TopicPartition(error.topic, error.partition))
        except (TopicAbsent, OffsetOutOfRange):
            return False
        except LogUnavailable as unavailable:
            self._set_available(False, unavailable)
            return False
        return changed

    async def _mend_offset(self, partition: TopicPartition) -> bool:
        if partition not in self.ring.partitions():
            return False
        bounds = (await self.log.bounds([partition]))[partition]
        tail = self.ring.tail(partition)
        assert tail is not None
        position = self.ring.end(partition)
        if position < bounds.start:
            self._interrupt(
                Break(partition, tail.offset, bounds.start, "expired", Mark(bounds.start - 1, tail.timestamp))
            )
        elif position > bounds.end:
            self._interrupt(await self.discovery.recreated(partition, tail, bounds))
        else:
            return False
        return True

    def _interrupt(self, gap: Break) -> None:
        self._flush()
        telemetry.log_broken(gap.partition, gap.requested, gap.resumed, gap.reason)
        segment = self.ring.interrupt(gap)
        self.catching_up.pop(gap.partition, None)
        self._deliver(segment)
        self._tell_change()

"""The hub: reads every topic of the catalogue once, into the ring, for all live clients of the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from gateway.clock import Clock
from gateway.cooperative import give_way, live, together
from gateway.errors import LogUnavailable
from gateway.eventlog.port import EventLog
from gateway.eventlog.trouble import Trouble
from gateway.hub.activity import Activity
from gateway.hub.decode import Glance, glance
from gateway.hub.discovery import Discovery
from gateway.hub.history import History
from gateway.hub.losses import Losses
from gateway.hub.options import HubOptions
from gateway.hub.ordered import IDLE_WAIT, NONE_REST, OrderedReader
from gateway.hub.pace import Load, Pace, Stopwatch
from gateway.hub.partitions import waiting_for
from gateway.hub.recovery import Recovery
from gateway.hub.ring import Ring
from gateway.hub.segment import Break, Segment
from gateway.model.record import Record, TopicPartition
from gateway.observability import telemetry

Result = TypeVar("Result")

RETRY_WAIT = (0.1, 2.0)
"""Seconds between tries while the log is away: the first, and the longest."""
FILLS = 8
"""So often the newest part is read from its beginning, where each time a batch in it turns out to be damaged."""
LARGE_RECORD = 262_144
"""A record of more bytes is looked at beside the event loop."""
FULL_FLUSHES = 2
"""A segment holds at most this multiple of `flush_bytes`."""


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
        self.clock = clock
        self.by_timestamp = dict(by_timestamp)
        self.options = options
        self.ring = Ring(options.ring_bytes)
        self.available = False
        self.why_unavailable = "the log has not answered yet"
        self.kind_unavailable = ""
        """The same as a kind of trouble (`eventlog.trouble.Kind`), where that is known; it names no host."""
        self._told_available: bool | None = None
        self.filled = asyncio.Event()
        self.catching_up: dict[TopicPartition, int] = {}
        """The partitions that began later and whose newest part is still being read, with the offset at which it
        ends. Their records in the ring are not live yet."""
        self.version = 0
        """Changes with the set of partitions."""
        self.deliver: Callable[[Segment], None] = lambda segment: None
        self.listeners: Callable[[str], int] = lambda topic: 1
        """How many live clients a topic has, about; none only if nobody reads it."""
        self.observe: Callable[[str, str | None, str], None] = lambda topic, stream, given_id: None
        """Called with the topic, `meta.stream` and `meta.id` of every event that is read and has both."""
        self.renew: Callable[[], None] = lambda: None
        """Called when the version has changed."""
        self.discovery = Discovery(log, self.ring, self.by_timestamp, clock, options.ring_fill)
        self.recovery = Recovery(self, log, self.ring, self.discovery, clock, options.metadata_interval)
        self.losses = Losses(self.ring, options.metadata_interval)
        self.activity = Activity()
        self.losses.memories.append(self.activity.forget)
        self._change: asyncio.Future[None] | None = None
        self._pace = Pace(options.flush_interval, options.flush_bytes)
        self._stopwatch = Stopwatch(used)
        self._wait = RETRY_WAIT[0]
        """Seconds until the next try."""

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """The partitions of these topics; partition 0 stands for a topic that does not exist yet."""
        return [partition for topic in topics for partition in self.discovery.partitions(topic)]

    def has(self, partition: TopicPartition) -> bool:
        """Whether it is one of the partitions of its topic, as far as is known."""
        state = self.discovery.known.get(partition.topic)
        return partition.partition < (state.partitions if state is not None else 1)

    def change(self) -> asyncio.Future[None]:
        """Done when the ring, or what is known of the log, has changed."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        return self._change

    def follow(self, by_timestamp: Mapping[str, bool]) -> None:
        """Read these topics too from now on; topics that are already read continue."""
        self.by_timestamp.update({topic: by for topic, by in by_timestamp.items() if topic not in self.by_timestamp})
        self.look_again()

    def look_again(self) -> None:
        """Ask for a look at the log's topics soon: somebody saw what the hub does not know of."""
        self.recovery.look_again()

    @property
    def sick(self) -> Mapping[TopicPartition, Trouble]:
        """The unreadable partitions, and why. Records read before are in the ring."""
        return self.recovery.sick

    def confirm(self, partitions: Collection[TopicPartition]) -> None:
        """Raises LogUnavailable if the log, which was away, may have been truncated below the records read of one of
        these. Nothing is read behind them before that is known."""
        if self.recovery.doubted and any(
            partition in self.recovery.doubted and partition not in self.sick for partition in partitions
        ):
            raise LogUnavailable("it is not known yet whether the log is still the one that was read")

    def waits_for(self, topics: Collection[str], lacking: Collection[TopicPartition] = ()) -> bytes | None:
        """The trouble that the clients of these topics wait for, in words; None if there is none. `lacking`:
        partitions that one of them waits for by itself, of topics that exist."""
        if not self.available:
            return b"waiting for the log"
        existing = self.discovery.existing
        return waiting_for({*self.sick, *(partition for partition in lacking if partition.topic in existing)}, topics)

    async def run(self) -> None:
        """Read for ever. Passing troubles are retried; broken records are logged and skipped. Unreadable partitions
        are tended meanwhile."""
        await together((self._run(), self.recovery.tend()))

    async def _run(self) -> None:
        while True:
            await give_way()
            try:
                self.recovery.failure = None
                await self.recovery.look()
                if not self.filled.is_set():
                    await self._fill()
                self._set_available(True)
                await self._follow()
            except LogUnavailable as error:
                self.recovery.doubt()
                self._set_available(False, error)
                await self._back_off()
            except Exception as error:
                # A mistake of our own: what was read stays, and the hub goes on behind it.
                telemetry.mistake("hub", error)
                self._set_available(False, f"an internal error ({type(error).__name__})")
                await self._back_off()

    async def _back_off(self) -> None:
        """Wait, longer each time, until something was read again."""
        await asyncio.sleep(self._wait)
        self._wait = min(2 * self._wait, RETRY_WAIT[1])

    async def _fill(self) -> None:
        """Read the newest part of the log, merged by timestamp, as if it had just arrived. Unreadable partitions are
        left out, and read once the log serves them."""
        for _ in range(FILLS):
            positions = self.recovery.positions()
            if not positions or not await self._fill_from(positions):
                break
            # The others are read again with what lies behind the damage: so all of it is merged.
            for partition in self.recovery.positions():
                consumed = self.discovery.origins[partition]
                self.ring.add(partition, consumed, consumed.offset + 1)
        self.flush()
        self.filled.set()
        self.tell_change()

    async def _fill_from(self, positions: dict[TopicPartition, int]) -> bool:
        """Read from these positions to the end; whether some were damaged, and begin behind the damage now."""
        ends: dict[TopicPartition, int] = {}
        for partition, told in (await self.log.bounds(list(positions))).items():
            if isinstance(told, Trouble):
                self.recovery.refuse(partition, told)
            else:
                ends[partition] = told.end
        positions = {partition: positions[partition] for partition in ends}
        reader = await self.log.reader(positions)
        try:
            history = History(reader, positions, ends)
            while not history.finished:
                for partition, records in await history.fetch(IDLE_WAIT):
                    for record in records:
                        self._append(partition, record)
                self._flush_when_full()
                await history.give_up(self.log)
                await give_way()
        finally:
            await reader.close()
        for partition, position in history.positions.items():
            self.ring.reached(partition, position)
        for partition, stamp in history.stamps.items():
            self.recovery.stamps[partition] = (history.positions[partition], stamp)
        damaged = False
        for partition, trouble in history.troubles.items():
            self.catching_up[partition] = ends[partition]
            damaged = self.recovery.refuse_to_read(partition, trouble) or damaged
        self.catching_up = {
            partition: end for partition, end in self.catching_up.items() if self.ring.end(partition) < end
        }
        return damaged

    async def _follow(self) -> None:
        reader = await self.log.reader({})
        recovery = self.recovery
        recovery.joining = set(recovery.positions())
        ordered = OrderedReader(self.log, reader, recovery.positions, recovery.is_foreign)
        try:
            while True:
                if recovery.failure is not None:
                    raise recovery.failure
                if recovery.joining:
                    recovery.joining.update(recovery.positions().keys() & ordered.restart())
                    await recovery.join(reader)
                await self._read(ordered)
        finally:
            await reader.close()

    def reading(self) -> dict[TopicPartition, int] | None:
        """The next offset of each partition that is read; None while the log is away, or its newest part is read."""
        return self.recovery.positions() if self.available and self.filled.is_set() else None

    async def _read(self, reader: OrderedReader) -> None:
        """Take what there is of the topics that do not rest, and flush it; the log keeps what comes of the others. Each
        pass yields in `fetch`."""
        read = await reader.fetch(await self._rest())
        # While the log was asked where it ends, a look may have found that a topic is another, with fewer partitions.
        for partition, _ in read.runs:
            if not self.recovery.is_foreign(partition):
                self.recovery.dismiss(partition)
        for refusal in read.refusals:
            if not self.recovery.is_foreign(refusal.partition):
                self.recovery.refuse_to_read(*refusal)
        self._set_available(True)
        self._wait = RETRY_WAIT[0]
        begun = self._monotonic()
        self._stopwatch.begin()
        loads: dict[str, Load] = {}
        for partition, records in read.runs:
            size = await self._take(partition, records)
            if size:
                topic, count = partition.topic, len(records)
                if (before := loads.get(topic)) is None:
                    loads[topic] = Load(count, size, self.listeners(topic))
                else:
                    loads[topic] = before._replace(records=before.records + count, size=before.size + size)
        self._reach(read.positions, read.stamps)
        self.flush()
        live.end()
        self._forget(read.starts)
        if loads:
            self._stopwatch.pause()
            self._pace.spent(begun, self._monotonic(), self._stopwatch.seconds, loads, read.more)

    async def _rest(self) -> Mapping[str, float]:
        """Rest as long as all topics do. Returns those that go on with it, each with the seconds that are left."""
        while self._pace.rests:
            resting = self._pace.resting(self._monotonic())
            if not resting or any(partition.topic not in resting for partition in self.recovery.positions()):
                return resting
            await asyncio.sleep(min(resting.values()))
        return NONE_REST

    def _forget(self, starts: Mapping[TopicPartition, int]) -> None:
        """See what the log has deleted; its answers tell by the way."""
        if self.recovery.doubted:
            self.recovery.doubted -= starts.keys()
        if self.losses.is_due(now := self.clock.monotonic()) and self.losses.look(starts, now):
            self.tell_change()
        self.ring.sweep()

    def _reach(self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int]) -> None:
        """Say how far the log has been read, perhaps beyond the last record."""
        for partition, position in positions.items():
            if self.recovery.is_foreign(partition):
                continue
            self.ring.reached(partition, max(position, self.ring.end(partition)))
            if partition in stamps:
                self.recovery.stamps[partition] = (position, stamps[partition])
            if self.catching_up and position >= self.catching_up.get(partition, 0):
                self.catching_up.pop(partition, None)

    async def _take(self, partition: TopicPartition, records: Sequence[Record]) -> int:
        """Put a run into the ring; returns its bytes. Other work runs after each delivery; of large records each one
        is a delivery. Partitions that must be read again meanwhile are left out."""
        size = 0
        if self.recovery.is_foreign(partition):
            return size
        for record in records:
            length = len(record.value or b"")
            seen = None
            if length > LARGE_RECORD:
                seen = await self._beside(asyncio.to_thread(glance, record, False))
                if self.recovery.is_foreign(partition):
                    return size
            self._append(partition, record, seen)
            size += length
            if self._flush_when_full():
                await self._beside(give_way())
                if self.recovery.is_foreign(partition):
                    return size
        telemetry.tally.read(partition.topic, len(records), size)
        return size

    async def _beside(self, others: Awaitable[Result]) -> Result:
        """Wait for others; the time that they take is not the delivery's."""
        self._stopwatch.pause()
        try:
            return await others
        finally:
            self._stopwatch.resume()

    def _append(self, partition: TopicPartition, record: Record, seen: Glance | None = None) -> None:
        """Take one record. Whatever goes wrong with it is its own trouble: it is passed over."""
        try:
            self._put(partition, record, seen or glance(record, replayed=False))
        except Exception as error:
            telemetry.record_mistake(record.topic, record.partition, record.offset, error)
            self.ring.reached(partition, max(self.ring.end(partition), record.offset + 1))

    def _put(self, partition: TopicPartition, record: Record, seen: Glance) -> None:
        if record.offset < self.ring.end(partition):
            return
        for name in seen.names:
            try:
                self.observe(record.topic, *name)
            except Exception as error:
                # Whoever looks on does not keep the event from the clients.
                telemetry.record_mistake(record.topic, record.partition, record.offset, error)
        self.ring.append(partition, record.offset, record.timestamp, record.key, seen.data, seen.canary)

    def _flush_when_full(self) -> bool:
        """A rest brings about `flush_bytes`; what is a little more is no reason for a second write."""
        full = self.ring.open.size >= FULL_FLUSHES * self.options.flush_bytes
        if full:
            self.flush()
        return full

    def flush(self) -> None:
        """Close the open segment and deliver it."""
        segment = self.ring.close()
        if segment is None:
            return
        segment.subjects = {}
        self._deliver(segment)
        segment.subjects = None
        # Clients come first; and while nobody has seen it, it is in no hurry.
        self.activity.count(segment.items, self.discovery.known, self.clock.now())
        self.tell_change()

    def _deliver(self, segment: Segment) -> None:
        """An error of the clients of one process stops neither the reading nor the clients of another topic."""
        try:
            self.deliver(segment)
        except Exception as error:
            telemetry.mistake("delivery", error)

    @staticmethod
    def _monotonic() -> float:
        return asyncio.get_running_loop().time()

    def partitions_changed(self) -> None:
        """The set of partitions is another one: positions are written for the new one from now on."""
        self.version += 1
        self.renew()
        self.tell_change()

    def tell_change(self) -> None:
        """Wake who waits for news of the ring or the log."""
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    def _set_available(self, available: bool, reason: object = "") -> None:
        if available and self._told_available:
            return
        self.why_unavailable = str(reason)
        self.kind_unavailable = reason.kind if isinstance(reason, LogUnavailable) else ""
        if available == self._told_available:
            return
        self.available = self._told_available = available
        if available:
            telemetry.log_answers()
        else:
            telemetry.log_away(reason)
        self.tell_change()

    def interrupt(self, gap: Break) -> None:
        """Continue in a partition where its log does, and notify every live client."""
        self.flush()
        telemetry.log_broken(gap.partition, gap.requested, gap.resumed, gap.reason)
        segment = self.ring.interrupt(gap)
        self.recovery.stamps.pop(gap.partition, None)
        self.catching_up.pop(gap.partition, None)
        self._deliver(segment)
        self.tell_change()

    def replace(self, gap: Break) -> None:
        """The same where the topic is another one."""
        self.interrupt(gap)
        self.losses.replaced(gap.partition)

    def erased(self, topics: Collection[str]) -> None:
        """Keep nothing of these topics, of which records were emptied. Clients notice nothing."""
        self.flush()
        self.losses.erased(topics)
        self.tell_change()

    def cut(self, gap: Break) -> None:
        """The same for a truncated log. If the lost part held no record, no client is notified."""
        tail = self.ring.tail(gap.partition)
        if tail is not None and tail.offset < gap.resumed:
            self.flush()
            self.recovery.stamps.pop(gap.partition, None)
            self.ring.withdraw(gap.partition, gap.resumed)
            self.tell_change()
        else:
            self.interrupt(gap)
        self.losses.cut(gap.partition, gap.resumed)

"""Reads history once for all who want it.

Clients that replay the same hour share its reads. History comes in segments, and a history segment depends only on the
log and the offsets at which it begins. All readers at these offsets get the same segment, from memory where an earlier
reader has asked for it. Segments end at fixed offsets, so that readers that began at different positions meet soon.

A reader of the log belongs to no client. It waits where its last segment ended for the next client that arrives there.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import accumulate

from gateway.bounded_cache import BoundedCache
from gateway.cooperative import FairLock, give_way, retrieve
from gateway.errors import OffsetOutOfRange, TopicAbsent
from gateway.eventlog.port import Bounds, EventLog, LogReader
from gateway.eventlog.trouble import FACTS, Trouble, demand, refuse
from gateway.hub.history import History
from gateway.hub.history_segment import HistorySegment, decode_segment
from gateway.hub.losses import Lost, Remains
from gateway.hub.segment import PLACE_OVERHEAD
from gateway.model.record import Record, RecordRun, TopicPartition, sizes_of

SEGMENT_RECORDS = 256
"""A history segment ends where a partition goes over a multiple of this in its offsets."""
MOST_RECORDS = 2 * SEGMENT_RECORDS
"""The most records of a history segment: there may be many partitions, none of which exceeds its bytes soon."""
SEGMENT_BYTES = 512 * 1024
"""The most bytes of a history segment, plus the record that exceeds them. A client that replays holds bytes made of
one history segment until it has read them."""
PARSED_SEGMENTS = 4
PARSED_BYTES = 16 * 1024 * 1024
"""History segments of which the parsed events are kept, and their bytes, for the filters of those who come at the same
time. Parsed events are large: to keep those that nobody looks at costs a third of the time of a replay."""
FETCH_SECONDS = 1.0
"""The longest wait of one call to the log."""
IDLE_SECONDS = 10.0
"""Seconds after which an unused reader is closed."""

Identity = frozenset[tuple[str, str]]
"""Topics and what tells each from another one of the same name."""
Key = tuple[frozenset[tuple[TopicPartition, int]], Identity]


class Past:
    """Bounded in readers of the log at a time, and in bytes of history segments in memory."""

    def __init__(self, log: EventLog, readers: int, capacity: int) -> None:
        self.loaded = 0
        """History segments read from the log so far."""
        self.reading = 0
        """Readers that read from the log now."""
        self.lock = FairLock()
        self._log = log
        self._readers = readers
        self._permits = asyncio.Semaphore(readers)
        self._segments: BoundedCache[Key, HistorySegment] = BoundedCache(capacity)
        self._loading: dict[Key, asyncio.Task[HistorySegment]] = {}
        self._frontiers: OrderedDict[Key, _Frontier] = OrderedDict()
        self._parsed: deque[HistorySegment] = deque()
        self._closing: set[asyncio.Task[None]] = set()
        self._starts: dict[TopicPartition, Remains] = {}
        """Below these offsets the log has deleted what it had."""
        self._cuts = 0
        """How often a partition was cut back: what was being read meanwhile counts for nothing."""

    def read(
        self,
        positions: Mapping[TopicPartition, int],
        identity: Identity,
        ends: Mapping[TopicPartition, int],
        parsed: bool = False,
    ) -> HistorySegment | asyncio.Task[HistorySegment]:
        """The history segment that begins at these offsets of these topics, or what will give it; what lies before
        `ends` is merged. `parsed` where the events will be looked into.

        The task raises LogUnavailable, Refused of what the log does not give of these, OffsetOutOfRange, and
        TopicAbsent where the log holds other topics by now. It may belong to somebody with earlier ends (`covers`; then
        ask again), and must not be cancelled."""
        key = (frozenset(positions.items()), identity)
        segment = self._segments.get(key)
        if segment is not None and segment.covers(ends):
            return segment
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.create_task(self._load(key, dict(positions), ends, parsed))
            loading.add_done_callback(retrieve)
        return loading

    def forget(self, lost: Lost) -> None:
        """Keep nothing that the log has lost; who reads there learns what that means for him."""
        self._starts |= {partition: Remains(remains.start) for partition, remains in lost.items()}
        self._cuts += any(remains.end is not None for remains in lost.values())
        for key in [key for key, segment in self._segments.entries() if segment.misses(lost)]:
            self._segments.remove(key)
        for segment in self._parsed:
            if segment.misses(lost):
                segment.forget()
        for key in [key for key in self._frontiers if _is_lost(key, lost)]:
            self._expire(key)

    async def close(self) -> None:
        """Release everything."""
        loading = list(self._loading.values())
        self._loading.clear()  # One that was cancelled before it began has no last step.
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        for key in list(self._frontiers):
            self._expire(key)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _load(
        self, key: Key, positions: dict[TopicPartition, int], ends: Mapping[TopicPartition, int], parsed: bool
    ) -> HistorySegment:
        try:
            return await self._read(key, positions, ends, parsed)
        finally:
            # By the load itself: whoever sees that it is done, and asks again, must not be given it again.
            self._loading.pop(key, None)

    async def _read(
        self, key: Key, positions: dict[TopicPartition, int], ends: Mapping[TopicPartition, int], parsed: bool
    ) -> HistorySegment:
        async with self._permits:
            cuts = self._cuts
            frontier = self._take_frontier(key) or _Frontier(self._log, positions, key[1], self.lock)
            self.reading += 1
            try:
                segment = await frontier.next(ends, parsed)
                partition = segment.misses(self._starts)
                if partition is not None or cuts != self._cuts:
                    # It was deleted, or cut off, while it was being read.
                    partition = partition or next(iter(positions))
                    raise OffsetOutOfRange(*partition, positions[partition])
            except BaseException:
                await frontier.close()
                raise
            finally:
                self.reading -= 1
            self.loaded += 1
            if parsed:
                self._keep_parsed(segment)
            if frontier.troubled:
                # What holds for this segment need not hold for the next reader, who asks the log himself.
                await frontier.close()
                return segment
            if segment.positions != positions:
                places = len(positions) + len(segment.positions)  # of the key, and of the end
                self._segments.put(key, segment, segment.size + places * PLACE_OVERHEAD)
            await self._leave((frozenset(segment.positions.items()), key[1]), frontier)
            return segment

    def _keep_parsed(self, segment: HistorySegment) -> None:
        self._parsed.append(segment)
        while len(self._parsed) > PARSED_SEGMENTS or sum(each.parsed for each in self._parsed) > PARSED_BYTES:
            self._parsed.popleft().forget()

    async def _leave(self, key: Key, frontier: _Frontier) -> None:
        """Let a reader wait where its history segment ended."""
        retired = [self._take_frontier(key)]
        self._frontiers[key] = frontier
        frontier.wait(partial(self._expire, key))
        while len(self._frontiers) > self._readers or self.waiting_bytes > max(self._segments.capacity, frontier.size):
            retired.append(self._take_frontier(next(iter(self._frontiers))))
        for other in retired:
            if other is not None:
                await other.close()

    @property
    def size(self) -> int:
        """Bytes of the history segments in memory."""
        return self._segments.size

    @property
    def waiting_bytes(self) -> int:
        """The bytes held by readers that wait for a client: no more than all history segments may have."""
        return sum(frontier.size for frontier in self._frontiers.values())

    def _take_frontier(self, key: Key) -> _Frontier | None:
        frontier = self._frontiers.pop(key, None)
        if frontier is not None:
            frontier.rest()
        return frontier

    def _expire(self, key: Key) -> None:
        frontier = self._take_frontier(key)
        if frontier is not None:
            task = asyncio.create_task(frontier.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class _Share:
    """The share of one history segment in the merged records."""

    def __init__(self) -> None:
        self.runs: list[RecordRun] = []
        self.blocks: dict[TopicPartition, int] = {}
        """The block of offsets in which each partition begins."""
        self._room = MOST_RECORDS
        self._left = SEGMENT_BYTES

    def fitting(self, most: int, sizes: list[int]) -> int:
        """How many of the first `most` records fit; the last may go over the bytes."""
        if self._left <= 0:
            return 0
        within = list(accumulate(sizes[: min(most, self._room)]))
        return min(bisect_left(within, self._left) + 1, len(within))

    @property
    def size(self) -> int:
        """The bytes taken."""
        return SEGMENT_BYTES - self._left

    def add(self, run: RecordRun, size: int) -> int:
        """Take a run of this many bytes; returns the bytes."""
        self.runs.append(run)
        self._room -= len(run[1])
        self._left -= size
        return size


class _Frontier:
    """A reader of the log, and how far it has come."""

    def __init__(self, log: EventLog, positions: dict[TopicPartition, int], identity: Identity, lock: FairLock) -> None:
        self._log = log
        self._lock = lock
        self._identity = identity
        self._positions = dict(positions)
        self._reader: LogReader | None = None
        self._history: History | None = None
        self._runs: deque[tuple[RecordRun, list[int]]] = deque()
        """The merged records that belong to no history segment yet, and the bytes of each."""
        self._held = 0
        """Bytes of `_runs`."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        """Bytes of records that were read, and belong to no history segment yet."""
        return self._held + (self._history.size if self._history is not None else 0)

    @property
    def troubled(self) -> bool:
        """Whether the log has refused something: what was merged since lacks it."""
        return self._history is not None and bool(self._history.troubles)

    def wait(self, on_idle: Callable[[], None]) -> None:
        """Say what to do when nobody comes."""
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, on_idle)

    def rest(self) -> None:
        """Somebody came."""
        if self._timer is not None:
            self._timer.cancel()

    async def next(self, ends: Mapping[TopicPartition, int], parsed: bool) -> HistorySegment:
        """The next history segment; without records where the log has no more. Raises Refused of what the log does not
        give, but only once there is nothing before it: else nobody would ever be given that."""
        history = await self._open()
        if any(history.ends[partition] < end for partition, end in ends.items()):
            await self._extend(history)
            history.put_back([run for run, _ in self._runs])
            self._runs.clear()
            self._held = 0
        share = _Share()
        merged = dict(history.ends)
        while not self._take(share):
            if history.refused:
                if share.runs:
                    break
                refuse(history.troubles)
            if history.finished:
                # What has been taken was merged up to these ends, and what comes beyond them is no part of it.
                if not await self._extend(history) or share.runs:
                    break
                merged = dict(history.ends)
            runs = await history.fetch(FETCH_SECONDS)
            for run in runs:
                sizes = sizes_of(run[1])
                self._held += sum(sizes)
                self._runs.append((run, sizes))
            if any(trouble.kind in FACTS for trouble in history.troubles.values()):
                # The log is not what it was when the records before were read.
                refuse(history.troubles)
            if history.starved:
                await self._shorten(history)
            await give_way()
        for partition, records in share.runs:
            self._positions[partition] = records[-1].offset + 1
        if not self._runs and history.finished:
            # Beyond the last record there may be markers of transactions, or what was compacted away.
            self._positions.update(history.positions)
        async with self._lock.turn(share.size):
            segment = decode_segment(share.runs, dict(self._positions), parsed)
        segment.exhausted = {partition: end for partition, end in merged.items() if history.positions[partition] >= end}
        return segment

    def _take(self, share: _Share) -> bool:
        """Move records up to the end of the history segment; whether it was reached."""
        while self._runs:
            (partition, records), sizes = self._runs[0]
            block = share.blocks.setdefault(partition, records[0].offset // SEGMENT_RECORDS)
            fitting = share.fitting(bisect_left(records, (block + 1) * SEGMENT_RECORDS, key=_offset), sizes)
            if fitting:
                self._held -= share.add((partition, records[:fitting]), sum(sizes[:fitting]))
            if fitting < len(records):
                self._runs[0] = (partition, records[fitting:]), sizes[fitting:]
                return True
            self._runs.popleft()
        return False

    async def close(self) -> None:
        """Give the reader back."""
        if self._reader is not None:
            await self._reader.close()

    async def _open(self) -> History:
        if self._history is None:
            await self._confirm()
            bounds = await self._bounds(self._positions)
            for partition, position in self._positions.items():
                if position < bounds[partition].start:
                    raise OffsetOutOfRange(partition.topic, partition.partition, position)
            self._reader = await self._log.reader(self._positions)
            ends = {partition: bounds[partition].end for partition in self._positions}
            self._history = History(self._reader, self._positions, ends)
        return self._history

    async def _confirm(self) -> None:
        """A position found in one topic must not be looked for in another."""
        states = await self._log.describe([topic for topic, _ in self._identity])
        for topic, identity in self._identity:
            state = states.get(topic)
            if isinstance(state, Trouble):
                refuse({partition: state for partition in self._positions if partition.topic == topic})
            elif state is None or state.identity != identity:
                raise TopicAbsent(topic)

    async def _bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Bounds]:
        return demand(await self._log.bounds(list(partitions)))

    async def _shorten(self, history: History) -> None:
        """Seconds of silence after which the log may end before its former end, after a failure of its own."""
        bounds = await self._bounds(history.ends)
        history.ends.update({partition: min(end, bounds[partition].end) for partition, end in history.ends.items()})

    async def _extend(self, history: History) -> bool:
        """Look for the log's end again; False where it is where it was."""
        bounds = await self._bounds(history.ends)
        history.ends.update({partition: bounds[partition].end for partition in history.ends})
        return not history.finished


def _is_lost(key: Key, lost: Lost) -> bool:
    """Whether a reader that waits at these offsets may hold what is gone."""
    return any(
        (remains := lost.get(partition)) is not None and (position < remains.start or remains.end is not None)
        for partition, position in key[0]
    )


def _offset(record: Record) -> int:
    return record.offset

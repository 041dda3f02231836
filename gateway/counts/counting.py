"""Answers requests for counts, with bounds on records, time, memory, and the answers that are made at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from sys import getsizeof
from typing import NamedTuple

from gateway.archive.log import ArchivedLog, HeldFile
from gateway.bounded_cache import BoundedCache
from gateway.clock import Clock
from gateway.cooperative import Yielder, give_way
from gateway.counts.grid import Grid
from gateway.counts.options import CountOptions
from gateway.counts.plan import Plan, Ranges, Stretch
from gateway.counts.reading import Examiner
from gateway.counts.tally import BLOCK, Counted, Piece, Tally, Total
from gateway.errors import LogUnavailable, Problem
from gateway.eventlog.port import Batch, Bounds, EventLog, LogReader, TopicState
from gateway.eventlog.trouble import Trouble
from gateway.feed.judge import Charge
from gateway.feed.selection import Selection
from gateway.hub.history import not_to_come
from gateway.hub.losses import Lost
from gateway.hub.past import Past
from gateway.model.record import Record, TopicPartition

MOST = 2
"""Answers that are made at a time in one process."""
MOST_WAITING = 32
MOST_OF_ONE = 8
"""Requests of one client that wait or are answered."""
RETRY_SECONDS = 2
MOST_PARTITIONS = 1_000
FETCH_RECORDS = 1_024
FETCH_BYTES = 1024 * 1024
FETCH_SECONDS = 0.5
KEPT_SECONDS = 600.0
"""What was counted is counted anew after this time: records may have been erased in place."""


class Query(NamedTuple):
    """What is asked for: events of a selection, in buckets, and the commonest `values` of the member `by`."""

    selection: Selection
    grid: Grid
    by: tuple[str, ...] | None = None
    values: int = 20


class Key(NamedTuple):
    """The block of a partition, and what was asked of it."""

    partition: TopicPartition
    begin: int
    identity: str
    filter: str | None
    by: tuple[str, ...] | None
    step: int


class _Kept(NamedTuple):
    tally: Tally
    until: float


class Counting:
    """The counts of one process."""

    def __init__(self, log: EventLog, past: Past, clock: Clock, options: CountOptions) -> None:
        self.log = log
        self.archives = log if isinstance(log, ArchivedLog) else None
        self.past = past
        self.clock = clock
        self.options = options
        self._places = asyncio.Semaphore(MOST)
        self._asking: Counter[str] = Counter()
        self._kept: BoundedCache[Key, _Kept] = BoundedCache(options.counts_cache_bytes, 300)

    async def count(self, query: Query, payer: str = "", charge: Charge | None = None) -> Counted:
        """The answer. Raises Problem where too many ask, LogError as the log does, and FilterExhausted."""
        async with self._place(payer):
            deadline = self.clock.monotonic() + self.options.counts_seconds
            work = _Work(self, query, charge, deadline)
            return await work.run()

    def forget(self, lost: Lost) -> None:
        """Keep nothing of what the log has lost."""
        for key in [key for key, _ in self._kept.entries() if _is_lost(key, lost)]:
            self._kept.remove(key)

    @asynccontextmanager
    async def _place(self, payer: str) -> AsyncIterator[None]:
        if self._asking.total() >= MOST + MOST_WAITING or self._asking[payer] >= MOST_OF_ONE:
            detail = f"as many counts are asked for as there may be; try again in {RETRY_SECONDS} s"
            raise Problem(429, "Too many requests", detail, headers={"retry-after": str(RETRY_SECONDS)})
        self._asking[payer] += 1
        try:
            async with self._places:
                yield
        finally:
            self._asking[payer] -= 1
            if not self._asking[payer]:
                del self._asking[payer]

    def kept(self, key: Key) -> Tally | None:
        """What is known of a block."""
        found = self._kept.get(key)
        if found is None or found.until < self.clock.monotonic():
            return None
        return found.tally

    def keep(self, key: Key, tally: Tally) -> None:
        """Remember what a block has. Its key has the texts of the query, which nobody else may keep any more."""
        texts = sum(map(getsizeof, (key.filter or "", *(key.by or ()))))
        self._kept.put(key, _Kept(tally, self.clock.monotonic() + KEPT_SECONDS), tally.size + texts)


def _is_lost(key: Key, lost: Lost) -> bool:
    remains = lost.get(key.partition)
    return remains is not None and remains.misses(key.begin, key.begin + BLOCK - 1)


class _Work:
    """Making one answer."""

    def __init__(self, counting: Counting, query: Query, charge: Charge | None, deadline: float) -> None:
        self._counting = counting
        self._log = counting.log
        self._query = query
        self._deadline = deadline
        self._examiner = Examiner(query.selection, query.by, query.grid, counting.past, charge)
        self._identities: dict[str, str] = {}
        self._whole = True
        """Whether everything is known but what was left out on purpose."""

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._deadline - self._counting.clock.monotonic()

    async def run(self) -> Counted:
        """Look at as much as the bounds allow."""
        query = self._query
        ranges = await self._ranges()
        plan = Plan(ranges, self._counting.options.counts_records, await self._of_archives(ranges))
        for partition, found in plan.blocks.items():
            for begin, end, _ in list(found.values()):
                tally = self._counting.kept(self._key(partition, begin)) if end - begin == BLOCK else None
                if tally is not None and tally.within(query.grid):
                    plan.note(partition, begin, tally)
        if rounds := plan.rounds():
            await self._read(plan, rounds)
        total, work = Total(query.grid, self._whole), Yielder()
        for pieces in plan.pieces():
            for _ in total.add(pieces):
                await work.give_way()
        return total.answer(query.values)

    async def _ranges(self) -> dict[TopicPartition, tuple[int, int]]:
        """The offsets of each partition in the span: those that a range with the same ends gives."""
        topics, grid = self._query.selection.topics, self._query.grid
        states = await self._log.describe(topics)
        known = {topic: state for topic, state in states.items() if isinstance(state, TopicState)}
        self._whole = len(known) == len(states)
        self._identities = {topic: state.identity for topic, state in known.items()}
        partitions = [TopicPartition(topic, number) for topic in known for number in range(known[topic].partitions)]
        if len(partitions) > MOST_PARTITIONS:
            detail = (
                f"these streams have {len(partitions)} partitions, and {MOST_PARTITIONS} can be counted; ask for fewer"
            )
            raise Problem(400, "Bad request", detail, "streams")
        if not partitions:
            return {}
        bounds = await self._log.bounds(partitions)
        answered = [partition for partition, at in bounds.items() if isinstance(at, Bounds)]
        begins = await self._log.find(dict.fromkeys(answered, grid.start)) if answered else {}
        ends = await self._log.find(dict.fromkeys(answered, grid.end)) if answered else {}
        ranges = {}
        for partition in partitions:
            at, begin, end = bounds[partition], begins.get(partition), ends.get(partition)
            if isinstance(at, Trouble) or isinstance(begin, Trouble) or isinstance(end, Trouble):
                self._whole = False
                continue
            last = at.end if end is None else min(end, at.end)
            if begin is not None and begin < last:
                ranges[partition] = max(begin, at.start), last
        return ranges

    async def _of_archives(self, ranges: Ranges) -> dict[TopicPartition, list[Piece]]:
        """What archives tell by their columns. That is the times of events; all else is in the events themselves."""
        query, archives = self._query, self._counting.archives
        known: dict[TopicPartition, list[Piece]] = {}
        if archives is None or query.selection.filter is not None or query.by is not None:
            return known
        deadline, work = self._deadline - self._counting.options.counts_seconds / 2, Yielder()
        for file in await archives.files(ranges):
            await work.give_way()
            partition = file.held.place.partition
            if file.held.place.identity != self._identities[partition.topic]:
                continue
            tally = await self._of_file(archives, file, deadline)
            if tally is not None:
                known.setdefault(partition, []).append(Piece(file.begin, file.end, tally))
        return known

    async def _of_file(self, archives: ArchivedLog, file: HeldFile, deadline: float) -> Tally | None:
        """The tally of what is asked for of a file; None where it is to be counted like any part of the log."""
        counting, grid = self._counting, self._query.grid
        # The content of a file never changes, and its name is never given again.
        key = Key(file.held.place.partition, file.file.begin, file.file.path, None, None, grid.step)
        tally = counting.kept(key) if file.is_whole else None
        if tally is not None and tally.within(grid):
            return tally
        left = deadline - counting.clock.monotonic()
        if left <= 0:
            return None
        try:
            found = await archives.count(file, *grid, left)
        except LogUnavailable:
            return None
        if found is None:
            return None
        self._examiner.pay(found.seconds)
        await self._rest()
        tally = Tally(found.records, found.counts, {}, found.low, found.high)
        if file.is_whole and tally.within(grid):
            counting.keep(key, tally)
        return tally

    async def _read(self, plan: Plan, rounds: Sequence[Sequence[Stretch]]) -> None:
        reader = await self._log.reader({})
        try:
            for stretches in rounds:
                if self.left <= 0:
                    return
                await self._read_together(plan, reader, stretches)
                await self._rest()
                await give_way()
        finally:
            await reader.close()

    async def _read_together(self, plan: Plan, reader: LogReader, stretches: Sequence[Stretch]) -> None:
        """Read a stretch of each of some partitions, as far as the time allows."""
        parts = {one.partition: _Part(one) for one in stretches}
        await reader.assign({one.partition: one.begin for one in stretches})
        while parts and self.left > 0:
            found = await reader.fetch(min(FETCH_SECONDS, self.left), FETCH_RECORDS, list(parts), FETCH_BYTES)
            for one in found:
                part = parts.get(one.partition)
                if part is None:
                    continue
                if not isinstance(one, Batch):
                    del parts[one.partition]  # What it does not give counts as not looked at.
                    continue
                for begin, records in part.take(one):
                    await self._note(plan, one.partition, begin, records)
                if part.position >= part.stretch.end:
                    del parts[one.partition]
                if self.left <= 0:
                    return
            if not found and parts:
                for partition in await not_to_come(self._log, {one: parts[one].stretch.end for one in parts}):
                    del parts[partition]
            await self._rest()
            await give_way()

    async def _note(self, plan: Plan, partition: TopicPartition, begin: int, records: Sequence[Record]) -> None:
        tally = await self._examiner.look(partition, records)
        plan.note(partition, begin, tally)
        if plan.blocks[partition][begin].end - begin == BLOCK and tally.within(self._query.grid):
            self._counting.keep(self._key(partition, begin), tally)

    async def _rest(self) -> None:
        """Wait until the work so far is paid for; no longer than there is time."""
        owed, self._examiner.owed = self._examiner.owed, 0.0
        if owed > 0:
            await asyncio.sleep(max(0.0, min(owed, self.left)))

    def _key(self, partition: TopicPartition, begin: int) -> Key:
        query = self._query
        asked = query.selection.filter
        text = None if asked is None else asked.text
        return Key(partition, begin, self._identities[partition.topic], text, query.by, query.grid.step)


class _Part:
    """A stretch while it is read: its records, block by block."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.position = stretch.begin
        self._begin = stretch.begin
        self._records: list[Record] = []

    def take(self, batch: Batch) -> list[tuple[int, list[Record]]]:
        """The blocks that are whole with this batch, each with where it begins."""
        done: list[tuple[int, list[Record]]] = []
        end = self.stretch.end
        for record in batch.records:
            if record.offset >= end:
                break
            done += self._up_to(record.offset)
            self._records.append(record)
        self.position = min(end, batch.position)
        return done + self._up_to(self.position)

    def _up_to(self, offset: int) -> list[tuple[int, list[Record]]]:
        """The blocks that end at this offset or before it."""
        done = []
        while (after := min(self.stretch.end, (self._begin // BLOCK + 1) * BLOCK)) <= offset and self._begin < after:
            done.append((self._begin, self._records))
            self._begin, self._records = after, []
        return done

"""Reads a log that reaches back into an archive: each partition from the archive until the log has what comes next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.archive.index import PartitionIndex, reach
from gateway.archive.threads import HELD_BYTES, READ_SECONDS
from gateway.cooperative import give_way
from gateway.errors import LogUnavailable
from gateway.eventlog.port import FETCH_BYTES, NO_STAMP, NO_STAMPS, Batch, Bounds, LogReader, TopicState, part_of
from gateway.eventlog.trouble import Kind, Refusal, Trouble, absent
from gateway.model.record import Record, TopicPartition, sizes_of

if TYPE_CHECKING:
    from gateway.archive.archive import Reading
    from gateway.archive.log import ArchivedLog, Held

Found = list[Batch | Refusal]


class _Old:
    """A partition that is read from its archive, up to where the log begins."""

    def __init__(self, reading: Reading, log_start: int) -> None:
        self.reading = reading
        self.log_start = log_start


class ArchivedReader:
    """A LogReader over an ArchivedLog. Where the log has deleted what comes next, and it is archived, the reader goes
    back to the archive without a word."""

    def __init__(self, log: ArchivedLog, inner: LogReader) -> None:
        self._log = log
        self._inner = inner
        self._partitions: set[TopicPartition] = set()
        """All that are read, here and by the log's own reader. That one keeps some that are read here: it can only be
        given more, and is not asked for these."""
        self._old: dict[TopicPartition, _Old] = {}
        """Those that are read from the archive; the first has waited longest."""
        self._refused: dict[TopicPartition, Refusal] = {}
        """Those of which the archive does not answer, not yet told."""
        self._identities: dict[TopicPartition, str] = {}
        """Of the topics that were read from an archive: another of the same name is not read on."""
        self._held: dict[TopicPartition, tuple[Held, int]] = {}
        """Partitions of which the archive has more than the log, and where the log began when that was learned."""
        self._seen: dict[TopicPartition, int] = {}
        self.starts: dict[TopicPartition, int] = {}
        """See LogReader."""

    @property
    def more(self) -> bool:
        """See LogReader."""
        return bool(self._old) or self._inner.more

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader."""
        self._leave(list(self._old))
        self._refused, self._seen, self._identities, self._held, self.starts = {}, {}, {}, {}, {}
        self._partitions = set(positions)
        rest = await self._take(positions)
        await self._inner.assign(rest, {each: stamps.get(each, NO_STAMP) for each in rest})

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader."""
        self._leave(positions)
        for partition in positions:
            for told in (self._refused, self._seen, self._identities, self._held, self.starts):
                told.pop(partition, None)
        self._partitions |= positions.keys()
        rest = await self._take(positions)
        await self._inner.add(rest, {each: stamps.get(each, NO_STAMP) for each in rest})

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        """See LogReader."""
        self._follow_starts()
        while True:
            wanted = [each for each in self._partitions if partitions is None or each in partitions]
            told: Found = [self._refused.pop(each) for each in wanted if each in self._refused]
            if told:
                self._partitions -= {one.partition for one in told}
                await give_way()
                return told
            old = [each for each in self._old if partitions is None or each in partitions]
            young = [each for each in wanted if each not in self._old]
            if not old:
                asked = partitions if not self._old else young
                found = await self._settled(await self._inner.fetch(wait, max_records, asked, max_bytes))
                if found or not any(each in self._old or each in self._refused for each in wanted):
                    return found
                continue  # What the log has deleted meanwhile is in the archive, or is another topic's.
            found = await self._fetch_both(old, young, max_records, max_bytes)
            if found:
                return found

    async def close(self) -> None:
        """See LogReader."""
        self._leave(list(self._old))
        await self._inner.close()

    async def _fetch_both(
        self, old: list[TopicPartition], young: list[TopicPartition], max_records: int, max_bytes: int
    ) -> Found:
        """An equal share of each partition, as far as it has some."""
        found: Found = []
        if young:
            parts = len(young) + len(old)
            share = max(1, max_records * len(young) // parts), max(1, max_bytes * len(young) // parts)
            found = await self._settled(await self._inner.fetch(0, share[0], young, share[1]))
            for batch in found:
                if isinstance(batch, Batch):
                    max_records -= len(batch.records)
                    max_bytes -= sum(sizes_of(batch.records))
        if max_records <= 0 or max_bytes <= 0:
            return found
        try:
            read = await self._log.threads.run(READ_SECONDS, self._read, old, max_records, max_bytes)
        except LogUnavailable as error:
            # The thread may use these still, so nobody may use them again.
            trouble = Trouble(Kind.UNAVAILABLE, str(error))
            read = [(each, trouble) for each in old]
            for each in old:
                del self._old[each]
        return found + await self._advance(read)

    def _read(
        self, old: list[TopicPartition], max_records: int, max_bytes: int
    ) -> list[tuple[TopicPartition, list[Record] | Trouble | None]]:
        """The next records of some partitions; in a thread."""
        found: list[tuple[TopicPartition, list[Record] | Trouble | None]] = []
        for number, partition in enumerate(old):
            if max_records <= 0 or max_bytes <= 0:
                break
            left = len(old) - number
            try:
                records = self._old[partition].reading.read(part_of(max_records, left), part_of(max_bytes, left))
            except LogUnavailable as error:
                found.append((partition, Trouble(Kind.UNAVAILABLE, str(error))))
                continue
            found.append((partition, records))
            max_records -= len(records or ())
            max_bytes -= sum(sizes_of(records or ()))
        held = 0
        for partition in reversed(old):
            held += self._old[partition].reading.size
            if held > HELD_BYTES:
                self._old[partition].reading.drop()
        return found

    async def _advance(self, read: Iterable[tuple[TopicPartition, list[Record] | Trouble | None]]) -> Found:
        """Tell what was read, and hand over to the log's own reader what the log has from here on."""
        found: Found = []
        handed: dict[TopicPartition, int] = {}
        for partition, records in read:
            old = self._old.pop(partition, None)
            if isinstance(records, Trouble) or old is None:
                assert isinstance(records, Trouble)
                self._partitions.discard(partition)
                found.append(Refusal(partition, records))
                continue
            if records is not None:
                found.append(Batch(partition, records, old.reading.position))
            if records is None or old.reading.position >= old.log_start:
                handed[partition] = old.reading.position
                old.reading.close()
            else:
                self._old[partition] = old
        if handed:
            await self._inner.add(handed)
            found += await self._replaced(handed)
        return found

    async def _replaced(self, handed: Collection[TopicPartition]) -> Found:
        """Refuse those partitions whose topics are others by now than those that were read from the archive."""
        states = await self._log.log.describe({partition.topic for partition in handed})
        found: Found = []
        for partition in handed:
            state = states.get(partition.topic)
            if isinstance(state, TopicState) and state.identity != self._identities.get(partition):
                self._partitions.discard(partition)
                found.append(Refusal(partition, absent(partition.topic)))
        return found

    async def _settled(self, found: Found) -> Found:
        """What the log's own reader has found, without the refusals of what is archived."""
        deleted = {
            one.partition: one.trouble.offset
            for one in found
            if isinstance(one, Refusal) and one.trouble.kind is Kind.OUT_OF_RANGE
        }
        missing = await self._take(deleted) if deleted else {}
        told: Found = []
        for one in found:
            if isinstance(one, Refusal):
                if one.partition in deleted and one.partition not in missing:
                    continue
                self._partitions.discard(one.partition)
            told.append(one)
        await self._learn_starts()
        return told

    def _follow_starts(self) -> None:
        """Say how far archives reach by now: days that are kept no longer are dropped."""
        for partition, (held, start) in self._held.items():
            index = held.archive.known(held.place)
            if isinstance(index, PartitionIndex):
                self.starts[partition] = reach(index, start)

    async def _learn_starts(self) -> None:
        """Say of the log's own starts how far the archive reaches below them."""
        news = {each: start for each, start in self._inner.starts.items() if self._seen.get(each) != start}
        if not news:
            return
        self._seen |= news
        held = await self._log.held(news)
        for partition, start in news.items():
            answer = held.get(partition)
            if answer is None:
                self._held.pop(partition, None)
                self.starts[partition] = start
            elif not isinstance(answer, Trouble):
                self._held[partition] = answer, start
                self.starts[partition] = reach(answer.index, start)
            else:
                # Nobody knows; it is asked again at the next start.
                self._seen.pop(partition)

    async def _take(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Read those of these partitions from the archive of which the log has deleted the position; returns the
        others."""
        archived = [each for each, position in positions.items() if each.topic in self._log.archives and position >= 0]
        own = await self._log.log.bounds(archived) if archived else {}
        below = {each: at.start for each, at in own.items() if isinstance(at, Bounds) and positions[each] < at.start}
        rest = dict(positions)
        for partition, held in (await self._log.held(below)).items():
            if isinstance(held, Trouble):
                self._refused[partition] = Refusal(partition, held)
                del rest[partition]
            elif self._identities.setdefault(partition, held.place.identity) != held.place.identity:
                self._refused[partition] = Refusal(partition, absent(partition.topic))
                del rest[partition]
            elif held.index.at(positions[partition]) is not None:
                reading = held.archive.reading(held.place, positions[partition])
                self._old[partition] = _Old(reading, below[partition])
                self._held[partition] = held, below[partition]
                self.starts[partition] = reach(held.index, below[partition])
                del rest[partition]
        return rest

    def _leave(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            old = self._old.pop(partition, None)
            if old is not None:
                old.reading.close()

"""A log that reaches further back: its newest part is another log, and its oldest part an archive.

Where the log no longer has what the archive holds, partitions begin where the archive does. All else is the log's own.
An archive counts only as far as it reaches the log. Records that the log deleted before they were archived
are a hole, and clients at older positions get a gap, as without an archive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.index import ArchivedFile, Damage, PartitionIndex, reach
from gateway.archive.layout import Place
from gateway.archive.reader import ArchivedReader
from gateway.archive.threads import READ_SECONDS, Threads
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Retention
from gateway.errors import LogUnavailable
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import NO_STAMPS, Bounds, EventLog, LogWriter, Membership, TopicState
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition

if TYPE_CHECKING:
    from gateway.archive.archive import Answer, Archive
    from gateway.archive.histogram import TimeCounts

THREADS = 4
"""Threads that read archives, of a process."""
ERASURE_SECONDS = 60.0
"""Seconds after which an archive that nobody reads from is looked at, for what was erased from it."""


class Held:
    """A partition of which the archive has what the log has no more."""

    def __init__(self, archive: Archive, place: Place, index: PartitionIndex) -> None:
        self.archive = archive
        self.place = place
        self.index = index


class HeldFile(NamedTuple):
    """A file of an archive, and the offsets of it that are asked for: from `begin` to just before `end`."""

    held: Held
    file: ArchivedFile
    begin: int
    end: int

    @property
    def is_whole(self) -> bool:
        """Whether all of it is asked for."""
        return self.begin == self.file.begin and self.end == self.file.end


class ArchivedLog:
    """An EventLog over a log and the archives of some of its topics."""

    def __init__(self, log: EventLog, open_archive: Callable[[str], Archive]) -> None:
        self.log = log
        """The log itself."""
        self.archives: Mapping[str, Archive] = {}
        """By topic."""
        self._open = open_archive
        self.threads = Threads(THREADS, "read")
        self._looking: dict[str, Future[object]] = {}
        """By archive, the last look for erasures."""

    def __repr__(self) -> str:
        return f"<ArchivedLog over {self.log!r}>"

    @property
    def keeps_claims(self) -> bool:
        """See EventLog."""
        return self.log.keeps_claims

    async def open(self) -> None:
        """See EventLog."""
        await self.log.open()

    async def close(self) -> None:
        """See EventLog."""
        self.threads.close()
        await self.log.close()

    async def identity(self) -> str:
        """See EventLog."""
        return await self.log.identity()

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        """See EventLog. What is erased from an archive counts once nothing of it is read from there any more."""
        states = await self.log.describe(topics)
        return {topic: self._with_archive(topic, state) for topic, state in states.items()}

    def _with_archive(self, topic: str, state: TopicState | Trouble) -> TopicState | Trouble:
        archive = self.archives.get(topic)
        if archive is None or isinstance(state, Trouble):
            return state
        self._look(archive)
        return state._replace(erasures=state.erasures + archive.erasures)

    def _look(self, archive: Archive) -> None:
        """Have an old index read anew; nobody waits for it, since the store may be away."""
        before = self._looking.get(archive.name)
        if archive.is_older(ERASURE_SECONDS) and (before is None or before.done()):
            self._looking[archive.name] = self.threads.begin(partial(archive.survey, {}))

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        """See EventLog."""
        own = await self.log.bounds(partitions)
        starts = {partition: at.start for partition, at in own.items() if isinstance(at, Bounds)}
        held = await self.held(starts)
        for partition, found in held.items():
            at = own[partition]
            assert isinstance(at, Bounds)
            own[partition] = found if isinstance(found, Trouble) else Bounds(reach(found.index, at.start), at.end)
        return own

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        """See EventLog."""
        own = await self.log.bounds(list(times)) if any(each.topic in self.archives for each in times) else {}
        starts = {partition: at.start for partition, at in own.items() if isinstance(at, Bounds)}
        found: dict[TopicPartition, int | Trouble | None] = {}
        for partition, held in (await self.held(starts)).items():
            if isinstance(held, Trouble):
                found[partition] = held
                continue
            try:
                offset = await self.threads.run(READ_SECONDS, held.archive.find, held.place, times[partition])
            except LogUnavailable as error:
                found[partition] = Trouble(Kind.UNAVAILABLE, str(error))
                continue
            if offset is not None and offset < starts[partition]:
                found[partition] = offset
        rest = {partition: time for partition, time in times.items() if partition not in found}
        return found | (await self.log.find(rest) if rest else {})

    async def held(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, Held | Trouble]:
        """Those of these partitions, whose log begins at these offsets, of which the archive has more, or may have and
        does not answer."""
        asked = {each: start for each, start in starts.items() if start > 0 and each.topic in self.archives}
        if not asked:
            return {}
        states = await self.log.describe({partition.topic for partition in asked})
        found: dict[TopicPartition, Held | Trouble] = {}
        by_archive: dict[Archive, dict[Place, int]] = {}
        for partition, start in asked.items():
            state = states.get(partition.topic)
            if isinstance(state, Trouble):
                found[partition] = state
            elif state is not None:
                places = by_archive.setdefault(self.archives[partition.topic], {})
                places[Place(state.identity, partition)] = start
        for archive, places in by_archive.items():
            found |= await self._ask(archive, places)
        return found

    async def _ask(self, archive: Archive, starts: Mapping[Place, int]) -> dict[TopicPartition, Held | Trouble]:
        """What an archive has of partitions. While its store is away, what was known counts as far as it reaches."""
        failure: Trouble | None = None
        try:
            answers = await self.threads.run(READ_SECONDS, archive.survey, starts)
        except LogUnavailable as error:
            failure = Trouble(Kind.UNAVAILABLE, str(error))
            answers = {place: archive.known(place) for place in starts}
        found: dict[TopicPartition, Held | Trouble] = {}
        for place, start in starts.items():
            answer: Answer = answers[place]
            if isinstance(answer, PartitionIndex) and reach(answer, start) < start:
                found[place.partition] = Held(archive, place, answer)
            elif isinstance(answer, Damage):
                found[place.partition] = Trouble(Kind.UNAVAILABLE, f"archive of {archive.name}: {answer}")
            elif failure is not None:
                found[place.partition] = failure
        return found

    async def files(self, ranges: Mapping[TopicPartition, tuple[int, int]]) -> list[HeldFile]:
        """The files that readers of these offsets are served from, each with the offsets that it is asked for. Those of
        an archive that does not answer are left out."""
        own = await self.log.bounds([each for each in ranges if each.topic in self.archives])
        starts = {partition: at.start for partition, at in own.items() if isinstance(at, Bounds)}
        found: list[HeldFile] = []
        for partition, held in (await self.held(starts)).items():
            if isinstance(held, Trouble):
                continue
            begin, end = ranges[partition]
            begin, end = max(begin, held.index.start), min(end, starts[partition])
            found += [
                HeldFile(held, file, max(begin, file.begin), min(end, file.end))
                for file in held.index.between(begin, end)
            ]
        return found

    async def count(self, file: HeldFile, since: int, until: int, step: int, seconds: float) -> TimeCounts | None:
        """Count the events of a file by their times (ms), in buckets of `step` since the epoch; None where it cannot be
        told within so many seconds. Raises LogUnavailable."""
        from gateway.archive.histogram import Wanted

        wanted, archive = Wanted(file.begin, file.end, since, until, step), file.held.archive
        deadline = time.monotonic() + seconds
        return await self.threads.run(seconds, archive.count, file.file, wanted, deadline)

    async def archived(self) -> dict[TopicPartition, int]:
        """Of each partition of an archived topic, up to which offset it is archived; 0 where nothing is, or where the
        archive is damaged. Raises LogUnavailable where an archive does not answer."""
        states = await self.log.describe(set(self.archives))
        ends: dict[TopicPartition, int] = {}
        for topic, state in states.items():
            if isinstance(state, Trouble):
                raise LogUnavailable(str(state))
            numbers = range(state.partitions)
            places = {Place(state.identity, TopicPartition(topic, number)): 0 for number in numbers}
            answers = await self.threads.run(READ_SECONDS, self.archives[topic].survey, places)
            for place, answer in answers.items():
                ends[place.partition] = answer.end if isinstance(answer, PartitionIndex) else 0
        return ends

    def follow(self, catalog: Catalog) -> None:
        """Reach back into the archives of these streams, and no others. Of several streams over one topic, the first
        that is archived counts."""
        wanted: dict[str, str] = {}
        for stream in catalog.streams.values():
            for topic in stream.topics if stream.archive else ():
                wanted.setdefault(topic, stream.name)
        known = {archive.name: archive for archive in self.archives.values()}
        for name in set(wanted.values()) - known.keys():
            known[name] = self._open(name)
        self.archives = {topic: known[name] for topic, name in wanted.items()}

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> ArchivedReader:
        """See EventLog."""
        reader = ArchivedReader(self, await self.log.reader({}))
        await reader.assign(positions, stamps)
        return reader

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """See EventLog."""
        await self.log.create(topic, partitions, retention)

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        return await self.log.offer(topic, records)

    async def settle(self, topic: str) -> None:
        """See EventLog."""
        await self.log.settle(topic)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See EventLog."""
        return await self.log.append(topic, records)

    async def writer(self, name: str) -> LogWriter:
        """See EventLog."""
        return await self.log.writer(name)

    @property
    def erasable(self) -> bool:
        """See EventLog."""
        return self.log.erasable

    async def erase(self, topic: str, matches: Callable[[Record], bool]) -> int:
        """See EventLog. Of the log alone; see `archive/erasure.py` for the archive."""
        return await self.log.erase(topic, matches)

    @property
    def spans_hosts(self) -> bool:
        """See EventLog."""
        return self.log.spans_hosts

    async def join(self, on_change: Callable[[], None]) -> Membership:
        """See EventLog."""
        return await self.log.join(on_change)

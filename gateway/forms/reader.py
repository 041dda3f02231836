"""A reader of the log that gives JSON, whatever the records were written in.

Where a record needs a schema that is not known yet, its partition is held for a moment while the schema is fetched; the
others are read on. While the registry cannot be asked, the partition is refused like one that the log does not give. It
is tried again, and no record of it is passed over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice

from gateway.cooperative import Yielder, give_way
from gateway.eventlog.port import FETCH_BYTES, NO_STAMP, NO_STAMPS, SICK_SECONDS, Batch, LogReader
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.forms.convert import Forms, SchemaMissing, converted, ids_of
from gateway.forms.registry import Registry
from gateway.model.record import Record, TopicPartition, sizes_of

LARGE_RECORD = 65_536
"""A record of more bytes is converted beside the event loop."""
LOOKED_AHEAD = 200
"""Records behind one that waits whose schemas are fetched too."""
HELD_BYTES = 4 * FETCH_BYTES
"""Bytes of records that wait for schemas; what comes beyond is read again later."""
HELD_WAIT = 0.05
"""Seconds that the log is waited for at a time while something is held."""


@dataclass(slots=True)
class _Held:
    batch: Batch
    number: int
    until: float
    size: int


class ConvertingReader:
    """Over another reader. `forms` gives the forms of a topic; None for one of plain JSON."""

    def __init__(
        self,
        inner: LogReader,
        forms: Callable[[str], Forms | None],
        registry: Registry,
        partitions: Collection[TopicPartition],
    ) -> None:
        self._inner = inner
        self._forms = forms
        self._registry = registry
        self._assigned = set(partitions)
        self._refused: set[TopicPartition] = set()
        self._held: dict[TopicPartition, _Held] = {}
        self._read: deque[Batch | Refusal] = deque()
        """What is to be converted; it stays there where a fetch is cancelled."""
        self._ready: list[Batch | Refusal] = []

    @property
    def more(self) -> bool:
        """As LogReader."""
        return self._inner.more or bool(self._read or self._ready)

    @property
    def starts(self) -> Mapping[TopicPartition, int]:
        """As LogReader."""
        return self._inner.starts

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """As LogReader."""
        self._drop(self._assigned)
        self._assigned = set(positions)
        await self._inner.assign(positions, stamps)

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """As LogReader."""
        self._drop(positions)
        self._assigned.update(positions)
        await self._inner.add(positions, stamps)

    async def close(self) -> None:
        """As LogReader."""
        await self._inner.close()

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        """As LogReader."""
        self._release(partitions)
        if not self._read and not self._ready:
            shut = self._held.keys() | self._refused
            if shut:
                left = self._assigned.difference(shut) if partitions is None else set(partitions).difference(shut)
                wait = min(wait, HELD_WAIT) if self._held else wait
                if not left:
                    await give_way()
                    await self._registry.news(wait)
                    return []
                partitions = left
            self._read.extend(await self._inner.fetch(wait, max_records, partitions, max_bytes))
        else:
            await give_way()
        yielder = Yielder()
        while self._read:
            one = self._read[0]
            done = [one] if isinstance(one, Refusal) else await self._convert(one, yielder)
            if self._read and self._read[0] is one:
                self._read.popleft()
                self._ready += done
        ready, self._ready = self._ready, []
        return ready

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        """What was read of these is read again, or no more."""
        gone = set(partitions)
        self._refused -= gone
        for partition in gone:
            self._held.pop(partition, None)
        self._read = deque(one for one in self._read if one.partition not in gone)
        self._ready = [one for one in self._ready if one.partition not in gone]

    def _release(self, partitions: Collection[TopicPartition] | None) -> None:
        """Take up again what was held long enough, or for a schema that is not fetched any more."""
        for partition, held in list(self._held.items()):
            if partitions is not None and partition not in partitions:
                continue
            failure = self._registry.trouble(held.number)
            if failure or self._now() > held.until:
                del self._held[partition]
                self._ready.append(self._refuse(held.batch, failure))
            elif not self._registry.is_pending(held.number):
                del self._held[partition]
                self._read.append(held.batch)

    async def _convert(self, batch: Batch, yielder: Yielder) -> list[Batch | Refusal]:
        forms = self._forms(batch.partition.topic)
        if forms is None or not batch.records:
            return [batch]
        records: list[Record] = []
        for record in batch.records:
            try:
                if len(record.value or b"") > LARGE_RECORD:
                    records.append(await asyncio.to_thread(converted, record, forms, self._registry))
                else:
                    records.append(converted(record, forms, self._registry))
                    await yielder.give_way()
            except SchemaMissing as missing:
                return self._hold(batch, records, missing.number, forms)
        return [batch._replace(records=records)]

    def _hold(self, batch: Batch, done: list[Record], number: int, forms: Forms) -> list[Batch | Refusal]:
        """Give what comes before the record that waits, and fetch the schemas of what follows."""
        rest = batch._replace(records=batch.records[len(done) :])
        wanted = {number: None}
        for record in islice(rest.records, LOOKED_AHEAD):
            wanted |= dict.fromkeys(one for one in ids_of(record, forms) if not self._registry.has(one))
        self._registry.want(wanted)
        given: list[Batch | Refusal] = []
        if done:
            given.append(Batch(batch.partition, done, rest.records[0].offset, NO_STAMP))
        size = sum(sizes_of(rest.records))
        failure = self._registry.trouble(number)
        if failure or size + sum(held.size for held in self._held.values()) > HELD_BYTES:
            given.append(self._refuse(rest, failure))
        else:
            self._held[batch.partition] = _Held(rest, number, self._now() + SICK_SECONDS, size)
        return given

    def _refuse(self, rest: Batch, failure: str) -> Refusal:
        self._refused.add(rest.partition)
        detail = failure or "the schema of its next record has not arrived yet"
        return Refusal(rest.partition, Trouble(Kind.NO_SCHEMA, detail, rest.records[0].offset))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

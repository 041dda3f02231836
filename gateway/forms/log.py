"""The log as all others see it: its records are JSON, whatever they were written in.

So the hub, replays, derived streams and rules know nothing of forms. A record is converted where it is read: once for
all live clients, and once for all who share a history segment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from gateway.catalog.stream import Retention, Stream
from gateway.cooperative import give_way
from gateway.errors import LogUnavailable
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import (
    NO_STAMPS,
    SICK_SECONDS,
    Bounds,
    EventLog,
    LogReader,
    LogWriter,
    Membership,
    TopicState,
)
from gateway.eventlog.trouble import Refusal, Trouble, demand
from gateway.forms.convert import Forms, forms_of
from gateway.forms.reader import ConvertingReader
from gateway.forms.registry import Registry
from gateway.model.record import NewRecord, Record, TopicPartition


class ConvertingLog:
    """Over another log; its methods are those of EventLog."""

    def __init__(self, inner: EventLog, streams: Iterable[Stream], registry: Registry) -> None:
        self.inner = inner
        self.registry = registry
        self._forms: dict[str, Forms] = {}
        self.use(streams)

    def use(self, streams: Iterable[Stream]) -> None:
        """Read these streams too. The form of a topic that was known stays."""
        self._forms = forms_of(streams) | self._forms

    @property
    def keeps_claims(self) -> bool:
        """As EventLog, like all that follows."""
        return self.inner.keeps_claims

    async def open(self) -> None:
        """Make ready."""
        await self.inner.open()

    async def close(self) -> None:
        """Release everything."""
        await self.registry.close()
        await self.inner.close()

    async def identity(self) -> str:
        """The identity of the log."""
        return await self.inner.identity()

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        """The topics that exist."""
        return await self.inner.describe(topics)

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        """Where they begin and end."""
        return await self.inner.bounds(partitions)

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        """The first offset at or after a time."""
        return await self.inner.find(times)

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> LogReader:
        """A reader that gives JSON."""
        inner = await self.inner.reader(positions, stamps)
        return ConvertingReader(inner, self._form, self.registry, positions)

    def _form(self, topic: str) -> Forms | None:
        return self._forms.get(topic)

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """Create a topic."""
        await self.inner.create(topic, partitions, retention)

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """Append."""
        return await self.inner.offer(topic, records)

    async def settle(self, topic: str) -> None:
        """Wait for what was offered."""
        await self.inner.settle(topic)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append records that belong together."""
        return await self.inner.append(topic, records)

    async def writer(self, name: str) -> LogWriter:
        """A writer with a position; what is derived is JSON."""
        return await self.inner.writer(name)

    @property
    def erasable(self) -> bool:
        """Whether records can be emptied."""
        return self.inner.erasable

    async def erase(self, topic: str, matches: Callable[[Record], bool]) -> int:
        """Empty what matches as JSON. Raises LogUnavailable also where a schema cannot be had."""
        if topic not in self._forms:
            return await self.inner.erase(topic, matches)
        found = await self._matching(topic, matches)
        return await self.inner.erase(topic, lambda record: record.offset in found.get(record.partition, ()))

    async def _matching(self, topic: str, matches: Callable[[Record], bool]) -> dict[int, set[int]]:
        """The offsets of what matches, by partition; of what the topic has now."""
        state = (await self.describe([topic])).get(topic)
        count = state.partitions if isinstance(state, TopicState) else 0
        bounds = demand(await self.bounds([TopicPartition(topic, number) for number in range(count)]))
        left = {partition: at.end for partition, at in bounds.items() if at.start < at.end}
        reader = await self.reader({partition: bounds[partition].start for partition in left})
        found: dict[int, set[int]] = {}
        try:
            while left:
                for one in await reader.fetch(SICK_SECONDS, partitions=list(left)):
                    if isinstance(one, Refusal):
                        raise LogUnavailable(str(one.trouble))
                    matching = {record.offset for record in one.records if matches(record)}
                    found.setdefault(one.partition.partition, set()).update(matching)
                    if one.position >= left[one.partition]:
                        del left[one.partition]
                await give_way()
        finally:
            await reader.close()
        return found

    @property
    def spans_hosts(self) -> bool:
        """Whether processes on several hosts can use it."""
        return self.inner.spans_hosts

    async def join(self, on_change: Callable[[], None]) -> Membership:
        """Join all processes that work on this log."""
        return await self.inner.join(on_change)

"""The event log as the gateway sees it: topics of partitions of records, read by offset.

Three adapters stand beside this file. One conformance kit (`tests/eventlog`) checks that all of them keep this
contract.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from gateway.catalog.stream import Retention
from gateway.eventlog.offer import Fate
from gateway.eventlog.trouble import Refusal, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition

SICK_SECONDS = 3.0
"""What may pass within moments is waited for so long before it is told."""

FETCH_BYTES = 4 * 1024 * 1024
"""The most that one call of a reader brings, and one answer of a broker; but for a last record that goes over it."""


class TopicState(NamedTuple):
    """A topic as it is now. Another `identity` under one name means that the topic was deleted and created again."""

    identity: str
    partitions: int


class Bounds(NamedTuple):
    """The readable part of a partition: from `start`, to just before `end` (committed records only)."""

    start: int
    end: int


def shown_identity(identity: str) -> str:
    """The identity of a log as strangers may see it: it tells logs apart, and says nothing of them; empty where there
    is none."""
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest() if identity else ""


NO_STAMP = -1
"""The stamp of a position of which the log cannot tell whether what was read before it is still there."""

NO_STAMPS: Mapping[TopicPartition, int] = MappingProxyType({})


class Batch(NamedTuple):
    """Records of one partition, in log order. `position` is the next offset to be read, beyond what was compacted
    away, aborted or a transaction marker; a batch may hold no records and only move the position.

    `stamp` is a number of the log's own that belongs to the position: whoever goes on from there gives it back, and is
    told where the log was cut back meanwhile, and perhaps written on (Kind.CUT). In Kafka it is the leader epoch of
    what was read last (KIP-320)."""

    partition: TopicPartition
    records: Sequence[Record]
    position: int
    stamp: int = NO_STAMP


def part_of(left: int, partitions: int) -> int:
    """What one of so many partitions may take of what is left for all of them, at least 1 where something is."""
    return -(-left // partitions)


class LogReader(Protocol):
    """Reads a set of partitions from given offsets. Prefetches a bounded amount. Belongs to one task at a time.

    A partition that cannot be read is told of once, by a Refusal, after what was read of it before; then it is read no
    further until it is added or assigned anew. So one that is sick costs the others nothing, and whoever reads decides
    when to try again. What passes within moments, an election, is waited for first: SICK_SECONDS at the most."""

    @property
    def more(self) -> bool:
        """Whether the log had more than `fetch` has returned, as far as the reader has seen."""
        ...

    @property
    def starts(self) -> Mapping[TopicPartition, int]:
        """The first offset that the log has of each partition, as far as the reader has been told by the way; it may
        lack some. What lies below is deleted."""
        ...

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """Read these partitions from these offsets, and no others. What was prefetched is dropped. `stamps` are those
        that batches had at these positions. Raises LogUnavailable; what is wrong with a partition is told by
        `fetch`."""
        ...

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """Read these partitions too, from these offsets; the others keep their place. Raises LogUnavailable."""
        ...

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        """What there is, at once; when there is nothing, wait up to `wait` seconds for something.

        Where there is more than is returned, each partition has an equal part in it: whoever merges what comes needs
        some of each. The last record that is returned may be the one that goes over `max_bytes` (of keys and values).
        `partitions` restricts the call to some of those assigned, the others keep their place. Raises LogUnavailable
        when nothing can be learnt from the log at all.
        """
        ...

    async def close(self) -> None:
        """Bounded in time, and never raises."""
        ...


class LogWriter(Protocol):
    """Appends records together with a position of the writer's own: how far it has read what the records are made of.

    Both are stored or neither is. Of all the writers that were ever opened under one name only the newest can append;
    the others raise WriterFenced. Belongs to one task.
    """

    @property
    def position(self) -> bytes | None:
        """The position stored last under this name, by this writer or one before it; None where there is none."""
        ...

    async def append(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        """Append the records, each to the topic beside it (there may be none), and set the position; returns the place
        of each record. Those of one partition stand in the order given. `once` is not looked at.

        Raises LogError, TopicAbsent and WriterFenced when nothing was stored, in no topic. After LogUnavailable all or
        nothing was: the position of a writer opened anew tells which.
        """
        ...

    async def close(self) -> None:
        """Bounded in time, and never raises. The position stays."""
        ...


class EventLog(Protocol):
    """A log. Every method raises LogUnavailable when the log does not answer at all within a bounded time.

    Where it answers, it does so for each topic and partition: what there is, or why there is nothing."""

    @property
    def keeps_claims(self) -> bool:
        """Whether it stores once what is offered again with the same `once`, by whatever process; else somebody has to
        see to it that this is not offered."""
        ...

    async def open(self) -> None:
        """Make ready; does not need the log to be there yet. Raises LogNewer."""
        ...

    async def close(self) -> None:
        """Release everything; bounded in time."""
        ...

    async def identity(self) -> str:
        """What tells this log from every other, wherever it is reached: drawn at random when it was made, and kept in
        it. Empty where there is none, as in a file that may not be written and is from before there was one."""
        ...

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        """Those of the topics that exist; and those of which the log does not tell, which may exist. What it says
        nothing of does not exist."""
        ...

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        """Of each of them. Asked of the log itself, not remembered."""
        ...

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        """Of each the offset of the first record at or after the time (ms), or None."""
        ...

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> LogReader:
        """A reader of its own, assigned to these positions with these stamps."""
        ...

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """Create a topic; one that exists stays as it is."""
        ...

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """Append, and tell of each record what became of it; what is wrong with one leaves the others alone.

        Raises TopicAbsent and Refused when nothing was stored, and LogUnavailable, within OFFER_SECONDS, when nothing
        is known of any: each may then be stored or not. Where that is so of some, LogUnavailable is their fate.
        LogForbids, raised or as a fate: nothing is stored, and nothing will be before somebody allows it. REPEATED is
        the fate of what is stored already, by its `once`, where the log keeps claims.
        """
        ...

    async def settle(self, topic: str) -> None:
        """Return once nothing that was offered here to the topic before can be stored any more that is not stored by
        now: from then on the log itself tells what became of it. Raises LogUnavailable, within OFFER_SECONDS."""
        ...

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """`offer` for records that belong together: the place of each; raises what became of one that has none."""
        ...

    async def writer(self, name: str) -> LogWriter:
        """A writer with a position kept under this name; one that was opened before is fenced off."""
        ...

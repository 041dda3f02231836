"""The event log as the gateway sees it: topics of partitions of records, read by offset.

Three adapters stand beside this file, and `archive/log.py` is one over another log and its archive. One conformance kit
(`tests/eventlog`) checks that all of them keep this contract.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from gateway.catalog.stream import Retention
from gateway.eventlog.offer import Fate
from gateway.eventlog.trouble import Refusal, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition

SICK_SECONDS = 3.0
"""Seconds to wait for a trouble that may pass within moments, before it is reported."""

MEMBER_SECONDS = 10.0
"""Seconds after which a process that has not answered is no member any more; the others do its work."""

FETCH_BYTES = 4 * 1024 * 1024
"""The most that one call of a reader brings, and one answer of a broker; but for a last record that goes over it."""


class TopicState(NamedTuple):
    """A topic as it is now. Another `identity` under one name means that the topic was deleted and created again.
    `erasures` rises whenever records are emptied: who has read some in memory may have what the log has no more."""

    identity: str
    partitions: int
    erasures: int = 0


class Bounds(NamedTuple):
    """The readable part of a partition: from `start`, to just before `end` (committed records only)."""

    start: int
    end: int


def shown_identity(identity: str) -> str:
    """The identity of a log for the public: it distinguishes logs, and reveals nothing of them. Empty if there is
    none."""
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest() if identity else ""


NO_STAMP = -1
"""The stamp of a position of which the log cannot tell whether what was read before it is still there."""

NO_STAMPS: Mapping[TopicPartition, int] = MappingProxyType({})


class Batch(NamedTuple):
    """Records of one partition, in log order. `position` is the next offset to read, beyond records that were compacted
    away, aborted or transaction markers. A batch may hold no records and only move the position.

    `stamp` is a number of the log's own that belongs to the position. A reader that continues there passes it in, and
    learns whether the log was cut back meanwhile, and perhaps written on (Kind.CUT). In Kafka it is the leader epoch of
    the last record read (KIP-320).
    """

    partition: TopicPartition
    records: Sequence[Record]
    position: int
    stamp: int = NO_STAMP


def part_of(left: int, partitions: int) -> int:
    """The share of one of `partitions` in the amount that is left for all of them, at least 1 if anything is."""
    return -(-left // partitions)


def is_emptied(record: Record) -> bool:
    """Whether nothing is left of a record but its place and its time, as `EventLog.erase` leaves it."""
    return record.key is None and record.value is None and not record.headers and record.fault is None


class LogReader(Protocol):
    """Reads a set of partitions from given offsets. Prefetches a bounded amount. Belongs to one task at a time.

    A partition that cannot be read is told of once, by a Refusal, after what was read of it before; then it is read no
    further until it is added or assigned anew. So one that is sick costs the others nothing, and whoever reads decides
    when to try again. What passes within moments, an election, is waited for first: SICK_SECONDS at the most."""

    @property
    def more(self) -> bool:
        """Whether the log had more than `fetch` has returned, of those that were asked for and as far as the reader has
        seen."""
        ...

    @property
    def starts(self) -> Mapping[TopicPartition, int]:
        """The first offset that the log has of each partition, as far as the reader has learned it on the way; some
        may be missing. Records below are deleted."""
        ...

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """Read these partitions from these offsets, and no others. Prefetched records are dropped. `stamps` are
        those that batches had at these positions. A topic is the one that is there when this returns: where it is
        created again later, its partitions are absent. Raises LogUnavailable; `fetch` reports trouble of a partition.
        """
        ...

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """Read these partitions too, from these offsets; the others keep their position. As with `assign`, a topic
        that is created again later is another. Raises LogUnavailable."""
        ...

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        """The records at hand; if there are none, wait up to `wait` seconds for some. It never returns without having
        yielded, so that whoever calls it again and again yields.

        If there are more than it returns, each partition has an equal share: merging needs some of each. The last
        record may be the one that exceeds `max_bytes` (of keys and values). `partitions` restricts the call to some of
        those assigned; the others keep their position. Raises LogUnavailable if the log answers nothing at all.
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
        """Append the records, each to the topic beside it (there may be none), and set the position; returns the
        location of each record. Those of one partition stand in the order given. `once` is not looked at.

        Raises LogError, TopicAbsent and WriterFenced when nothing was stored, in no topic. After LogUnavailable, and
        where it is cancelled, all or nothing was: the position of a writer opened anew tells which.
        """
        ...

    async def close(self) -> None:
        """Bounded in time, and never raises. The position stays."""
        ...


class Membership(Protocol):
    """A process among all that work on the log: which pieces of work it is to do for now.

    Nobody else is given a piece until it is put down, or its process has not answered for MEMBER_SECONDS. That spares
    work, and is no right: a process that was paused may still believe that a piece is its own. Who may append is
    decided by writers alone. Belongs to one task.
    """

    @property
    def given(self) -> frozenset[str]:
        """The pieces that this process is to do now. While the log is away they stay as they are."""
        ...

    @property
    def held(self) -> frozenset[str]:
        """Those, and the pieces that it was given before and has not put down. Nobody else is given one of them."""
        ...

    def want(self, pieces: Collection[str]) -> None:
        """These are all that this process can do."""
        ...

    def release(self, piece: str) -> None:
        """The process has put a piece down: it was given no more, or another process has taken it over."""
        ...

    async def close(self) -> None:
        """Leave. What it held is free. Bounded in time, and never raises."""
        ...


@runtime_checkable
class PlaceableLog(Protocol):
    """A log in which a partition may begin at another offset than the first."""

    async def begin_at(self, partition: TopicPartition, offset: int) -> bool:
        """Let a partition that never had a record begin at this offset: those before it belong to an archive. Returns
        whether it does, and False where it has begun already. Raises LogUnavailable."""
        ...


class EventLog(Protocol):
    """A log. Every method raises LogUnavailable when the log does not answer at all within a bounded time.

    Where it answers, it does so for each topic and partition: what there is, or why there is nothing."""

    @property
    def keeps_claims(self) -> bool:
        """Whether it stores a record once that any process offers again with the same `once`. Otherwise the caller
        must prevent such offers."""
        ...

    async def open(self) -> None:
        """Make ready; does not need the log to be there yet. Raises LogNewer."""
        ...

    async def close(self) -> None:
        """Release everything; bounded in time."""
        ...

    async def identity(self) -> str:
        """The identity of this log, wherever it is reached: drawn at random when it was made, and kept in it. Empty
        if there is none, as in an old file that may not be written."""
        ...

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        """The topics that exist, and those that the log refuses to describe, which may exist. Others do not exist."""
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
        """Create a topic; one that exists stays as it is.

        Where the retention says that it is compacted, a log may remove records whose key has a newer one, a day or more
        after they were appended. Offsets stay. Each record then needs a key: a log may refuse one without. A log that
        cannot remove them keeps all, up to the retention.
        """
        ...

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """Append, and return the fate of each record; a fault of one leaves the others alone.

        Raises TopicAbsent and Refused if nothing was stored. Raises LogUnavailable, within OFFER_SECONDS, if no fate is
        known: each record may be stored or not. If that is so for some, LogUnavailable is their fate. LogForbids,
        raised or as a fate: nothing is stored until an operator acts. REPEATED is the fate of a record that is stored
        already, by its `once`, if the log keeps claims.
        """
        ...

    async def settle(self, topic: str) -> None:
        """Return once no record that was offered here to the topic can still be stored later than now. From then on,
        the log itself shows its fate. Raises LogUnavailable, within OFFER_SECONDS."""
        ...

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """`offer` for records that belong together: the location of each; raises what became of one that has none."""
        ...

    async def writer(self, name: str) -> LogWriter:
        """A writer with a position kept under this name; one that was opened before is fenced off."""
        ...

    @property
    def erasable(self) -> bool:
        """Whether records can be emptied."""
        ...

    async def erase(self, topic: str, matches: Callable[[Record], bool]) -> int:
        """Empty all records of a topic that match, for good: they keep offset and timestamp, and lose key, value and
        headers. Returns how many. Processes that read the log learn of it by `TopicState.erasures`. Raises what
        `matches` raises, TopicAbsent, and LogForbids where the log is not `erasable`."""
        ...

    @property
    def spans_hosts(self) -> bool:
        """Whether processes on several hosts can use it, so that it pays to divide work into many pieces."""
        ...

    async def join(self, on_change: Callable[[], None]) -> Membership:
        """Join all processes that work on this log. `on_change` is called when something else is given. Does not need
        the log to be there yet."""
        ...

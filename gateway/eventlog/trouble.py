"""Trouble: what a log cannot give of one topic or partition, and why, while it answers for others."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

from gateway.errors import LogError, OffsetOutOfRange, Refused, TopicAbsent
from gateway.model.record import TopicPartition

Found = TypeVar("Found")


class Kind(StrEnum):
    """The kinds of trouble. Each is a label of a metric and may be shown to clients: it names no host."""

    ABSENT = "absent"
    OUT_OF_RANGE = "out of range"
    CUT = "cut back"
    NO_LEADER = "no leader"
    NO_RIGHT = "no right"
    UNREADABLE = "unreadable"
    UNAVAILABLE = "unavailable"
    DISK_FULL = "disk full"
    DISK_FAILS = "disk fails"
    LOCKED = "locked"
    NEWER = "of a newer format"
    TOO_FEW_REPLICAS = "too few replicas"
    MISCONFIGURED = "misconfigured"
    TOO_LARGE = "too large"
    TIME = "time out of range"
    NO_SCHEMA = "waits for a schema"
    INVALID = "invalid for its topic"


LASTING = frozenset({Kind.ABSENT, Kind.OUT_OF_RANGE, Kind.CUT, Kind.NO_RIGHT, Kind.UNREADABLE})
"""Troubles that no election ends: they are reported at once."""

FACTS = frozenset({Kind.ABSENT, Kind.OUT_OF_RANGE, Kind.CUT})
"""Facts rather than faults: the log says what it holds, and the reader must follow."""


class Trouble(NamedTuple):
    """`detail` is for the operator, and may name hosts. `offset` is the location of the trouble, if it has one.
    `beyond` is the first offset behind the unreadable part, as far as it is known."""

    kind: Kind
    detail: str
    offset: int = -1
    beyond: int = -1
    stamp: int = -1
    """Of Kind.CUT: that of the offset, where the log tells it."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


class Refusal(NamedTuple):
    """A partition that a reader cannot read further, with the trouble."""

    partition: TopicPartition
    trouble: Trouble


def trouble_with(error: LogError) -> Trouble:
    """The trouble behind a failed call; of several topics or partitions, the first that was reported."""
    if isinstance(error, Refused):
        first: Trouble = next(iter(error.troubles.values()))
        return first._replace(detail="; ".join(trouble.detail for trouble in error.troubles.values()))
    if isinstance(error, TopicAbsent):
        return absent(error.topic)
    return Trouble(Kind(error.kind or Kind.UNAVAILABLE), str(error))


def absent(topic: str) -> Trouble:
    """The topic, or the partition of it, does not exist."""
    return Trouble(Kind.ABSENT, f"there is no topic {topic}")


def out_of_range(partition: TopicPartition, offset: int) -> Trouble:
    """The partition does not hold this offset."""
    return Trouble(Kind.OUT_OF_RANGE, f"offset {offset} is not in {partition.topic}/{partition.partition}", offset)


def cut_back(partition: TopicPartition, offset: int, stamp: int = -1) -> Trouble:
    """The log went back, and may have been written on: nothing that was read from this offset on is there any more. It
    may have begun before; nobody knows where, for an offset below 0."""
    where = f"to {offset}" if offset >= 0 else "to an unknown offset"
    detail = f"{partition.topic}/{partition.partition} was cut back {where}"
    return Trouble(Kind.CUT, detail, offset, stamp=stamp)


def beyond(trouble: Trouble, position: int, end: int) -> int:
    """The offset behind an unreadable part at this position; the end of the partition if nobody knows where the part
    ends."""
    return trouble.beyond if position < trouble.beyond <= end else end


def demand(answers: Mapping[TopicPartition, Found | Trouble]) -> dict[TopicPartition, Found]:
    """The complete result, for callers that need all of it. Raises TopicAbsent and OffsetOutOfRange, which are
    facts, and Refused, with all troubles that may pass."""
    found: dict[TopicPartition, Found] = {}
    troubles: dict[TopicPartition, Trouble] = {}
    for partition, answer in answers.items():
        if isinstance(answer, Trouble):
            troubles[partition] = answer
        else:
            found[partition] = answer
    refuse(troubles)
    return found


def refuse(troubles: Mapping[TopicPartition, Trouble]) -> None:
    """Raise what these troubles mean; nothing where there are none."""
    for partition, trouble in troubles.items():
        if trouble.kind is Kind.ABSENT:
            raise TopicAbsent(partition.topic)
        if trouble.kind in (Kind.OUT_OF_RANGE, Kind.CUT):
            raise OffsetOutOfRange(*partition, trouble.offset)
    if troubles:
        raise Refused(troubles)

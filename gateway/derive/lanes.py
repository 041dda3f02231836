"""Lanes: parts of a derived stream that run apart, in one process or in several. Pure, but for `lanes_of`.

A lane is some partitions of the source, and always the same. All that belongs together has to be in one partition, then
each lane makes the rows that the whole would make. It stores them in partitions that are its own, so that in each
partition of the rows, too, times rise as they would otherwise. Readers of the rows need not know of lanes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from gateway.catalog.derivation import Derivation, Expression
from gateway.catalog.stream import Stream
from gateway.derive.expression import read
from gateway.errors import LogError
from gateway.eventlog.port import EventLog, TopicState
from gateway.filters.tree import event_path

LANES = 8
"""The most of a stream: each has a writer, which in Kafka is a producer with connections. It can never change: a
partition would move to a lane that does not know how far it was read."""


class Work(NamedTuple):
    """A derived stream, or one lane of it."""

    stream: Stream
    lane: int | None = None

    @property
    def name(self) -> str:
        """Of its writer, and of the piece of work."""
        whole = whole_name(self.stream)
        return whole if self.lane is None else f"{whole} lane {self.lane}"

    def holds(self, partition: int) -> bool:
        """Whether it reads the partition of this number."""
        return self.lane is None or partition % LANES == self.lane


def whole_name(stream: Stream) -> str:
    """The name of the writer that derives a stream as a whole."""
    return f"derive {stream.topics[0]}"


def divisible(stream: Stream, streams: Mapping[str, Stream]) -> tuple[bool, str]:
    """Whether a derived stream can run in lanes, and why."""
    derivation = stream.derive
    assert derivation is not None
    if derivation.lookups:
        return False, "the stream that is looked into is needed whole"
    if derivation.latest:
        return False, "rows of one key have to stay in one partition, whatever the source's key is"
    source = streams[derivation.sources[0]]
    if len(derivation.sources) > 1:
        return False, "it has several sources, whose partitions need not go together"
    if len(source.topics) > 1:
        return False, f"{source.name} has several topics, whose partitions need not go together"
    if stream.partitions != source.partitions:
        return False, f"it has {stream.partitions} partitions, and {source.name} {source.partitions}"
    if derivation.operator == "select":
        return True, "each event stands alone"
    if not source.message_key_fields and source.derive is None:
        return False, f"{source.name} has no message_key_fields, so that events of one key may be in any partition"
    fields = source.message_key_fields
    if source.derive is not None:
        fields = tuple(name for name, _ in source.derive.key)
        if not fields:
            return False, f"the partitions of {source.name} are not by a key of its own"
    paths = {".".join(event_path(read(one))) for one in _key_expressions(derivation)}
    missing = [path for path in fields if path not in paths]
    if missing:
        return False, f"its key lacks {', '.join(missing)}, by which {source.name} is partitioned"
    return True, f"its key holds that by which {source.name} is partitioned ({', '.join(fields)})"


def _key_expressions(derivation: Derivation) -> tuple[Expression, ...]:
    if derivation.dedup is not None:
        return derivation.dedup.by
    return tuple(expression for _, expression in derivation.key)


async def lanes_of(derived: Collection[Stream], streams: Mapping[str, Stream], log: EventLog) -> list[Work]:
    """All that there is to do for these streams on this log. Where it does not answer, or a source is not there yet,
    a stream that can be divided has one lane for the time being."""
    apart = {stream.name for stream in derived if log.spans_hosts and divisible(stream, streams)[0]}
    topics = {stream.name: _source_topic(stream, streams) for stream in derived if stream.name in apart}
    partitions: dict[str, int] = {}
    if topics:
        try:
            states = await log.describe(set(topics.values()))
            partitions = {name: state.partitions for name, state in states.items() if isinstance(state, TopicState)}
        except LogError:
            pass
    found = []
    for stream in derived:
        if stream.name in apart:
            count = min(LANES, partitions.get(topics[stream.name], 1))
            found += [Work(stream, number) for number in range(count)]
        else:
            found.append(Work(stream))
    return found


def _source_topic(stream: Stream, streams: Mapping[str, Stream]) -> str:
    assert stream.derive is not None
    return streams[stream.derive.sources[0]].topics[0]

"""The request of a client, and the start of its subscription."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.hub.segment import Break
from gateway.model.position import ConsumedPosition, RequestedPosition
from gateway.model.record import TopicPartition


@dataclass(slots=True)
class Start:
    """The start of a subscription: the consumed positions, the next offsets, and the gaps to report first."""

    consumed: dict[TopicPartition, ConsumedPosition] = field(default_factory=dict)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    gaps: list[Break] = field(default_factory=list)
    waiting: dict[TopicPartition, RequestedPosition] = field(default_factory=dict)
    """The requested positions in partitions of missing topics of which the client had read something, and in
    unreadable partitions. They are resolved once the log serves them."""
    untold: set[str] = field(default_factory=set)
    """Topics of which the log does not tell: how many partitions they have is not known either."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The request of a client. `since` (ms) counts if it sent no position. `overlaps`, by topic, are milliseconds to
    read again after a position that is a time."""

    requested: Mapping[TopicPartition, RequestedPosition] = field(default_factory=dict)
    since: int | None = None
    overlaps: Mapping[str, int] = field(default_factory=dict)
    live: int | None = None
    """When it was asked for (ms), where the log answers later than that: from then on, events are live."""
    reached: Mapping[TopicPartition, int] = field(default_factory=dict)
    """The next offsets, where this process has read: beyond what is requested, perhaps, over what holds no record."""
    epoch: int | None = None
    """The ring's when that was so."""
    former: Mapping[TopicPartition, RequestedPosition] = field(default_factory=dict)
    """Of earlier versions of derived streams, which `succession` turns into what is requested of the present ones."""
    successors: Mapping[str, str] = field(default_factory=dict)
    """The topics of the present versions, by those of the earlier ones."""

    def requested_of(self, partition: TopicPartition) -> RequestedPosition | None:
        """The requested position in one partition; None is live."""
        requested = self.past_requested_of(partition)
        return RequestedPosition(None, self.live) if requested is None and self.live is not None else requested

    def past_requested_of(self, partition: TopicPartition) -> RequestedPosition | None:
        """The same of a client that asked for more than live events; None for one that did not."""
        if self.requested:
            return self.requested.get(partition) or self._unnamed(partition.topic)
        return None if self.since is None else RequestedPosition(None, self.since)

    def _unnamed(self, topic: str) -> RequestedPosition | None:
        """A partition beside others that were read is new, and all of it is requested; beside mere times it begins at
        the earliest of them. A topic that is not named at all begins at the earliest time of the others, or live."""
        beside = [requested for partition, requested in self.requested.items() if partition.topic == topic]
        if any(requested.offset is not None or requested.seen for requested in beside):
            return RequestedPosition(None, 0)
        others = beside or self.requested.values()
        times = [
            requested.timestamp
            for requested in others
            if requested.timestamp is not None and (beside or requested.timestamp > 0)
        ]
        return RequestedPosition(None, min(times)) if times else None

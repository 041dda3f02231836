"""Remembers why the partitions of one reader cannot be read, and when to report it."""

from __future__ import annotations

import time
from collections.abc import Collection

from gateway.errors import LogUnavailable
from gateway.eventlog.port import SICK_SECONDS
from gateway.eventlog.trouble import LASTING, Trouble
from gateway.model.record import TopicPartition


class Troubles:
    """Of one reader. A lasting trouble counts at once, another one after SICK_SECONDS: an election may still run."""

    def __init__(self) -> None:
        self._lasting: dict[TopicPartition, Trouble] = {}
        """The trouble that ends the reading of a partition, once all records before it were taken."""
        self._failing: dict[TopicPartition, tuple[float, Trouble]] = {}
        """When a partition became unreadable, and why."""
        self._unreachable: LogUnavailable | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._lasting or self._failing)

    def note(self, partition: TopicPartition, trouble: Trouble) -> None:
        """A broker, or the lack of one, has told this of a partition."""
        if trouble.kind in LASTING:
            self.end(partition, trouble)
        since = self._failing.get(partition, (time.monotonic(), trouble))[0]
        self._failing[partition] = (since, trouble)

    def end(self, partition: TopicPartition, trouble: Trouble) -> None:
        """The reading of a partition ends with this."""
        self._lasting[partition] = trouble

    def heal(self, partition: TopicPartition) -> None:
        """A partition was read again."""
        self._failing.pop(partition, None)

    def drop(self, partition: TopicPartition) -> None:
        """Nothing of a partition matters any more."""
        self._lasting.pop(partition, None)
        self._failing.pop(partition, None)

    def lasting(self, partition: TopicPartition) -> Trouble | None:
        """The trouble that ends the reading of a partition."""
        return self._lasting.get(partition)

    def is_failing(self, partition: TopicPartition) -> bool:
        """Whether a partition cannot be read now."""
        return partition in self._failing

    def due(self, partition: TopicPartition, now: float) -> Trouble | None:
        """The trouble to tell of a partition: a lasting one, or one that has lasted, though brokers answer."""
        trouble = self._lasting.get(partition)
        if trouble is None and partition in self._failing and self._unreachable is None:
            since, sick = self._failing[partition]
            trouble = sick if now - since > SICK_SECONDS else None
        return trouble

    def silent(self, error: LogUnavailable) -> None:
        """No broker answers."""
        self._unreachable = error

    def answered(self) -> None:
        """A broker answers. If none did before, what a partition lacks by itself counts from now on."""
        if self._unreachable is not None:
            self._unreachable = None
            self._failing.clear()

    def raise_unreachable(self, wanted: Collection[TopicPartition]) -> None:
        """Raise where nothing can be learnt of any of the partitions, since no broker answers."""
        if self._unreachable is None or not wanted or any(partition not in self._failing for partition in wanted):
            return
        raise LogUnavailable(str(self._unreachable), self._unreachable.kind) from self._unreachable

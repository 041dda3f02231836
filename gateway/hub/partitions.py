"""The partitions that the log does not give: since when, why, and when to try each again. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.eventlog.trouble import Trouble
from gateway.model.record import TopicPartition
from gateway.text import printable

FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0
"""Seconds between two tries of a partition: each wait is twice as long as the one before, up to this."""
TRIAL_SECONDS = 5.0
"""Seconds after which a partition that is read again without records or refusals is well: it is empty."""
NAMED = 3
"""The most partitions that are named to waiting clients."""


@dataclass(slots=True)
class _Case:
    trouble: Trouble
    wait: float
    due: float
    trial: float | None = None
    """Until when it is read on trial."""


class Ward:
    """Each case is of its own: one that is tried often or for long delays no other. Times are of one monotonic
    clock."""

    def __init__(self) -> None:
        self._cases: dict[TopicPartition, _Case] = {}

    @property
    def troubles(self) -> dict[TopicPartition, Trouble]:
        """The last refusal of each, also of those on trial."""
        return {partition: case.trouble for partition, case in self._cases.items()}

    def refuse(self, partition: TopicPartition, trouble: Trouble, now: float) -> None:
        """The log does not give it."""
        case = self._cases.get(partition)
        if case is None:
            self._cases[partition] = _Case(trouble, FIRST_WAIT, now + FIRST_WAIT)
            return
        case.wait = min(2 * case.wait, LONGEST_WAIT)
        case.trouble, case.due, case.trial = trouble, now + case.wait, None

    def try_again(self, partition: TopicPartition, now: float) -> None:
        """It is being read, to see whether that can be done."""
        if (case := self._cases.get(partition)) is not None:
            case.trial = now + TRIAL_SECONDS

    def dismiss(self, partition: TopicPartition) -> bool:
        """It is well, or gone; whether it was a case."""
        return self._cases.pop(partition, None) is not None

    def settle(self, now: float) -> bool:
        """Dismiss those that have stood their trial; whether there were any."""
        well = [partition for partition, case in self._cases.items() if case.trial is not None and case.trial <= now]
        for partition in well:
            del self._cases[partition]
        return bool(well)

    def is_shut(self, partition: TopicPartition) -> bool:
        """Whether it is not read now."""
        case = self._cases.get(partition)
        return case is not None and case.trial is None

    def is_due(self, partition: TopicPartition, now: float) -> bool:
        """Whether it may be tried now; what is no case may always."""
        case = self._cases.get(partition)
        return case is None or (case.trial is None and case.due <= now)

    def due(self, now: float) -> list[TopicPartition]:
        """Those to be tried now."""
        return [partition for partition in self._cases if self.is_due(partition, now)]


def waiting_for(sick: Collection[TopicPartition], topics: Collection[str]) -> bytes | None:
    """The words for clients of these topics that wait; None if there is nothing to wait for. They name no host."""
    if not sick:
        return None
    names = sorted(f"{partition.topic}/{partition.partition}" for partition in sick if partition.topic in topics)
    if not names:
        return None
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return printable(f"waiting for {', '.join(names[:NAMED])}{more}").encode()

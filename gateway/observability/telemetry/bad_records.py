"""Stored values that are not events: one line a minute for each topic summarises them, however many there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SUMMARY_SECONDS = 60.0
"""Seconds between two summaries of a topic; the first comes at once."""
REASONS = 100
"""Different reasons that are counted apart, a topic and minute."""
TOLD_REASONS = 3
REASON_CHARACTERS = 200


@dataclass(slots=True)
class _Topic:
    first: tuple[int, int]
    last: tuple[int, int]
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class BadRecords:
    """The records skipped since the last summary. Topics are those of the configuration."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._told: dict[str, float] = {}

    def note(self, topic: str, partition: int, offset: int, reason: str) -> None:
        """One more, at this location."""
        location = partition, offset
        noted = self._topics.setdefault(topic, _Topic(location, location))
        noted.last = location
        noted.count += 1
        reason = reason[:REASON_CHARACTERS]
        if reason in noted.reasons or len(noted.reasons) < REASONS:
            noted.reasons[reason] += 1

    def due(self, now: float) -> list[str]:
        """The summaries that are due at this time (seconds). Each is returned once."""
        due = [topic for topic in self._topics if now - self._told.get(topic, float("-inf")) >= SUMMARY_SECONDS]
        self._told |= dict.fromkeys(due, now)
        return [_summary(topic, self._topics.pop(topic)) for topic in due]


def _summary(topic: str, noted: _Topic) -> str:
    reasons = "; ".join(f"{reason} ({count})" for reason, count in noted.reasons.most_common(TOLD_REASONS))
    if noted.count == 1:
        return f"skipped a record that is not an event: {topic}/{_shown(noted.first)}: {reasons}"
    locations = f"{topic}/{_shown(noted.first)} to {_shown(noted.last)}"
    return f"skipped {noted.count} records that are not events: {locations}: {reasons}"


def _shown(location: tuple[int, int]) -> str:
    return f"{location[0]} offset {location[1]}"

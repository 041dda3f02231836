"""One record as expressions see it, shared by all filters that are evaluated on it."""

from __future__ import annotations

from typing import Any


class Subject:
    """`timestamp` in milliseconds since the epoch; `key` as text, or None. The event must not change meanwhile."""

    __slots__ = ("event", "key", "offset", "partition", "timestamp", "topic")

    def __init__(
        self, event: dict[str, Any], topic: str, partition: int, offset: int, timestamp: int, key: bytes | None
    ) -> None:
        self.event = event
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = timestamp
        self.key = None if key is None else key.decode("utf-8", "replace")

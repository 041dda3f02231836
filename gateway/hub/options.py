"""The options of the hub."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.setting import MAXIMUM_BYTES, integer, seconds


@dataclass(frozen=True)
class HubOptions:
    """See the help of each."""

    ring_bytes: int = integer(
        268_435_456, "bytes", "memory per process for the newest part of the log", 65536, MAXIMUM_BYTES
    )
    ring_fill: float = seconds(600.0, "how much of the newest log is loaded into memory at startup", 0, 604_800)
    flush_interval: float = seconds(
        0.1, "longest time that events wait to share a write, once deliveries take a quarter of a core", 0, 10
    )
    flush_bytes: int = integer(65536, "bytes", "size at which waiting events are written at once", 1, 1 << 30)
    metadata_interval: float = seconds(5.0, "interval between checks for new topics and deleted records", 0.05, 3600)

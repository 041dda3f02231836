"""The options of the intake."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.intake.validate import TIMESTAMP_AHEAD
from gateway.model.setting import MAXIMUM_BYTES, integer, seconds


@dataclass(frozen=True)
class IntakeOptions:
    """See the help of each."""

    intake_max_bytes: int = integer(4_194_304, "bytes", "largest body with events, decompressed", 1024, 1 << 30)
    intake_max_events: int = integer(1000, "events", "events per request", 1, 100_000)
    intake_event_max_bytes: int = integer(
        1_000_000, "bytes", "largest event; by default Kafka takes none that is larger", 1024, 1 << 24
    )
    intake_queue_bytes: int = integer(
        67_108_864, "bytes", "memory per process for events that are being stored", 1 << 20, MAXIMUM_BYTES
    )
    idempotency_window: float = seconds(
        600.0, "time within which a repeated event is recognized and not stored again", 0, 86_400
    )
    idempotency_events: int = integer(
        500_000, "events", "newest events per process among which repeats are recognized", 0, 1 << 30
    )
    timestamp_ahead_max: float = seconds(
        TIMESTAMP_AHEAD / 1000,
        "how far a stream's `timestamp_field` may lie in the future; 0: without bound",
        0,
        315_360_000,
    )

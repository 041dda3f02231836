"""The bounds of counts."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.setting import MAXIMUM_BYTES, integer, seconds


@dataclass(frozen=True)
class CountOptions:
    """See the help of each."""

    counts_records: int = integer(
        100_000,
        "records",
        "records that an answer about counts looks at; of more, it looks at some and estimates the rest. Records whose "
        "times an archive tells do not count",
        256,
        100_000_000,
    )
    counts_seconds: float = seconds(
        3.0, "time after which an answer about counts estimates what it has not looked at yet", 0.1, 60
    )
    counts_cache_bytes: int = integer(
        33_554_432, "bytes", "memory per process for counts of records that were looked at", 0, MAXIMUM_BYTES
    )

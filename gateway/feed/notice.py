"""The documents that a stream carries beside its events: gaps and ends."""

from __future__ import annotations

import orjson

from gateway.hub.segment import Break


def gap_document(gap: Break) -> bytes:
    """A gap: the requested position, the resumed one, and the reason."""
    return orjson.dumps(
        {
            "topic": gap.partition.topic,
            "partition": gap.partition.partition,
            "requested": gap.requested,
            "resumed": gap.resumed,
            "reason": gap.reason,
        }
    )


def end_document(reason: str) -> bytes:
    """Why a finite response ends."""
    return orjson.dumps({"reason": reason})

"""The documents of what is said beside events: gaps, ends and errors."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.hub.ring import Break


def gap_document(gap: Break) -> bytes:
    """Where events are missing: what was asked for, where it goes on, and why."""
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


def error_document(document: Mapping[str, object]) -> bytes:
    """A problem document (RFC 9457) on one line."""
    return orjson.dumps(document)

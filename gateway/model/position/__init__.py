"""Positions: how far a client has read, partition by partition, and their two forms in `Last-Event-ID`.

An id is JSON (`text.py`), or a short opaque token (`token.py`) where that would be long; `encoder.py` writes either,
and `parse_position` reads both.
"""

from gateway.model.position.encoder import COMPACT_BYTES, DEFAULT_IDS, Ids, PositionEncoder
from gateway.model.position.entry import (
    LARGEST_INTEGER,
    NOTHING_READ,
    SMALLEST_TIME,
    ConsumedPosition,
    RequestedPosition,
)
from gateway.model.position.reading import parse_position

__all__ = [
    "COMPACT_BYTES",
    "DEFAULT_IDS",
    "LARGEST_INTEGER",
    "NOTHING_READ",
    "SMALLEST_TIME",
    "ConsumedPosition",
    "Ids",
    "PositionEncoder",
    "RequestedPosition",
    "parse_position",
]

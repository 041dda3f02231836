"""The cache of blocks: what feeds have made of the ring and of the past, for the next who asks."""

from __future__ import annotations

from typing import Any

from gateway.bounded_cache import BoundedCache

ENTRY_OVERHEAD = 400
"""Bytes that something remembered costs beside its content."""


class BlockCache(BoundedCache[tuple[object, ...], Any]):
    """The blocks that feeds have made of the ring, bounded in bytes."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, ENTRY_OVERHEAD)
        self.chains = 0
        """How many feeds keep a compressor."""

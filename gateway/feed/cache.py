"""The cache of blocks: what feeds have made of the ring and of the past, for the next who asks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

ENTRY_OVERHEAD = 400
"""Bytes that something remembered costs beside its content."""


class BlockCache:
    """What feeds have made of the ring, bounded in bytes; what was not used for longest goes first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self.chains = 0
        """How many feeds keep a compressor."""
        self._entries: OrderedDict[tuple[object, ...], tuple[object, int]] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> Any:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def clear(self) -> None:
        """Keep nothing of what was made: the log has lost some of it."""
        self._entries.clear()
        self.size = 0

    def put(self, key: tuple[object, ...], value: object, size: int) -> None:
        size += ENTRY_OVERHEAD
        replaced = self._entries.get(key)
        if replaced is not None:
            self.size -= replaced[1]
            del self._entries[key]
        if size > self.capacity:
            return  # It would put out all others, and be put out by the next.
        self._entries[key] = (value, size)
        self.size += size
        self._trim()

    def grow(self, key: tuple[object, ...], size: int) -> None:
        """What is kept under the key takes so many bytes more, where it still is."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries[key] = (entry[0], entry[1] + size)
            self.size += size
            self._trim()

    def _trim(self) -> None:
        while self.size > self.capacity:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed

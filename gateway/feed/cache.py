"""The cache of blocks: what feeds have made of the ring and of the past, for the next who asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
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
        self.shared = Shared()


class Shared:
    """What was made last of a segment, for as long as others wait to look into that segment: it may be too large for
    the cache. There is one at a time."""

    def __init__(self) -> None:
        self._waiting: Counter[int] = Counter()
        self._serial = -1
        self._made: Any = None

    @contextmanager
    def wait(self, serial: int) -> Iterator[None]:
        """Wait to look into this segment, and do."""
        self._waiting[serial] += 1
        try:
            yield
        finally:
            self._waiting[serial] -= 1
            if not self._waiting[serial]:
                del self._waiting[serial]
                self.drop(serial)

    def get(self, serial: int) -> Any:
        """What was made of this segment, if it is the last. Else that is dropped: another is to be made."""
        if serial != self._serial:
            self.drop(self._serial)
        return self._made

    def put(self, serial: int, made: Any) -> None:
        """Keep it for those who wait for it, the caller among them."""
        if self._waiting[serial]:
            self._serial, self._made = serial, made

    def drop(self, serial: int) -> None:
        """Keep nothing of this segment."""
        if serial == self._serial:
            self._serial, self._made = -1, None

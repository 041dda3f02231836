"""A cache bounded in bytes: the entry that was used least recently goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Each entry counts with the bytes that it is said to have, and `overhead` bytes for itself."""

    def __init__(self, capacity: int, overhead: int = 0) -> None:
        self.capacity = capacity
        self.size = 0
        """Bytes of all entries."""
        self._overhead = overhead
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """What is kept under the key; it is used with that."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value of so many bytes, in place of what was kept under the key."""
        self.remove(key)
        size += self._overhead
        if size > self.capacity:
            return  # It would put out all others, and be put out by the next.
        self._entries[key] = (value, size)
        self.size += size
        self._trim()

    def grow(self, key: Key, size: int) -> None:
        """What is kept under the key takes so many bytes more, where it still is."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries[key] = (entry[0], entry[1] + size)
            self.size += size
            self._trim()

    def entries(self) -> Iterable[tuple[Key, Value]]:
        """All that is kept, the least recently used first."""
        return ((key, value) for key, (value, _) in self._entries.items())

    def remove(self, key: Key) -> None:
        """Keep nothing under the key."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]

    def clear(self) -> None:
        """Keep nothing."""
        self._entries.clear()
        self.size = 0

    def _trim(self) -> None:
        while self.size > self.capacity:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed

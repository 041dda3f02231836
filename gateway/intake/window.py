"""Remembers which events were stored lately, so that one which is sent again is not stored twice. Pure."""

from __future__ import annotations

from collections.abc import Hashable

PARTS = 3
"""Time passes in parts, so that no thing needs a time of its own."""


class Window:
    """A set that forgets. It holds an item for `seconds` and up to half as long again, or for less if more than
    `maximum` items arrive meanwhile. Times are in seconds, and never go back.

    It keeps 64 bits of an item, which differ between processes, some 80 bytes in all. The chance that one of half a
    million items is mistaken for another is 1 : 10^13.
    """

    def __init__(self, seconds: float, maximum: int) -> None:
        self._half = seconds / (PARTS - 1)
        self._maximum = max(1, maximum // PARTS)
        self._turned = 0.0
        self._newest: set[int] = set()
        self._older: set[int] = set()
        self._oldest: set[int] = set()

    def __len__(self) -> int:
        return len(self._newest) + len(self._older) + len(self._oldest)

    def has(self, thing: Hashable, now: float) -> bool:
        """Whether it is in it."""
        if now - self._turned >= self._half:
            self._expire(now)
        mark = hash(thing)
        return mark in self._newest or mark in self._older or mark in self._oldest

    def add(self, thing: Hashable, now: float) -> None:
        """Remember something from now on."""
        if now - self._turned >= self._half:
            self._expire(now)
        if len(self._newest) >= self._maximum:
            self._turn()
            self._turned = now
        self._newest.add(hash(thing))

    def _expire(self, now: float) -> None:
        for _ in range(PARTS):
            self._turn()
            self._turned += self._half
            if now - self._turned < self._half:
                return
        self._turned = now

    def _turn(self) -> None:
        self._newest, self._older, self._oldest = set(), self._newest, self._older

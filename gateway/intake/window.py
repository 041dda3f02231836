"""Which events were stored lately: so that one which is sent again is not stored twice. Pure."""

from __future__ import annotations

from collections.abc import Hashable


class Window:
    """A set that forgets: a thing is in it for `seconds`, and up to half as long again; for less where more than
    `maximum` things come meanwhile. Times are in seconds, and never go back.

    Of a thing it keeps 64 bits that differ between processes, some 80 bytes in all. That one of half a million is
    taken for another has a chance of 1 : 10^13.
    """

    def __init__(self, seconds: float, maximum: int) -> None:
        self._half = seconds / 2
        self._maximum = max(1, maximum // 3)
        self._turned = 0.0
        # Time passes in halves, so that no thing needs a time of its own.
        self._newest: set[int] = set()
        self._older: set[int] = set()
        self._oldest: set[int] = set()

    def __len__(self) -> int:
        return len(self._newest) + len(self._older) + len(self._oldest)

    def __contains__(self, thing: Hashable) -> bool:
        mark = hash(thing)
        return mark in self._newest or mark in self._older or mark in self._oldest

    def add(self, thing: Hashable, now: float) -> None:
        """Remember something from now on."""
        if now - self._turned >= self._half or len(self._newest) >= self._maximum:
            self.turn(now)
        self._newest.add(hash(thing))

    def turn(self, now: float) -> None:
        """Forget what is too old, or the oldest third of what is not."""
        # After a long pause the newer parts are past their time, too.
        turns = int((now - self._turned) / self._half) if self._half > 0 else 3
        for _ in range(min(3, max(1, turns))):
            self._newest, self._older, self._oldest = set(), self._newest, self._older
        self._turned = now

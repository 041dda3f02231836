"""Lets a frequent message through only now and then."""

from __future__ import annotations


class Seldom:
    """Says when to report something again: once within a period."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether it is due at this time; if so, it is not due again within the period."""
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class Quota:
    """Lets a number of each kind through within a period, and counts the others."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._since = float("-inf")
        self._taken = 0
        self._left_out = 0

    def take(self, now: float) -> bool:
        """Whether one more is let through at this time."""
        if now - self._since >= self._seconds:
            self._since, self._taken = now, 0
        self._taken += 1
        if self._taken > self._most:
            self._left_out += 1
            return False
        return True

    @property
    def is_used_up(self) -> bool:
        """Whether the last one that was let through is the last for a while."""
        return self._taken >= self._most

    def settle(self) -> int:
        """How many were left out since this was asked before."""
        count, self._left_out = self._left_out, 0
        return count

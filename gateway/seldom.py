"""What happens often, told seldom."""

from __future__ import annotations


class Seldom:
    """Says when something is to be told again: once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether it is, at this time; then not again for so long."""
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True

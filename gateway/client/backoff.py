"""How long to wait before the next try."""

from __future__ import annotations

import random

FIRST = 2.0
"""Seconds before the second try, where the server has not said `retry:`."""
LEAST = 0.5
"""Seconds before the second try at the least, whatever `retry:` says: `retry: 0` would be as many requests as fit."""
LONGEST = 60.0
"""Seconds that a wait grows to, by doubling."""
LONGEST_ASKED = 600.0
"""Seconds that a server may ask for by `retry:` or `Retry-After`."""


class Backoff:
    """Doubles from one failure to the next. Each delay is between half of that and all of it, so that clients that lost
    their server together do not return together.

    Only real progress resets it (`succeeded`): an event, or a connection that stood for a while. A server that greets
    and ends, again and again, is asked more and more seldom.
    """

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()
        self._failures = 0
        self.first = FIRST

    def ask(self, milliseconds: int) -> None:
        """Begin with what the server said in `retry:`, within reason."""
        self.first = min(max(milliseconds / 1000, LEAST), LONGEST_ASKED)

    def succeeded(self) -> None:
        """Something real has come: the next failure is the first one again."""
        self._failures = 0

    def wait(self, at_least: float = 0.0) -> float:
        """Seconds before the next try; no fewer than a server's `Retry-After`, within reason."""
        longest = max(self.first, LONGEST)
        whole = min(longest, self.first * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return max(whole * self._chance.uniform(0.5, 1.0), min(at_least, LONGEST_ASKED))

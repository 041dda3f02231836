"""How far a subscription is behind, and how fast it catches up."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.text import counted, span

BEHIND = 10_000
"""Milliseconds from which a subscription counts as catching up."""
WINDOW = 1.0
"""Seconds over which the rate is measured."""


class CatchUp:
    """Counts events and their times. `until` (ms) is where the range ends, None where it does not."""

    def __init__(self, clock: Clock, until: int | None = None) -> None:
        self._clock = clock
        self._until = until
        self._time: int | None = None
        self._since = clock.monotonic()
        self._counted = 0
        self._rate: float | None = None
        self.events = 0

    def note(self, events: int, time: int | None) -> None:
        """So many more came, the last of this time (ms)."""
        self.events += events
        self._counted += events
        # A record without a time is as old as the one before it.
        self._time = time if time is not None and time >= 0 else self._time
        now = self._clock.monotonic()
        if now - self._since >= WINDOW:
            self._rate = self._counted / (now - self._since)
            self._since, self._counted = now, 0

    @property
    def behind(self) -> int:
        """Milliseconds between the newest event that came and now, or the end of the range."""
        if self._time is None:
            return 0
        now = self._clock.now()
        return max(0, (now if self._until is None else min(now, self._until)) - self._time)

    @property
    def catching_up(self) -> bool:
        """Whether it is worth telling."""
        return self.behind >= BEHIND

    def told(self) -> str:
        """In words."""
        rate = "" if self._rate is None else f", {self._rate:,.0f} events/s"
        return f"catching up: {span(self.behind)} behind, {counted(self.events, 'event')} so far{rate}"
